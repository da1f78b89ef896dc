"""How sure a statement about a *method* is: several seeds of each run, for the same tweets.

A method's score differs from seed to seed and from tweets to tweets. Both are resampled: tweets jointly for all seeds
of both runs (the tweets are paired), seeds within each run (a seed of one run has nothing to do with the same number
of another). With few seeds the bootstrap alone is far too sure: three seeds resampled vary by a third less than new
ones would, and percentiles know nothing of how badly three values tell a deviation. So the spread over seeds is taken
with n - 1, and the difference over its standard error is compared with Student's t, with degrees of freedom by Welch
and Satterthwaite. With four seeds or more per run an exact permutation test over the runs' seeds has to agree. With
fewer that test can decide nothing, and Student's t rests on assumptions that two or three values cannot show to hold:
the level is then 0.035 instead of 0.05. In simulations without an effect 1 to 5 of 100 comparisons are marked, whatever
the ratio of the spread over seeds to that over tweets (`tests/evaluation/test_seeds.py`).

With one seed nothing is known of the spread over seeds: no statement about the method, whatever the tweets say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmner.evaluation.bootstrap import LEVEL, RESAMPLES, Value, as_rows, check_paired, percentiles
from gmner.evaluation.metrics import f1_percent

ONE_SEED = "one seed: no statement about the method"
ALPHA = 0.05
ALPHA_OF_FEW = 0.035  # with fewer seeds than the permutation test needs
ENOUGH_FOR_PERMUTATION = 4  # seeds on each side: below, no split of them is rare enough to reach ALPHA
_MOST_SPLITS = 20_000
_BLOCK = 1000  # resamples at once

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MethodScore:
    """A method's score in per cent: the mean over its seeds, their standard deviation, and an interval.

    With several seeds `low` and `high` bound the method's expected score on other tweets and with other seeds; with one
    (`deviation` is None) the score of this output on other tweets, and `statement` says so.
    """

    value: float
    deviation: float | None
    low: float
    high: float
    seeds: int
    tweets: int
    statement: str | None


@dataclass(frozen=True)
class MethodComparison:
    """How much higher method A scores than method B, in points of per cent.

    `p` is two-sided, None with one seed on a side; `p_permutation` is that of the exact permutation of seeds, None with
    fewer than four on a side. `significant`: both are below 0.05, or `p` alone below 0.035. `low` and `high` bound the
    difference as `p` is reckoned; with one seed they bound that of these outputs on other tweets. `statement` is None
    or says why nothing is said of the methods.
    """

    difference: float
    low: float
    high: float
    p: float | None
    p_permutation: float | None
    significant: bool
    seeds_a: int
    seeds_b: int
    tweets: int
    statement: str | None


def score_over_seeds(
    seeds: Sequence[ArrayLike],
    value: Value = f1_percent,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> MethodScore:
    """Return a method's score from the counts (N, K) of each seed's tweets, the same tweets in the same order."""
    rows = _stacked(seeds)
    scores = _scores(rows, value)
    drawn = _drawn(rows, value, resamples, seed)
    mean = float(scores.mean())
    if len(rows) == 1:
        low, high = percentiles(drawn[:, 0], level)
        return MethodScore(mean, None, low, high, 1, rows.shape[1], ONE_SEED)
    spread = _SpreadOfSeeds(scores)
    reach = _reach([spread], float(drawn.mean(axis=1).var(ddof=1)), rows.shape[1], level)
    low, high = max(0.0, mean - reach), min(100.0, mean + reach)
    return MethodScore(mean, spread.deviation, low, high, len(rows), rows.shape[1], None)


def compare_over_seeds(
    seeds_a: Sequence[ArrayLike],
    seeds_b: Sequence[ArrayLike],
    value: Value = f1_percent,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> MethodComparison:
    """Compare two methods from the counts (N, K) of each of their seeds' tweets, all for the same tweets in one order.

    Raises ValueError if the numbers of tweets differ.
    """
    a, b = _stacked(seeds_a), _stacked(seeds_b)
    check_paired(a.shape[1], b.shape[1])
    scores_a, scores_b = _scores(a, value), _scores(b, value)
    difference = float(scores_a.mean() - scores_b.mean())
    drawn = _drawn(np.concatenate([a, b]), value, resamples, seed)
    drawn_difference = drawn[:, : len(a)].mean(axis=1) - drawn[:, len(a) :].mean(axis=1)
    sizes = (len(a), len(b), a.shape[1])
    if min(len(a), len(b)) == 1:
        low, high = percentiles(drawn_difference, level)
        return MethodComparison(difference, low, high, None, None, False, *sizes, ONE_SEED)
    spreads = [_SpreadOfSeeds(scores_a), _SpreadOfSeeds(scores_b)]
    over_tweets = float(drawn_difference.var(ddof=1))
    reach = _reach(spreads, over_tweets, a.shape[1], level)
    p = _p_value(difference, spreads, over_tweets, a.shape[1])
    p_permutation = _permuted(scores_a, scores_b)
    significant = p < ALPHA_OF_FEW if p_permutation is None else max(p, p_permutation) < ALPHA
    return MethodComparison(
        difference, difference - reach, difference + reach, p, p_permutation, significant, *sizes, None
    )


class _SpreadOfSeeds:
    """The variance of a mean over seeds, and how well it is known."""

    def __init__(self, scores: Floats) -> None:
        self.deviation = float(scores.std(ddof=1))
        self.variance = self.deviation**2 / len(scores)
        self.freedom = len(scores) - 1


def _stacked(seeds: Sequence[ArrayLike]) -> Floats:
    if not len(seeds):
        raise ValueError("no seed: a score needs one at least")
    rows = [as_rows(one) for one in seeds]
    for one in rows:
        check_paired(len(rows[0]), len(one))
    return np.stack(rows)


def _scores(rows: Floats, value: Value) -> Floats:
    return np.asarray(value(rows.sum(axis=1)))


def _drawn(rows: Floats, value: Value, resamples: int, seed: int) -> Floats:
    """Return each seed's score (resamples, seeds) for tweets drawn with replacement, the same for all seeds."""
    seeds, tweets, columns = rows.shape
    if not tweets:
        return np.zeros((resamples, seeds))
    flat = rows.transpose(1, 0, 2).reshape(tweets, seeds * columns)
    rng = np.random.default_rng(seed)
    found = []
    for begin in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - begin)
        picks = rng.integers(0, tweets, (size, tweets)) + np.arange(size)[:, None] * tweets
        times = np.bincount(picks.ravel(), minlength=size * tweets).reshape(size, tweets)
        sums = times.astype(np.float64) @ flat
        found.append(value(sums.reshape(size, seeds, columns)))
    return np.concatenate(found)


