"""Gaussian risk-aware box perturbation (GRBP; paper, section 3.2.2 and algorithm 1), over all boxes at once.

A box's noise is a pure function of the seed, its sample, the epoch, its place in the sample, the try and the side it
moves: SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195) over a counter, made normal by the
inverse of the normal distribution. So a box comes out the same whatever else is perturbed with it, and in any order.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmner.config.run import GrbpSettings
from gmner.core.boxes import Boxes, as_boxes

Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_DRAWS = 4  # a try: centre x and y, width and height
_AT_ONCE = 4000  # boxes: columns of four numbers stay in the processor's cache, and in memory that is given out again


@dataclass(frozen=True)
class Perturbed:
    """What became of N boxes.

    `boxes` (N, 4) are whole numbers of the frame the boxes came in, each inside its image with sides of at least
    one; `original` (N, 4) are the unperturbed boxes, likewise rounded; `iou` (N,) is between the two; `tries` (N,)
    counts the draws, 0 where nothing was to be drawn; `fallback` (N,) marks boxes that no draw was good enough for.
    """

    boxes: Boxes
    original: Boxes
    iou: NDArray[np.float64]
    tries: NDArray[np.int32]
    fallback: NDArray[np.bool_]


def sample_key(sample_id: str) -> int:
    """Return a 64-bit number that stands for a sample, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(sample_id.encode("utf-8"), digest_size=8).digest(), "little")


def keys_of(sample_ids: Sequence[str]) -> Keys:
    """Return `sample_key` of each sample, (N,)."""
    return np.array([sample_key(sample_id) for sample_id in sample_ids], dtype=np.uint64)


def row_keys(seed: int, samples: ArrayLike, epoch: int, entities: ArrayLike, boxes: ArrayLike) -> Keys:
    """Return the key of each box's noise, (N,).

    `samples` (N,) are from `sample_key`; `entities` (N,) is the entity's place in its sample, `boxes` (N,) the box's
    place in its entity.
    """
    key = np.array(samples, dtype=np.uint64, ndmin=1)
    for part in ([seed % 2**64], [epoch], entities, boxes):
        key = _mix(key ^ _mix(np.array(part, dtype=np.uint64, ndmin=1) + _GOLDEN))
    return key


def round_boxes(boxes: ArrayLike, sizes_wh: ArrayLike) -> Boxes:
    """Return boxes as whole numbers inside their images, with sides of at least one.

    `sizes_wh` is (N, 2), in the boxes' own frame: whole numbers, at least 1.
    """
    array = as_boxes(boxes)
    return np.ascontiguousarray(_rounded(_columns(array), _limits(sizes_wh, len(array))).T)


def perturb_boxes(boxes: ArrayLike, sizes_wh: ArrayLike, keys: Keys, settings: GrbpSettings) -> Perturbed:
    """Perturb N boxes, each with the noise of its key.

    `boxes` (N, 4) and `sizes_wh` (N, 2) are in the model's frame. The centre moves by Gaussian noise of strength
    `beta` times the box's width and height; width and height are multiplied by one plus noise of strength `gamma`,
    within `scale_bounds`. Small boxes have both strengths times `small_factor`. A draw is taken where the rounded,
    clipped box has an IoU of at least `iou_guard` with the original; after `tries` draws the original is.
    """
    array = as_boxes(boxes)
    sizes = np.broadcast_to(np.asarray(sizes_wh, dtype=np.float64), (len(array), 2))
    starts = range(0, max(len(array), 1), _AT_ONCE)
    places = [slice(start, start + _AT_ONCE) for start in starts]
    parts = [_perturb(array[place], sizes[place], keys[place], settings) for place in places]
    if len(parts) == 1:
        return parts[0]
    names = [field.name for field in fields(Perturbed)]
    return Perturbed(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _perturb(boxes: Boxes, sizes_wh: Boxes, keys: Keys, settings: GrbpSettings) -> Perturbed:
    count = len(boxes)
    limits = _limits(sizes_wh, count)
    original = _rounded(_columns(boxes), limits)
    result, iou = original, np.ones(count)
    tries = np.zeros(count, dtype=np.int32)
    fallback = np.zeros(count, dtype=np.bool_)
    if settings.enabled and (settings.beta or settings.gamma):
        # The first try is everyone's, and nearly always good: no box is picked out for it.
        drawn, found, good = _try(original, limits, keys, 0, settings)
        result, iou = np.where(good, drawn, original), np.where(good, found, 1.0)
        tries[:] = 1
        left = np.flatnonzero(~good)
        for attempt in range(1, settings.tries):
            if not len(left):
                break
            drawn, found, good = _try(original[:, left], limits[:, left], keys[left], attempt, settings)
            result[:, left[good]], iou[left[good]] = drawn[:, good], found[good]
            tries[left] = attempt + 1
            left = left[~good]
        fallback[left] = True
    return Perturbed(np.ascontiguousarray(result.T), np.ascontiguousarray(original.T), iou, tries, fallback)


def _try(
    boxes: Boxes, limits: Boxes, keys: Keys, attempt: int, settings: GrbpSettings
) -> tuple[Boxes, NDArray[np.float64], NDArray[np.bool_]]:
    """Return a draw for each box, its IoU with the box, and whether it is good enough."""
    drawn = _draw(boxes, limits, keys, attempt, settings)
    found = _iou(drawn, boxes)
    return drawn, found, (found >= settings.iou_guard) & _is_large_enough(drawn, boxes, settings.min_side)


def gaussian_noise(keys: Keys, attempt: int, draws: int = _DRAWS) -> NDArray[np.float64]:
    """Return standard normal numbers, (N, draws): those of the given try of each key."""
    return _noise(keys, attempt, draws).T


def scaled_noise(noise: NDArray[np.float64], strength: ArrayLike, gaussian: str) -> NDArray[np.float64]:
    """Return standard normal noise with a strength that broadcasts against it: (N, K) and (N, 1), for instance.

    `paper`: the strength is the standard deviation. `release`, as in the authors' code: the strength divided by the
    root of 3 is, and the noise is clipped to the strength on either side.
    """
    if gaussian == "paper":
        return noise * np.asarray(strength)
    return np.clip(noise / math.sqrt(3.0), -1.0, 1.0) * np.asarray(strength)


# From here on boxes are columns, (4, N), and sides, centres and images' sizes (2, N): numbers of one kind side by
# side in memory, which is several times faster than rows of four.


def _columns(boxes: Boxes) -> Boxes:
    return np.ascontiguousarray(boxes.T)


def _limits(sizes_wh: ArrayLike, count: int) -> Boxes:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(sizes_wh, dtype=np.float64), (count, 2)).T)


