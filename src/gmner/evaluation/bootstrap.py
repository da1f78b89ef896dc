"""How sure the score of *one output* is: bootstrap intervals over tweets, and paired tests between two outputs.

What this says is about these answers to other tweets, not about the method that gave them: another seed gives
other answers. Statements about methods are in `gmner.evaluation.seeds`.

A metric depends on a tweet only through a few small numbers, so that most tweets are interchangeable. A resample of
the tweets is therefore drawn as how often each *kind* of tweet occurs: one multinomial draw over some dozens of
kinds instead of 1500 single ones, the same distribution, 10 000 resamples in a fraction of a second. Likewise a
random exchange of two outputs' answers is a binomial draw per kind of pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmner.evaluation.metrics import f1_percent

RESAMPLES = 10_000
LEVEL = 0.95
_DECIMALS = 2  # of counts that are no whole numbers (sums of IoU), for drawing alone

Floats = NDArray[np.float64]
Value = Callable[[ArrayLike], Floats]


@dataclass(frozen=True)
class Interval:
    """A score and its percentile bootstrap interval, all in per cent."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How much higher output A scores than output B, in points of per cent, and whether that may be chance.

    `low` and `high` bound the difference (paired bootstrap); `p_bootstrap` and `p_randomisation` are two-sided.
    """

    difference: float
    low: float
    high: float
    p_bootstrap: float
    p_randomisation: float


def interval(
    rows: ArrayLike, value: Value = f1_percent, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Return a metric and its interval from tweets' counts (N, K); `value` makes per cent of sums (…, K)."""
    counts = as_rows(rows)
    exact = float(value(counts.sum(axis=0)))
    low, high = percentiles(_shifted(value(_resampled(counts, resamples, seed)), counts, value, exact), level)
    return Interval(exact, low, high)


def compare(
    rows_a: ArrayLike,
    rows_b: ArrayLike,
    value: Value = f1_percent,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Comparison:
    """Compare two outputs for the same tweets in the same order; each side's counts are (N, K).

    The bootstrap's p is twice the share of resamples on the other side of zero; approximate randomisation
    (Noreen 1989) exchanges the outputs' answers tweet by tweet and asks how often the difference gets as large. Both
    shares count the observed one too, so that p is never 0. Raises ValueError if the numbers of tweets differ.
    """
    a, b = as_rows(rows_a), as_rows(rows_b)
    check_paired(len(a), len(b))
    columns = a.shape[1]
    pairs = np.hstack([a, b])

    def difference(sums: ArrayLike) -> Floats:
        array = np.asarray(sums)
        return np.asarray(value(array[..., :columns]) - value(array[..., columns:]))

    observed = float(difference(pairs.sum(axis=0)))
    drawn = difference(_resampled(pairs, resamples, seed))
    low, high = percentiles(drawn, level)
    other_side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    swapped = difference(_exchanged(pairs, resamples, seed))
    as_large = int((np.abs(swapped) >= abs(observed) - 1e-9).sum())
    return Comparison(
        difference=observed,
        low=low,
        high=high,
        p_bootstrap=min(1.0, 2 * (other_side + 1) / (resamples + 1)),
        p_randomisation=(as_large + 1) / (resamples + 1),
    )


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean over seeds and the sample standard deviation, None for one seed."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None


def as_rows(counts: ArrayLike) -> Floats:
    """Return tweets' counts as floats (N, K)."""
    array = np.asarray(counts, dtype=np.float64)
    return array if array.ndim == 2 else array.reshape(-1, 3)


def check_paired(tweets_a: int, tweets_b: int) -> None:
    """Raise ValueError if two outputs are not for the same number of tweets."""
    if tweets_a != tweets_b:
        raise ValueError(f"outputs have {tweets_a} and {tweets_b} tweets; a paired test needs the same tweets")


def percentiles(values: Floats, level: float) -> tuple[float, float]:
    """Return the bounds of the middle `level` of some values."""
    low, high = np.percentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def _kinds(rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
    kinds, times = np.unique(np.round(rows, _DECIMALS), axis=0, return_counts=True)
    return kinds, times.astype(np.int64)


def _resampled(rows: Floats, resamples: int, seed: int) -> Floats:
    if not len(rows):
        return np.zeros((resamples, rows.shape[1]))
    kinds, times = _kinds(rows)
    drawn = np.random.default_rng(seed).multinomial(len(rows), times / len(rows), size=resamples)
    return np.asarray(drawn.astype(np.float64) @ kinds)


def _shifted(drawn: Floats, rows: Floats, value: Value, exact: float) -> Floats:
    # Rounded sums of IoU are off by a hair, the same in every resample.
    rounded = float(value(np.round(rows, _DECIMALS).sum(axis=0)))
    return np.asarray(drawn + (exact - rounded)) if rounded != exact else drawn


def _exchanged(pairs: Floats, resamples: int, seed: int) -> Floats:
    kinds, times = _kinds(pairs)
    swapped = np.random.default_rng([seed, 1]).binomial(times, 0.5, size=(resamples, len(times)))
    half = pairs.shape[1] // 2
    turned = np.hstack([kinds[:, half:], kinds[:, :half]])
    return np.asarray((times - swapped).astype(np.float64) @ kinds + swapped.astype(np.float64) @ turned)
