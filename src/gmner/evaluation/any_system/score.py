"""Scoring one file of predictions against gold, and comparing two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gmner.core.mentions import normalise_mention
from gmner.core.records import Record, Sample
from gmner.evaluation.any_system.gold import (
    NO_SIZE,
    has_train,
    read_gold,
    read_other_split,
    read_train,
    stands_in_train,
)
from gmner.evaluation.any_system.predictions import Predictions, read_predictions
from gmner.evaluation.bootstrap import Comparison
from gmner.evaluation.bootstrap import compare as compare_rows
from gmner.evaluation.compared import Convention
from gmner.evaluation.error_analysis import analyse
from gmner.evaluation.metrics import METRICS, metric_of
from gmner.evaluation.scores import ScoreTally, known_types


@dataclass(frozen=True)
class Request:
    """What to score and how. `train` is needed only to leave duplicates out and for mentions seen in training."""

    gold: Path
    predictions: Path
    convention: Convention
    iou: float = 0.5
    xml_dir: Path | None = None
    split: str = "test"
    fine: bool = False
    train: Path | None = None
    exclude_train_duplicates: bool = False
    exclude_duplicates: bool = False


@dataclass
class Scored:
    """One file's scores. `excluded`: gold tweets that were left out; `missing`: those without a prediction."""

    tally: ScoreTally
    samples: list[Sample]
    predictions: list[Sequence[Record]]
    form: str
    missing: int
    excluded: int
    failures: Mapping[str, int] = field(default_factory=dict)
    suffix: str = ""  # of the signature

    def to_json(self) -> dict[str, Any]:
        """Return all that is known without an analysis of errors."""
        report = self.tally.report()
        report["signature"] += self.suffix
        return {
            **report,
            "predictions": {
                "form": self.form,
                "tweets_without": self.missing,
                "tweets_left_out": self.excluded,
                "failures": dict(sorted(self.failures.items())),
            },
        }


def score_file(request: Request) -> Scored:
    """Read gold and predictions and count them by the request's convention."""
    gold = read_gold(request.gold, request.xml_dir, request.split)
    return score_gold(request, gold)


def score_gold(request: Request, gold: list[Sample]) -> Scored:
    """Count predictions against gold that was read before."""
    return score_predictions(request, gold, read_predictions(request.predictions, gold))


def score_predictions(request: Request, gold: list[Sample], found: Predictions) -> Scored:
    """Count predictions that were read before."""
    samples = _with_sizes(gold, found)
    predictions: list[Sequence[Record]] = list(found.records)
    excluded = 0
    if request.exclude_duplicates or request.exclude_train_duplicates:
        known = _duplicates(request, samples)
        excluded = sum(known)
        samples = [sample for sample, is_known in zip(samples, known, strict=True) if not is_known]
        predictions = [one for one, is_known in zip(predictions, known, strict=True) if not is_known]
    tally = ScoreTally(request.convention, request.iou, request.fine, known_types(samples, request.fine))
    for sample, predicted in zip(samples, predictions, strict=True):
        tally.add(sample, predicted)
    without = "duplicates" if request.exclude_duplicates else "train-duplicates"
    suffix = f"|without:{without}" if request.exclude_duplicates or request.exclude_train_duplicates else ""
    return Scored(tally, samples, predictions, found.form, found.missing, excluded, found.failures, suffix)


def _duplicates(request: Request, samples: list[Sample]) -> list[bool]:
    """Say of each tweet whether its words are also in train or, if all duplicates are meant, in dev or earlier here."""
    known = stands_in_train(samples, read_train(request.gold, request.train))
    if not request.exclude_duplicates:
        return known
    texts = {sample.text for sample in read_other_split(request.gold, "dev") if request.split != "dev"}
    found = []
    for sample, is_known in zip(samples, known, strict=True):
        found.append(is_known or sample.text in texts)
        texts.add(sample.text)
    return found


def _with_sizes(gold: list[Sample], found: Predictions) -> list[Sample]:
    if not found.sized:
        return gold
    return [
        replace(sample, size_wh=found.sized[place]) if sample.size_wh == NO_SIZE and place in found.sized else sample
        for place, sample in enumerate(gold)
    ]


def analyse_errors(request: Request, scored: Scored) -> dict[str, Any]:
    """Return the analysis of a scored file's errors; by mentions seen in training if its tweets are at hand."""
    mentions = None
    if request.train is not None or has_train(request.gold):
        train = read_train(request.gold, request.train)
        mentions = frozenset(normalise_mention(entity.mention) for sample in train for entity in sample.entities)
    return analyse(scored.samples, scored.predictions, request.convention, request.iou, request.fine, mentions)


def compare(one: Scored, other: Scored) -> dict[str, Comparison]:
    """Return the paired tests of each metric between two files' scores of the same gold tweets."""
    return {name: compare_rows(one.tally.rows(name), other.tally.rows(name), metric_of(name).value) for name in METRICS}