def _rounded(boxes: Boxes, limits: Boxes) -> Boxes:
    low, high = np.minimum(boxes[:2], boxes[2:]), np.maximum(boxes[:2], boxes[2:])
    first = np.clip(np.rint(low), 0, limits - 1)
    return np.concatenate([first, np.clip(np.rint(high), first + 1, limits)])


def _noise(keys: Keys, attempt: int, draws: int = _DRAWS) -> NDArray[np.float64]:
    """Return the numbers of `gaussian_noise`, (draws, N)."""
    from scipy.special import ndtri  # a third of a second to import: only where boxes are perturbed

    counters = np.arange(attempt * draws + 1, (attempt + 1) * draws + 1, dtype=np.uint64)
    bits = _mix(keys + (counters * _GOLDEN)[:, None])
    # The middle of one of 2^53 equal parts of (0, 1): never 0 or 1, where the inverse is infinite.
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.asarray(ndtri(uniform), dtype=np.float64)


def _draw(boxes: Boxes, limits: Boxes, keys: Keys, attempt: int, settings: GrbpSettings) -> Boxes:
    """Return one draw for each box, rounded and inside its image."""
    sides = boxes[2:] - boxes[:2]
    if settings.small == "area":
        small = sides[0] * sides[1] < settings.small_side**2
    else:
        small = (sides[0] < settings.small_side) & (sides[1] < settings.small_side)
    factor = np.where(small, settings.small_factor, 1.0)
    noise = _noise(keys, attempt)
    shift = scaled_noise(noise[:2], factor * settings.beta, settings.gaussian)
    scale = 1.0 + scaled_noise(noise[2:], factor * settings.gamma, settings.gaussian)
    centre = (boxes[:2] + boxes[2:]) / 2 + shift * sides
    least = np.minimum(settings.min_side, sides)
    half = np.maximum(sides * np.clip(scale, *settings.scale_bounds), least) / 2
    return _rounded(np.concatenate([centre - half, centre + half]), limits)


def _iou(drawn: Boxes, original: Boxes) -> NDArray[np.float64]:
    """Return the IoU of each pair, (N,); all have sides of at least one, so that no area is 0."""
    sides = np.clip(np.minimum(drawn[2:], original[2:]) - np.maximum(drawn[:2], original[:2]), 0, None)
    inter = sides[0] * sides[1]
    width_height = drawn[2:] - drawn[:2], original[2:] - original[:2]
    area, other = (width * height for width, height in width_height)
    return np.asarray(inter / (area + other - inter))


def _is_large_enough(drawn: Boxes, original: Boxes, min_side: float) -> NDArray[np.bool_]:
    """Say which boxes have sides of `min_side`, or of their original where that is smaller."""
    enough = drawn[2:] - drawn[:2] >= np.minimum(min_side, original[2:] - original[:2])
    return np.asarray(enough[0] & enough[1])


def _mix(value: Keys) -> Keys:
    """Return SplitMix64's finaliser: every bit of the input changes half of the output's."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
