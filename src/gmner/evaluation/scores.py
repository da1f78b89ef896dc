"""The stage `scores`: from samples and predictions to one run's scores, as JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from gmner.config.run import ScoreSettings
from gmner.config.stages import ScoresStage
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.evaluation.bootstrap import f1_interval
from gmner.evaluation.conventions import Profile, profile_of
from gmner.evaluation.counts import (
    COUNT_NAMES,
    TASKS,
    Counts,
    count_by_type,
    count_sample,
    region_scores,
    statistics_of_sizes,
    task_scores,
    total,
)
from gmner.storage.files import write_json
from gmner.storage.tables import PREDICTIONS, SAMPLES, iterate_rows, iterate_samples, read_samples, read_table

TWEET_COUNTS = ("predicted", "gold", *TASKS)
"""What scores.json keeps of each tweet, for paired tests between runs."""


def count_tweets(
    samples: Sequence[Sample], predictions: Sequence[Sequence[Record]], profile: Profile, iou: float, fine: bool = False
) -> list[Counts]:
    """Count each tweet; `predictions` stand in the order of `samples`, boxes in pixels of the original images."""
    prepared = (profile.prepare(s, p, fine) for s, p in zip(samples, predictions, strict=True))
    return [count_sample(predicted, gold, iou) for predicted, gold in prepared]


def f1_scores(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    score: ScoreSettings | None = None,
    fine: bool = False,
) -> dict[str, float]:
    """Return gmner_f1, mner_f1 and eeg_f1 in per cent, counted as `score` says (default: as the paper).

    `predictions` stand in the order of `samples`, boxes in pixels of the original images.
    """
    how = score or ScoreSettings()
    counts = total(count_tweets(samples, predictions, profile_of(how.profile), how.iou, fine))
    return {f"{task}_f1": 100 * task_scores(counts, task)["f1"] for task in TASKS}


def gmner_f1(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    score: ScoreSettings | None = None,
    fine: bool = False,
) -> float:
    """Return GMNER F1 in per cent: what the best epoch is chosen by. Arguments as of `f1_scores`."""
    return f1_scores(samples, predictions, score, fine)["gmner_f1"]


def make_scores(stage: ScoresStage, samples_path: Path, predictions_path: Path, split: str, out: Path) -> None:
    """Score a table of predictions against a split of a table of samples and write scores.json.

    Tables in one order, as the stages write them, are read side by side, some rows at a time. Raises DataError where
    the two tables do not hold the same samples.
    """
    pairs = pairs_of_tables(samples_path, predictions_path, split)
    tally = ScoreTally(profile_of(stage.score.profile), stage.score.iou, stage.fine)
    parsing = ParseTally()
    for sample, row in pairs:
        tally.add(sample, records_of_row(row))
        parsing.add(row)
    write_json(out, {**tally.report(), "parsing": parsing.report()})


def pairs_of_tables(samples_path: Path, predictions_path: Path, split: str) -> Iterator[tuple[Sample, dict[str, Any]]]:
    """Return each sample of a split with its row of predictions; errors as of `make_scores`."""
    where = f"{samples_path} ({split})"
    names = read_table(samples_path, SAMPLES, columns=["sample_id", "split"])
    wanted = names.filter(pc.equal(names["split"], split))["sample_id"]
    if wanted.equals(read_table(predictions_path, PREDICTIONS, columns=["sample_id"])["sample_id"]):
        return zip(iterate_samples(samples_path, split), iterate_rows(predictions_path, PREDICTIONS), strict=True)
    samples = read_samples(samples_path, split)
    return zip(samples, rows_of_samples(samples, predictions_path, where), strict=True)


def rows_of_samples(samples: Sequence[Sample], predictions_path: Path, where: str) -> list[dict[str, Any]]:
    """Return the rows of a table of predictions in the order of `samples`, one for each."""
    table = read_table(predictions_path, PREDICTIONS).to_pylist()
    rows = {row["sample_id"]: row for row in table}
    wanted = [sample.sample_id for sample in samples]
    missing = [name for name in wanted if name not in rows]
    extra = sorted(rows.keys() - set(wanted))
    if missing or extra or len(table) != len(wanted):
        raise DataError(
            f"{predictions_path}: expected one row for each of the {len(wanted)} samples of {where}; found "
            f"{len(table)} rows, {len(missing)} samples without one (first: {missing[:3]}), {len(extra)} of other "
            f"samples (first: {extra[:3]}): rerun the stage that writes it"
        )
    return [rows[name] for name in wanted]


def records_of_row(row: dict[str, Any]) -> list[Record]:
    """Return the records of a row of PREDICTIONS."""
    return [Record(e["mention"], e["type"], tuple(tuple(box) for box in e["boxes"])) for e in row["entities"]]


class ScoreTally:
    """Counts tweets one by one; nothing is kept of each but its few numbers."""

    def __init__(self, profile: Profile, iou: float, fine: bool) -> None:
        self.profile, self.iou, self.fine = profile, iou, fine
        self.ids: list[str] = []
        self.counts: dict[str, list[int]] = {name: [] for name in TWEET_COUNTS}
        self._sums = dict.fromkeys(COUNT_NAMES, 0)
        self._by_type: dict[str, Counts] = {}
        self._sizes: Counter[int] = Counter()

    def add(self, sample: Sample, predictions: Sequence[Record]) -> None:
        """Count one tweet."""
        predicted, gold = self.profile.prepare(sample, predictions, self.fine)
        counts = count_sample(predicted, gold, self.iou)
        self.ids.append(sample.sample_id)
        for name, found in self.counts.items():
            found.append(int(getattr(counts, name)))
        for name in COUNT_NAMES:
            self._sums[name] += getattr(counts, name)
        for name, one in count_by_type(predicted, gold, self.iou).items():
            self._by_type[name] = self._by_type.get(name, Counts()) + one
        self._sizes.update(len(record.boxes) for record in predictions)

    def report(self) -> dict[str, Any]:
        """Return all that scores.json says, but for the answers' parsing."""
        counts = Counts(**self._sums)
        regions = region_scores(counts)
        return {
            "signature": self.profile.signature(self.iou, self.fine),
            "samples": len(self.ids),
            **{task: task_scores(counts, task) for task in TASKS},
            "regions": regions,
            "percent": {
                **{f"{task}_f1": 100 * task_scores(counts, task)["f1"] for task in TASKS},
                **{name: 100 * regions[name] for name in ("acc_50", "acc_75", "mean_iou")},
            },
            "intervals": {f"{task}_f1": asdict(f1_interval(self._columns(task))) for task in TASKS},
            "by_type": {
                name: {**{task: task_scores(one, task) for task in ("gmner", "mner")}, "regions": region_scores(one)}
                for name, one in sorted(self._by_type.items())
            },
            "boxes": statistics_of_sizes(self._sizes),
            "tweets": {"sample_id": self.ids, **self.counts},
        }

    def _columns(self, task: str) -> NDArray[np.int64]:
        return np.array([self.counts[name] for name in (task, "predicted", "gold")], dtype=np.int64).T


def score_report(
    samples: Sequence[Sample], predictions: Sequence[Sequence[Record]], profile: Profile, iou: float, fine: bool
) -> dict[str, Any]:
    """Return all that scores.json says of predictions in the order of `samples`, but for their parsing."""
    tally = ScoreTally(profile, iou, fine)
    for sample, predicted in zip(samples, predictions, strict=True):
        tally.add(sample, predicted)
    return tally.report()


class ParseTally:
    """Counts the problems of answers."""

    def __init__(self) -> None:
        self.answers = self.with_problems = 0
        self.codes: Counter[str] = Counter()

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one row of PREDICTIONS."""
        self.answers += 1
        self.with_problems += bool(row["problems"])
        self.codes.update(problem["code"] for problem in row["problems"])

    def report(self) -> dict[str, Any]:
        """Return how many answers had problems, and how often each came."""
        return {
            "answers": self.answers,
            "with_problems": self.with_problems,
            "problems": dict(sorted(self.codes.items())),
        }


def parse_report(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many answers had problems, and how often each came."""
    tally = ParseTally()
    for row in rows:
        tally.add(row)
    return tally.report()
