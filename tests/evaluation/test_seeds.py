import time

import numpy as np
import pytest
from scipy import stats

from gmner.evaluation.bootstrap import compare, interval
from gmner.evaluation.metrics import f1_percent
from gmner.evaluation.seeds import ONE_SEED, compare_over_seeds, score_over_seeds

TWEETS = 200


def _base(rng: np.random.Generator, tweets: int = TWEETS) -> tuple[np.ndarray, np.ndarray]:
    return rng.integers(0, 4, tweets), rng.normal(0, 0.25, tweets)


def _run(rng: np.random.Generator, base: tuple[np.ndarray, np.ndarray], seeds: int, share: float, scatter: float):  # type: ignore[no-untyped-def]
    """Return the counts of a run's seeds: hard tweets are hard for all, and each seed is better or worse at all."""
    gold, hardness = base
    found = []
    for _ in range(seeds):
        chance = np.clip(share + rng.normal(0, scatter) + hardness + rng.normal(0, 0.2, len(gold)), 0, 1)
        found.append(np.stack([rng.binomial(gold, chance), gold, gold], axis=1))
    return found


def _marked(seeds: int, scatter: float, effect: float, trials: int, scatter_b: float | None = None) -> float:
    rng = np.random.default_rng(1)
    marked = 0
    for _ in range(trials):
        base = _base(rng)
        ours = _run(rng, base, seeds, 0.6 + effect, scatter)
        theirs = _run(rng, base, seeds, 0.6, scatter if scatter_b is None else scatter_b)
        marked += compare_over_seeds(ours, theirs, resamples=200).significant
    return marked / trials


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("scatter", [0.0, 0.02, 0.1])
def test_without_an_effect_at_most_one_comparison_in_twenty_is_marked(seeds: int, scatter: float) -> None:
    assert _marked(seeds, scatter, 0.0, 1000) <= 0.05


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_a_run_without_scatter_against_one_with(seeds: int) -> None:
    assert _marked(seeds, 0.1, 0.0, 1000, scatter_b=0.0) <= 0.055


@pytest.mark.parametrize(("seeds", "effect"), [(3, 0.2), (5, 0.12)])
def test_a_real_effect_is_mostly_marked(seeds: int, effect: float) -> None:
    assert _marked(seeds, 0.02, effect, 200) > 0.8


def test_a_test_over_tweets_alone_would_have_marked_the_luck_of_a_seed() -> None:
    # What the tables did before: tweets resampled, seeds taken as the method.
    rng = np.random.default_rng(5)
    lucky = 0
    for _ in range(40):
        base = _base(rng)
        ours, theirs = (np.sum(_run(rng, base, 3, 0.6, 0.1), axis=0) for _ in range(2))
        lucky += compare(ours, theirs, resamples=300).p_randomisation < 0.05
    assert lucky > 10


def test_one_seed_says_nothing_of_the_method() -> None:
    rng = np.random.default_rng(0)
    base = _base(rng)
    one, three = _run(rng, base, 1, 0.9, 0), _run(rng, base, 3, 0.3, 0)
    for sides in ((one, three), (three, one), (one, one)):
        found = compare_over_seeds(*sides, resamples=200)
        assert (found.p, found.significant, found.statement) == (None, False, ONE_SEED)
    alone = score_over_seeds(one, resamples=200)
    assert (alone.deviation, alone.statement) == (None, ONE_SEED)
    assert alone.low < alone.value < alone.high


def test_the_interval_over_tweets_is_scipys_bootstrap() -> None:
    rng = np.random.default_rng(3)
    (rows,) = _run(rng, _base(rng, 300), 1, 0.6, 0)
    oracle = stats.bootstrap(
        tuple(rows.T.astype(float)),
        lambda c, p, g, axis=-1: f1_percent(np.stack([c.sum(axis), p.sum(axis), g.sum(axis)], axis=-1)),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=1,
    )
    for found in (interval(rows), score_over_seeds([rows])):
        assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.35)
        assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.35)


def test_seeds_that_agree_leave_the_interval_over_tweets() -> None:
    rng = np.random.default_rng(4)
    (rows,) = _run(rng, _base(rng, 400), 1, 0.6, 0)
    one, four = score_over_seeds([rows]), score_over_seeds([rows] * 4)
    assert four.deviation == 0
    assert (four.high - four.low) == pytest.approx(one.high - one.low, rel=0.1)


def test_more_scatter_widens_the_interval() -> None:
    rng = np.random.default_rng(6)
    base = _base(rng)
    calm, wild = (score_over_seeds(_run(rng, base, 4, 0.6, scatter)) for scatter in (0.0, 0.15))
    assert wild.high - wild.low > 1.5 * (calm.high - calm.low)


def test_the_exact_permutation_of_seeds() -> None:
    rng = np.random.default_rng(7)
    base = _base(rng)
    found = compare_over_seeds(_run(rng, base, 4, 0.9, 0.01), _run(rng, base, 4, 0.4, 0.01), resamples=200)
    assert found.p_permutation == pytest.approx(2 / 70)
    assert found.significant
    assert (
        compare_over_seeds(_run(rng, base, 3, 0.9, 0), _run(rng, base, 3, 0.4, 0), resamples=200).p_permutation is None
    )


def test_other_numbers_of_tweets_are_refused() -> None:
    with pytest.raises(ValueError, match="200 and 10 tweets"):
        compare_over_seeds([np.zeros((200, 3))], [np.zeros((10, 3))])
    with pytest.raises(ValueError, match="no seed"):
        score_over_seeds([])


def test_ten_thousand_resamples_of_1500_tweets_and_five_seeds_take_less_than_two_seconds() -> None:
    rng = np.random.default_rng(8)
    base = _base(rng, 1500)
    ours, theirs = _run(rng, base, 5, 0.6, 0.02), _run(rng, base, 5, 0.6, 0.02)
    begin = time.process_time()
    compare_over_seeds(ours, theirs)
    assert time.process_time() - begin < 2
