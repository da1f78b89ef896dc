"""The one assembler of scores: for the stage `scores`, for `gmner score`, and for the report."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from gmner.config.stages import ScoresStage
from gmner.core.entity_types import COARSE_TYPES, all_fine_types
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.evaluation.bootstrap import interval
from gmner.evaluation.calibration import calibration, judged_confidences
from gmner.evaluation.compared import ComparedTweet, Convention, SystemRecord
from gmner.evaluation.conventions import convention_of
from gmner.evaluation.counts import (
    TASKS,
    Counts,
    count_by_type,
    count_tweet,
    region_scores,
    statistics_of_sizes,
    task_scores,
)
from gmner.evaluation.f1 import records_of_row
from gmner.evaluation.metrics import METRICS, ScoredTweet, metric_of
from gmner.storage.files import write_json
from gmner.storage.tables import PREDICTIONS, SAMPLES, iterate_rows, iterate_samples, read_samples, read_table


def make_scores(stage: ScoresStage, samples_path: Path, predictions_path: Path, split: str, out: Path) -> None:
    """Score a table of predictions against a split of a table of samples and write scores.json.

    Tables in one order, as the stages write them, are read side by side, some rows at a time. Raises DataError if the
    two tables do not hold the same samples.
    """
    pairs = pairs_of_tables(samples_path, predictions_path, split)
    known = known_types(iterate_samples(samples_path, split), stage.fine)
    tally = ScoreTally(convention_of(stage.score.profile), stage.score.iou, stage.fine, known)
    parsing = ParseTally()
    for sample, row in pairs:
        tally.add(sample, records_of_row(row))
        parsing.add(row)
    write_json(out, {**tally.report(), "tweets": tally.tweets(), "parsing": parsing.report()})


def known_types(samples: Iterable[Sample], fine: bool) -> frozenset[str]:
    """Return the types that a system may say: those of the annotation and of the dataset's papers."""
    usual = all_fine_types() if fine else COARSE_TYPES
    return frozenset(usual).union(e.label(fine) for sample in samples for e in sample.entities)


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
    """Return the rows of a table of predictions in the order of `samples`, one each."""
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


class ScoreTally:
    """Counts tweets one by one; nothing is kept of each but its few numbers, unless `keep` asks for it."""

    def __init__(
        self, convention: Convention, iou: float, fine: bool, types: frozenset[str], keep: bool = False
    ) -> None:
        self.convention, self.iou, self.fine, self.types, self.keep = convention, iou, fine, types, keep
        self.ids: list[str] = []
        self.compared: list[ComparedTweet] = []
        self._metrics = {name: metric_of(name) for name in METRICS}
        self._counted: dict[str, list[tuple[float, ...]]] = {name: [] for name in METRICS}
        self._sums = Counts()
        self._by_type: dict[str, Counts] = {}
        self._sizes: Counter[int] = Counter()
        self._confidences: list[tuple[float, bool]] = []

    def add(self, sample: Sample, predictions: Sequence[Record]) -> None:
        """Count one tweet."""
        compared = self.convention.compare(sample, predictions, self.iou, self.fine)
        counts = count_tweet(compared, self.iou)
        tweet = ScoredTweet(sample, tuple(predictions), compared, counts, self.iou, self.types)
        for name, metric in self._metrics.items():
            self._counted[name].append(metric.count(tweet))
        self.ids.append(sample.sample_id)
        self._sums += counts
        if compared.predicted or compared.gold or compared.by_task:
            for name, one in count_by_type(compared, self.iou).items():
                self._by_type[name] = self._by_type.get(name, Counts()) + one
        self._sizes.update(len(record.boxes) for record in predictions)
        if any(isinstance(record, SystemRecord) and record.confidence is not None for record in predictions):
            self._confidences += judged_confidences(self.convention, sample, predictions, self.iou, self.fine)
        if self.keep:
            self.compared.append(compared)

    def rows(self, metric: str) -> NDArray[np.float64]:
        """Return a metric's counts per tweet (N, columns), for intervals and tests."""
        return np.array(self._counted[metric], dtype=np.float64).reshape(-1, len(self._metrics[metric].columns))

    def report(self) -> dict[str, Any]:
        """Return all that is said of the scores of one output."""
        rows = {name: self.rows(name) for name in self._metrics}
        intervals = {name: interval(rows[name], metric.value) for name, metric in self._metrics.items()}
        return {
            "signature": self.convention.signature(self.iou, self.fine),
            "samples": len(self.ids),
            **{task: task_scores(self._sums, task) for task in TASKS},
            "regions": region_scores(self._sums),
            "percent": {name: one.value for name, one in intervals.items()},
            "intervals": {name: asdict(one) for name, one in intervals.items()},
            "counts": {name: metric.counted(rows[name]) for name, metric in self._metrics.items()},
            "by_type": {
                name: {**{task: task_scores(one, task) for task in ("gmner", "mner")}, "regions": region_scores(one)}
                for name, one in sorted(self._by_type.items())
            },
            "boxes": statistics_of_sizes(self._sizes),
            "calibration": calibration(self._confidences),
        }

    def tweets(self) -> dict[str, Any]:
        """Return each tweet's id, and per metric its counts: what tests between runs need."""
        counted = {name: [list(map(_plain, row)) for row in rows] for name, rows in self._counted.items()}
        return {"sample_id": self.ids, **counted}


def _plain(number: float) -> float:
    return int(number) if float(number).is_integer() else float(number)


def tweet_rows(scores: Mapping[str, Any], metric: str = "gmner_f1") -> NDArray[np.float64]:
    """Return a metric's counts per tweet (N, columns) from what scores.json says."""
    columns = len(metric_of(metric).columns)
    return np.array(scores["tweets"][metric], dtype=np.float64).reshape(-1, columns)


def score_report(
    samples: Sequence[Sample],
    predictions: Sequence[Sequence[Record]],
    convention: Convention,
    iou: float,
    fine: bool = False,
) -> dict[str, Any]:
    """Return all that scores.json says of predictions in the order of `samples`, but for their parsing."""
    tally = ScoreTally(convention, iou, fine, known_types(samples, fine))
    for sample, predicted in zip(samples, predictions, strict=True):
        tally.add(sample, predicted)
    return {**tally.report(), "tweets": tally.tweets()}


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
        """Return how many answers had problems, and how often each occurred."""
        return {
            "answers": self.answers,
            "with_problems": self.with_problems,
            "problems": dict(sorted(self.codes.items())),
        }


def parse_report(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many answers had problems, and how often each occurred."""
    tally = ParseTally()
    for row in rows:
        tally.add(row)
    return tally.report()