def _reach(spreads: Sequence[_SpreadOfSeeds], over_tweets: float, tweets: int, level: float) -> float:
    from scipy.stats import t as student  # slow to import

    error, freedom = _standard_error(spreads, over_tweets, tweets)
    return float(student.ppf(0.5 + level / 2, freedom) * error) if error else 0.0


def _p_value(difference: float, spreads: Sequence[_SpreadOfSeeds], over_tweets: float, tweets: int) -> float:
    from scipy.stats import t as student

    error, freedom = _standard_error(spreads, over_tweets, tweets)
    if not error:
        return 1.0 if not difference else 0.0
    return float(2 * student.sf(abs(difference) / error, freedom))


def _standard_error(spreads: Sequence[_SpreadOfSeeds], over_tweets: float, tweets: int) -> tuple[float, float]:
    """Return the standard error over seeds and tweets, and its degrees of freedom (Welch and Satterthwaite)."""
    parts = [*((one.variance, one.freedom) for one in spreads), (over_tweets, max(1, tweets - 1))]
    variance = sum(part for part, _ in parts)
    if not variance:
        return 0.0, 1.0
    if min(freedom for _, freedom in parts) == 1:  # two seeds: their deviation is next to unknown
        return sqrt(variance), 1.0
    return sqrt(variance), variance**2 / sum(part**2 / freedom for part, freedom in parts)


def _permuted(a: Floats, b: Floats) -> float | None:
    """Return the share of all splits of the seeds into two runs with means as far apart, None with too few seeds."""
    if min(len(a), len(b)) < ENOUGH_FOR_PERMUTATION:
        return None
    scores = np.concatenate([a, b])
    observed = abs(a.mean() - b.mean())
    if comb(len(scores), len(a)) > _MOST_SPLITS:
        rng = np.random.default_rng(0)
        splits = [rng.permutation(len(scores))[: len(a)] for _ in range(_MOST_SPLITS)] + [np.arange(len(a))]
    else:
        splits = [np.array(split) for split in combinations(range(len(scores)), len(a))]
    ours = scores[np.stack(splits)].sum(axis=1)
    apart = np.abs(ours / len(a) - (scores.sum() - ours) / len(b))
    return float((apart >= observed - 1e-9).mean())
