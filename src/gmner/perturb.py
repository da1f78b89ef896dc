"""GRBP: Gaussian risk-aware box perturbation (paper, section 3.2.2 and algorithm 1), over all boxes at once.

Every box has random numbers of its own, a pure function of its key and the try's number (a counter-based
generator: SplitMix64 over key and counter). So the same box is perturbed in the same way whatever stands beside
it, in whatever order, on whatever machine.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from gmner.boxes import Boxes, as_boxes, box_iou_pairs

Keys = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_DRAWS = 4  # shift of x and y, scale of width and height


@dataclass(frozen=True, slots=True)
class Strengths:
    """How far boxes are moved; the defaults are those of the configuration, which is their only home.

    `beta` is the strength of the centre's shift in widths and heights, `gamma` that of the sides' scale factors.
    `gaussian` says what a strength means: 'paper', the standard deviation; 'release', the bound of a Gaussian with
    standard deviation strength / sqrt(3) that is clipped to it (the authors' code).
    """

    beta: float
    gamma: float
    gaussian: Literal["release", "paper"]
    iou_guard: float
    tries: int
    scale_bounds: tuple[float, float]
    min_side: float
    small_side: float
    small_factor: float


@dataclass(frozen=True, slots=True)
class Perturbed:
    """What became of N boxes.

    `boxes` (N, 4) are whole numbers; `iou` (N,) is their overlap with the originals; `tries` (N,) counts the draws;
    `fallback` (N,) marks those where no draw passed the guard and the (rounded) original was kept.
    """

    boxes: Boxes
    iou: NDArray[np.float64]
    tries: NDArray[np.int64]
    fallback: NDArray[np.bool_]


def box_keys(seed: int, sample_ids: Sequence[str], epochs: ArrayLike, entities: ArrayLike, numbers: ArrayLike) -> Keys:
    """Return a 64-bit key a box from the run's seed, its sample, epoch, entity and number within the entity.

    All arguments but `seed` have one item a box; `epochs`, `entities` and `numbers` are integers.
    """
    hashes = {name: int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) for name in set(sample_ids)}
    keys = np.array([hashes[name] for name in sample_ids], dtype=np.uint64)
    keys = _mix(keys ^ _mix(np.full(len(keys), seed, dtype=np.uint64)))
    for part in (epochs, entities, numbers):
        keys = _mix(keys ^ (np.asarray(part).astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return keys


def _mix(values: Keys) -> Keys:
    """Scramble 64-bit numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = values + _GOLDEN
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _gaussians(keys: Keys, attempt: int) -> NDArray[np.float64]:
    """Return (N, 4) standard normal numbers for draw `attempt` of each key."""
    counters = np.arange(1, _DRAWS + 1, dtype=np.uint64) + np.uint64(attempt * _DRAWS)
    with np.errstate(over="ignore"):
        bits = _mix(keys[:, None] ^ (counters * _GOLDEN)[None, :])
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(ndtri(uniform), dtype=np.float64)


def perturb_boxes(boxes: ArrayLike, sizes_wh: ArrayLike, keys: Keys, strengths: Strengths) -> Perturbed:
    """Perturb N boxes within their images.

    `boxes` is (N, 4) xyxy and `sizes_wh` (N, 2), both in the coordinates of the model; `keys` (N,) comes from
    `box_keys`. A result that is no fallback has an IoU of at least `iou_guard` with its original, after rounding;
    every result lies inside its image and has sides of at least one.
    """
    original = as_boxes(boxes)
    sizes = np.asarray(sizes_wh, dtype=np.float64).reshape(len(original), 2)
    result = _whole(original, sizes)
    tries = np.full(len(original), strengths.tries, dtype=np.int64)
    fallback = np.ones(len(original), dtype=bool)
    shift, scale = _strengths_of(original, strengths)
    for attempt in range(strengths.tries):
        pending = np.flatnonzero(fallback)
        if not len(pending):
            break
        noise = _gaussians(keys[pending], attempt)
        drawn = _draw(original[pending], sizes[pending], shift[pending], scale[pending], noise, strengths)
        passed = box_iou_pairs(drawn, original[pending]) >= strengths.iou_guard
        accepted = pending[passed]
        result[accepted], tries[accepted], fallback[accepted] = drawn[passed], attempt + 1, False
    return Perturbed(result, box_iou_pairs(result, original), tries, fallback)


def keep_boxes(boxes: ArrayLike, sizes_wh: ArrayLike) -> Perturbed:
    """Return N boxes as they are, rounded: the targets of a run without perturbation."""
    original = as_boxes(boxes)
    result = _whole(original, np.asarray(sizes_wh, dtype=np.float64).reshape(len(original), 2))
    count = len(original)
    return Perturbed(result, box_iou_pairs(result, original), np.zeros(count, np.int64), np.zeros(count, bool))


def _strengths_of(boxes: Boxes, strengths: Strengths) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sides = boxes[:, 2:] - boxes[:, :2]
    factor = np.where((sides < strengths.small_side).all(axis=1), strengths.small_factor, 1.0)
    return strengths.beta * factor, strengths.gamma * factor


def _draw(
    boxes: Boxes,
    sizes: NDArray[np.float64],
    shift: NDArray[np.float64],
    scale: NDArray[np.float64],
    noise: NDArray[np.float64],
    strengths: Strengths,
) -> Boxes:
    deviations = np.stack([shift, shift, scale, scale], axis=1)
    if strengths.gaussian == "release":
        noise = np.clip(noise / np.sqrt(3.0), -1.0, 1.0)
    noise = noise * deviations
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + noise[:, :2] * sides
    sides = np.maximum(sides * np.clip(1.0 + noise[:, 2:], *strengths.scale_bounds), strengths.min_side)
    return _whole(np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), sizes)


def _whole(boxes: Boxes, sizes: NDArray[np.float64]) -> Boxes:
    """Round boxes to whole numbers inside their images, with sides of at least one."""
    limit = np.floor(sizes)
    low = np.clip(np.rint(boxes[:, :2]), 0, limit - 1)
    high = np.minimum(np.maximum(np.rint(boxes[:, 2:]), low + 1), limit)
    return np.concatenate([low, high], axis=1)
