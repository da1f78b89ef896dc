"""How sure a score is: bootstrap intervals over tweets, and paired tests between two runs.

F1 depends on a tweet only through a few small whole numbers, so that most tweets are interchangeable. A resample of
the tweets is therefore drawn as how often each *kind* of tweet comes: one multinomial draw over some dozens of
kinds in place of 1500 single ones, the same distribution, 10 000 resamples in a fraction of a second. Likewise a
random exchange of two runs' answers is a binomial draw for each kind of pair.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
LEVEL = 0.95

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A score and its percentile bootstrap interval, all in per cent."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How much higher run A scores than run B, in points of per cent, and whether that may be chance.

    `low` and `high` bound the difference (paired bootstrap); `p_bootstrap` and `p_randomisation` are two-sided.
    """

    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float


def f1_percent(sums: ArrayLike) -> Floats:
    """Return F1 in per cent of sums (…, 3): correct, predicted, gold; 0 where nothing is predicted nor gold."""
    array = np.asarray(sums, dtype=np.float64)
    both = array[..., 1] + array[..., 2]
    return 200 * np.divide(array[..., 0], both, out=np.zeros_like(both), where=both > 0)


def f1_interval(counts: ArrayLike, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL) -> Interval:
    """Return F1 and its interval from tweets' counts (N, 3): correct, predicted, gold."""
    rows = _rows(counts, 3)
    scores = f1_percent(_resampled(rows, resamples, seed))
    low, high = _percentiles(scores, level)
    return Interval(float(f1_percent(rows.sum(axis=0))), low, high)


def compare_f1(
    counts_a: ArrayLike, counts_b: ArrayLike, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Comparison:
    """Compare two runs on the same tweets in the same order; each side's counts are (N, 3).

    The bootstrap's p is twice the share of resamples on the other side of zero; approximate randomisation
    (Noreen 1989) exchanges the runs' answers tweet by tweet and asks how often the difference gets as large. Both
    shares count the observed one too, so that p is never 0. Raises ValueError where the numbers of tweets differ.
    """
    a, b = _rows(counts_a, 3), _rows(counts_b, 3)
    if len(a) != len(b):
        raise ValueError(f"runs have {len(a)} and {len(b)} tweets; a paired test needs the same tweets")
    pairs = np.hstack([a, b])
    observed = _difference(pairs.sum(axis=0))
    drawn = _difference(_resampled(pairs, resamples, seed))
    low, high = _percentiles(drawn, level)
    other_side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    swapped = _difference(_exchanged(pairs, resamples, seed))
    as_large = int((np.abs(swapped) >= abs(float(observed)) - 1e-9).sum())
    return Comparison(
        difference=float(observed),
        low=low,
        high=high,
        p_bootstrap=min(1.0, 2 * (other_side + 1) / (resamples + 1)),
        p_randomisation=(as_large + 1) / (resamples + 1),
    )


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean over seeds and the sample standard deviation, None for one seed."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None


def _rows(counts: ArrayLike, columns: int) -> Numbers:
    return np.asarray(counts, dtype=np.int64).reshape(-1, columns)


def _kinds(rows: Numbers) -> tuple[Numbers, Numbers]:
    kinds, times = np.unique(rows, axis=0, return_counts=True)
    return kinds, times.astype(np.int64)


def _resampled(rows: Numbers, resamples: int, seed: int) -> Numbers:
    if not len(rows):
        return np.zeros((resamples, rows.shape[1]), dtype=np.int64)
    kinds, times = _kinds(rows)
    drawn = np.random.default_rng(seed).multinomial(len(rows), times / len(rows), size=resamples)
    return np.asarray(drawn @ kinds)


def _exchanged(pairs: Numbers, resamples: int, seed: int) -> Numbers:
    kinds, times = _kinds(pairs)
    swapped = np.random.default_rng([seed, 1]).binomial(times, 0.5, size=(resamples, len(times)))
    half = pairs.shape[1] // 2
    turned = np.hstack([kinds[:, half:], kinds[:, :half]])
    return np.asarray((times - swapped) @ kinds + swapped @ turned)


def _difference(sums: Numbers) -> Floats:
    return np.asarray(f1_percent(sums[..., :3]) - f1_percent(sums[..., 3:]))


def _percentiles(values: Floats, level: float) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
