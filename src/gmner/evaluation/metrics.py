"""Metrics by name; 'Add a metric' in docs/extending.md adds a line here.

A metric counts a few numbers of each tweet and makes one number, in per cent, of their sums over tweets. So every
metric has what the three F1 scores have: a value, an interval over tweets and seeds, paired tests, and its place in
scores.json, in `gmner score` and in the report.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmner.core.records import Record, Sample
from gmner.evaluation.compared import ComparedTweet
from gmner.evaluation.counts import Counts

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoredTweet:
    """All that a metric may look at. `predicted` as the system said it, boxes in pixels of the original image."""

    sample: Sample
    predicted: tuple[Record, ...]
    compared: ComparedTweet
    counts: Counts
    iou: float
    known_types: frozenset[str]


@dataclass(frozen=True)
class Metric:
    """One metric. `columns` name the numbers that `count` returns of a tweet.

    `value` takes sums (…, len(columns)) and returns per cent (…,). `better`: whether `more` or `less` is better.
    """

    title: str
    columns: tuple[str, ...]
    count: Callable[[ScoredTweet], tuple[float, ...]]
    value: Callable[[ArrayLike], Floats]
    better: str = "more"

    def of(self, rows: ArrayLike) -> float:
        """Return the metric, in per cent, of tweets' counts (N, columns)."""
        array = np.asarray(rows, dtype=np.float64).reshape(-1, len(self.columns))
        return float(self.value(array.sum(axis=0)))

    def counted(self, rows: ArrayLike) -> dict[str, Any]:
        """Return the sums of tweets' counts (N, columns) by name."""
        array = np.asarray(rows, dtype=np.float64).reshape(-1, len(self.columns))
        sums = array.sum(axis=0).tolist()
        return {name: int(sum_) if sum_.is_integer() else sum_ for name, sum_ in zip(self.columns, sums, strict=True)}


def f1_percent(sums: ArrayLike) -> Floats:
    """Return F1 in per cent of sums (…, 3): correct, predicted, gold; 0 if nothing is predicted nor gold."""
    array = np.asarray(sums, dtype=np.float64)
    both = array[..., 1] + array[..., 2]
    return 200 * np.divide(array[..., 0], both, out=np.zeros_like(both), where=both > 0)


def share_percent(sums: ArrayLike) -> Floats:
    """Return the share in per cent of sums (…, 2): part, whole; 0 if the whole is nothing."""
    array = np.asarray(sums, dtype=np.float64)
    whole = array[..., 1]
    return 100 * np.divide(array[..., 0], whole, out=np.zeros_like(whole), where=whole > 0)


def _f1(title: str, task: str) -> Metric:
    return Metric(title, ("correct", "predicted", "gold"), lambda tweet: tweet.counts.of_task(task), f1_percent)


GMNER_F1, MNER_F1, EEG_F1 = _f1("GMNER F1", "gmner"), _f1("MNER F1", "mner"), _f1("EEG F1", "eeg")
ACC_50 = Metric(
    "Acc@0.5", ("correct", "groundable"), lambda tweet: (tweet.counts.acc_50, tweet.counts.groundable), share_percent
)
ACC_75 = Metric(
    "Acc@0.75", ("correct", "groundable"), lambda tweet: (tweet.counts.acc_75, tweet.counts.groundable), share_percent
)
MEAN_IOU = Metric(
    "mean IoU", ("iou", "paired"), lambda tweet: (tweet.counts.iou_sum, tweet.counts.paired), share_percent
)

METRICS = {
    "gmner_f1": "gmner.evaluation.metrics:GMNER_F1",
    "mner_f1": "gmner.evaluation.metrics:MNER_F1",
    "eeg_f1": "gmner.evaluation.metrics:EEG_F1",
    "acc_50": "gmner.evaluation.metrics:ACC_50",
    "acc_75": "gmner.evaluation.metrics:ACC_75",
    "mean_iou": "gmner.evaluation.metrics:MEAN_IOU",
    "absent_boxed": "gmner.evaluation.modality_bias:ABSENT_BOXED",
    "not_in_text": "gmner.evaluation.modality_bias:NOT_IN_TEXT",
    "unknown_types": "gmner.evaluation.modality_bias:UNKNOWN_TYPES",
}
"""Every metric by its name in scores.json: `module:NAME` of its implementation, in the order of printing."""


@cache
def metric_of(name: str) -> Metric:
    """Return a metric by its name in METRICS."""
    module, _, attribute = METRICS[name].partition(":")
    found: Metric = getattr(import_module(module), attribute)
    return found
