"""Scoring one file of predictions against gold, and comparing two."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gmner.core.mentions import normalise_mention
from gmner.core.records import Record, Sample
from gmner.evaluation.any_system.gold import NO_SIZE, has_train, read_gold, read_train, stands_in_train
from gmner.evaluation.any_system.predictions import Predictions, read_predictions
from gmner.evaluation.bootstrap import Comparison, compare_f1, f1_interval
from gmner.evaluation.conventions import Profile
from gmner.evaluation.counts import TASKS, Counts, box_statistics, count_sample, region_scores, task_scores, total
from gmner.evaluation.error_analysis import analyse


@dataclass(frozen=True)
class Request:
    """What to score and how. `train` is needed only to leave duplicates out and for mentions seen in training."""

    gold: Path
    predictions: Path
    profile: Profile
    iou: float = 0.5
    xml_dir: Path | None = None
    split: str = "test"
    fine: bool = False
    train: Path | None = None
    exclude_train_duplicates: bool = False


@dataclass
class Scored:
    """One file's scores. `excluded`: gold tweets that were left out; `missing`: those without a prediction."""

    signature: str
    tweets: list[Counts]
    samples: list[Sample]
    prepared: list[tuple[list[Record], list[Record]]]
    predictions: list[Sequence[Record]]
    form: str
    missing: int
    excluded: int

    def to_json(self) -> dict[str, Any]:
        """Return the three tasks' counts and scores, and the signature."""
        counts = total(self.tweets)
        return {**{task: task_scores(counts, task) for task in TASKS}, "signature": self.signature}

    def details(self) -> dict[str, Any]:
        """Return everything else that is known without an analysis of errors."""
        counts = total(self.tweets)
        return {
            "samples": len(self.samples),
            "excluded": self.excluded,
            "missing": self.missing,
            "form": self.form,
            "regions": region_scores(counts),
            "intervals": {f"{task}_f1": asdict(f1_interval(self.task_rows(task))) for task in TASKS},
            "boxes": box_statistics(self.predictions),
        }

    def task_rows(self, task: str) -> list[tuple[int, int, int]]:
        """Return each tweet's correct, predicted and gold records of a task."""
        return [(getattr(tweet, task), tweet.predicted, tweet.gold) for tweet in self.tweets]


def score_file(request: Request) -> Scored:
    """Read gold and predictions and count them by the request's convention."""
    gold = read_gold(request.gold, request.xml_dir, request.split)
    return score_gold(request, gold)


def score_gold(request: Request, gold: list[Sample]) -> Scored:
    """Count predictions against gold that was read before."""
    found = read_predictions(request.predictions, gold)
    samples = _with_sizes(gold, found)
    predictions: list[Sequence[Record]] = list(found.records)
    excluded = 0
    if request.exclude_train_duplicates:
        known = stands_in_train(samples, read_train(request.gold, request.train))
        excluded = sum(known)
        samples = [sample for sample, is_known in zip(samples, known, strict=True) if not is_known]
        predictions = [one for one, is_known in zip(predictions, known, strict=True) if not is_known]
    prepare = request.profile.prepare
    prepared = [prepare(s, p, request.fine) for s, p in zip(samples, predictions, strict=True)]
    signature = request.profile.signature(request.iou, request.fine)
    return Scored(
        signature=signature + ("|without:train-duplicates" if request.exclude_train_duplicates else ""),
        tweets=[count_sample(predicted, truth, request.iou) for predicted, truth in prepared],
        samples=samples,
        prepared=prepared,
        predictions=predictions,
        form=found.form,
        missing=found.missing,
        excluded=excluded,
    )


def _with_sizes(gold: list[Sample], found: Predictions) -> list[Sample]:
    if not found.sized:
        return gold
    return [
        replace(sample, size_wh=found.sized[place]) if sample.size_wh == NO_SIZE and place in found.sized else sample
        for place, sample in enumerate(gold)
    ]


def analyse_errors(request: Request, scored: Scored) -> dict[str, Any]:
    """Return the analysis of a scored file's errors; by mentions seen in training where its tweets are at hand."""
    mentions = None
    if request.train is not None or has_train(request.gold):
        train = read_train(request.gold, request.train)
        mentions = frozenset(normalise_mention(entity.mention) for sample in train for entity in sample.entities)
    return analyse(scored.samples, scored.prepared, request.iou, mentions)


def compare(one: Scored, other: Scored) -> dict[str, Comparison]:
    """Return the paired tests of each task's F1 between two files' scores of the same gold tweets."""
    return {task: compare_f1(one.task_rows(task), other.task_rows(task)) for task in TASKS}
