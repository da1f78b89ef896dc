import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmner.config.run import GrbpSettings
from gmner.core.boxes import box_iou_pairs
from gmner.targets.grbp import (
    gaussian_noise,
    keys_of,
    perturb_boxes,
    round_boxes,
    row_keys,
    sample_key,
    scaled_noise,
)


def random_boxes(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Boxes of all sizes in images of all sizes, some at the border, some smaller than a pixel."""
    generator = np.random.default_rng(seed)
    sizes = generator.integers(28, 1300, (count, 2))
    first, second = generator.uniform(0, 1, (2, count, 2)) ** generator.choice([0.2, 1, 5], (count, 1))
    boxes = np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)
    return boxes * np.tile(sizes, 2), sizes


def some_keys(count: int, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return row_keys(seed, np.arange(count), epoch, np.zeros(count), np.zeros(count))


@settings(max_examples=60, deadline=None)
@given(
    strengths=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    gaussian=st.sampled_from(["paper", "release"]),
    guard=st.floats(0, 1),
    tries=st.integers(1, 6),
    min_side=st.floats(0, 40),
    seed=st.integers(-5, 2**65),
)
def test_the_guard_holds_and_boxes_stay_inside(
    strengths: tuple[float, float], gaussian: str, guard: float, tries: int, min_side: float, seed: int
) -> None:
    how = GrbpSettings(
        beta=strengths[0], gamma=strengths[1], gaussian=gaussian, iou_guard=guard, tries=tries, min_side=min_side
    )
    boxes, sizes = random_boxes(200)
    found = perturb_boxes(boxes, sizes, some_keys(200, seed), how)
    assert np.array_equal(found.boxes, np.rint(found.boxes))
    assert (found.boxes >= 0).all() and (found.boxes <= np.tile(sizes, 2)).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
    assert np.array_equal(found.original, round_boxes(boxes, sizes))
    assert np.array_equal(found.iou, box_iou_pairs(found.boxes, found.original))
    assert (found.iou >= guard).all()
    assert np.array_equal(found.boxes[found.fallback], found.original[found.fallback])
    assert (found.tries[found.fallback] == tries).all() and (found.tries <= tries).all()
    least = np.minimum(min_side, found.original[:, 2:] - found.original[:, :2])
    assert (found.boxes[:, 2:] - found.boxes[:, :2] >= least).all()


@pytest.mark.parametrize("how", [GrbpSettings(beta=0, gamma=0, min_side=30, iou_guard=0), GrbpSettings(enabled=False)])
def test_without_strength_boxes_are_only_rounded(how: GrbpSettings) -> None:
    boxes, sizes = random_boxes(500)
    found = perturb_boxes(boxes, sizes, some_keys(500), how)
    assert np.array_equal(found.boxes, round_boxes(boxes, sizes))
    assert (found.iou == 1).all() and not found.tries.any() and not found.fallback.any()


def test_rounded_boxes_have_a_side_of_one_at_least_and_lie_inside() -> None:
    boxes = [(0.2, 0.2, 0.3, 0.3), (99.9, 49.9, 100, 50), (-5, -5, 300, 300), (30, 20, 10, 5), (200, 200, 300, 300)]
    assert round_boxes(boxes, (100, 50)).tolist() == [
        [0, 0, 1, 1],
        [99, 49, 100, 50],
        [0, 0, 100, 50],
        [10, 5, 30, 20],
        [99, 49, 100, 50],
    ]


def test_the_same_bytes_however_the_boxes_are_split_and_ordered() -> None:
    boxes, sizes = random_boxes(1000)
    keys, how = some_keys(1000, 7, 3), GrbpSettings(beta=0.4, gamma=0.4)
    whole = perturb_boxes(boxes, sizes, keys, how)
    order = np.random.default_rng(1).permutation(1000)
    for part in [*np.array_split(order, 7), order[:1], order[:0]]:
        found = perturb_boxes(boxes[part], sizes[part], keys[part], how)
        for name in ("boxes", "original", "iou", "tries", "fallback"):
            assert getattr(found, name).tobytes() == getattr(whole, name)[part].tobytes()


def test_keys_tell_seed_sample_epoch_entity_and_box_apart() -> None:
    keys = {
        int(row_keys(seed, [sample_key(name)], epoch, [entity], [box])[0])
        for seed in (0, 1, 42)
        for name in ("train/1", "train/2", "1/train", "café")
        for epoch in range(4)
        for entity in range(4)
        for box in range(4)
    }
    assert len(keys) == 3 * 4 * 4 * 4 * 4


def test_keys_are_the_same_on_every_machine() -> None:
    assert sample_key("train/1") == 0x6902CD5D299CC11B
    assert keys_of(["train/1", "é"]).dtype == np.uint64
    assert row_keys(42, keys_of(["train/1"]), 3, [1], [2]).tolist() == [0x1A9C8B9D5B9F8D88]


def test_noise_is_standard_normal_and_independent() -> None:
    noise = gaussian_noise(some_keys(50_000), 0)
    assert noise.shape == (50_000, 4)
    assert np.abs(noise.mean(axis=0)).max() < 0.02
    assert np.abs(noise.std(axis=0) - 1).max() < 0.02
    assert np.abs((noise**3).mean(axis=0)).max() < 0.06
    assert np.abs((noise**4).mean(axis=0) - 3).max() < 0.15
    other = np.concatenate(
        [noise, gaussian_noise(some_keys(50_000), 1), gaussian_noise(some_keys(50_000, 1), 0)], axis=1
    )
    assert np.abs(np.corrcoef(other.T) - np.eye(12)).max() < 0.02


def moments(gaussian: str, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shift of the centre and change of the sides of a large box far from any border, in its width and height."""
    count = 40_000
    boxes, sizes = np.tile([4000.0, 3000.0, 8000.0, 7000.0], (count, 1)), np.tile([12000, 10000], (count, 1))
    how = GrbpSettings(beta=strength, gamma=strength, gaussian=gaussian, iou_guard=0)
    found = perturb_boxes(boxes, sizes, some_keys(count), how)
    assert (found.tries == 1).all()
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    centres = (found.boxes[:, 2:] + found.boxes[:, :2]) / 2
    return (centres - [6000, 5000]) / 4000, sides / 4000 - 1, found.iou


def test_the_paper_s_gaussian_has_the_strength_as_its_deviation() -> None:
    for values in moments("paper", 0.05)[:2]:
        assert np.abs(values.mean(axis=0)).max() < 0.001
        assert values.std(axis=0) == pytest.approx([0.05, 0.05], rel=0.02)
        assert np.abs(values).max() > 0.15


def test_the_release_s_gaussian_is_narrower_and_clipped() -> None:
    # A normal of deviation s / sqrt 3 clipped to ±s: the variance is that of a normal clipped at sqrt 3 deviations.
    clipped = np.clip(np.random.default_rng(0).normal(size=1_000_000), -np.sqrt(3), np.sqrt(3)).std() / np.sqrt(3)
    for values in moments("release", 0.05)[:2]:
        assert np.abs(values.mean(axis=0)).max() < 0.001
        assert values.std(axis=0) == pytest.approx([0.05 * clipped] * 2, rel=0.02)
        assert np.abs(values).max() == pytest.approx(0.05, abs=0.001)


def test_the_release_s_noise_by_itself() -> None:
    noise = np.array([[0.0, np.sqrt(3), -5.0, 0.5]])
    assert scaled_noise(noise, 0.2, "release")[0] == pytest.approx([0, 0.2, -0.2, 0.1 / np.sqrt(3)])
    assert scaled_noise(noise, 0.2, "paper")[0] == pytest.approx([0, 0.2 * np.sqrt(3), -1, 0.1])


def test_small_boxes_move_half_as_far() -> None:
    count = 20_000
    small, large = np.tile([485.0, 485.0, 515.0, 515.0], (count, 1)), np.tile([484.0, 484.0, 516.0, 516.0], (count, 1))
    how = GrbpSettings(beta=0.3, gamma=0, gaussian="paper", iou_guard=0)
    spread = [
        (found.boxes[:, 0] - boxes[:, 0]).std() / (boxes[0, 2] - boxes[0, 0])
        for boxes in (small, large)
        for found in [perturb_boxes(boxes, np.tile([1000, 1000], (count, 1)), some_keys(count), how)]
    ]
    assert spread[0] == pytest.approx(spread[1] / 2, rel=0.03)
    one_side = np.tile([485.0, 400.0, 515.0, 600.0], (count, 1))
    found = perturb_boxes(one_side, np.tile([1000, 1000], (count, 1)), some_keys(count), how)
    assert (found.boxes[:, 0] - 485).std() / 30 == pytest.approx(spread[1], rel=0.03)


def test_scales_stay_within_their_bounds() -> None:
    boxes, sizes = np.tile([4000.0, 4000.0, 5000.0, 5000.0], (5000, 1)), np.tile([9000, 9000], (5000, 1))
    how = GrbpSettings(beta=0, gamma=1, gaussian="paper", iou_guard=0, scale_bounds=(0.5, 1.5))
    sides = np.ptp(perturb_boxes(boxes, sizes, some_keys(5000), how).boxes.reshape(-1, 2, 2), axis=1)
    assert (sides.min(), sides.max()) == (500, 1500)


def test_tries_are_used_up_before_the_original_is_kept() -> None:
    boxes, sizes = random_boxes(2000)
    few = perturb_boxes(boxes, sizes, some_keys(2000), GrbpSettings(beta=0.5, gamma=0.5, tries=1))
    many = perturb_boxes(boxes, sizes, some_keys(2000), GrbpSettings(beta=0.5, gamma=0.5, tries=10))
    assert few.fallback.sum() > many.fallback.sum() > 0
    first = ~few.fallback
    assert np.array_equal(few.boxes[first], many.boxes[first])


def test_no_boxes() -> None:
    found = perturb_boxes(np.empty((0, 4)), np.empty((0, 2)), some_keys(0), GrbpSettings())
    assert found.boxes.shape == (0, 4) and found.iou.shape == (0,)


def test_small_by_area_halves_long_thin_boxes_too() -> None:
    boxes, sizes = np.tile([10.0, 10.0, 210.0, 14.0], (200, 1)), np.tile([400, 400], (200, 1))
    keys = row_keys(1, np.arange(200), 0, np.zeros(200, int), np.zeros(200, int))
    ours, theirs = (
        perturb_boxes(boxes, sizes, keys, GrbpSettings(small=small, iou_guard=0.0)).boxes for small in ("sides", "area")
    )
    spread = [np.abs(found[:, 0] - 10).mean() for found in (ours, theirs)]
    assert 0.4 < spread[1] / spread[0] < 0.6
