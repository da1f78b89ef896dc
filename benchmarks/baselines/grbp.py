"""Box perturbation one box at a time, in plain Python, from a global generator."""

import math
import random
from collections.abc import Callable, Sequence

BETA = GAMMA = 0.1
IOU_GUARD, TRIES = 0.6, 5
SCALE_LOW, SCALE_HIGH = 0.2, 5.0
MIN_SIDE, SMALL_SIDE, SMALL_FACTOR = 2.0, 32.0, 0.5

Noise = Callable[[], float]


def standard_noise() -> float:
    """Return one number of the standard normal distribution from Python's global generator."""
    return random.gauss(0.0, 1.0)


def jitter_all(
    boxes: Sequence[Sequence[float]], sizes_wh: Sequence[tuple[int, int]], noise: Noise = standard_noise
) -> list[list[int]]:
    """Return every box perturbed, one after the other."""
    return [jitter(list(box), width, height, noise) for box, (width, height) in zip(boxes, sizes_wh, strict=True)]


def jitter(box: list[float], width: int, height: int, noise: Noise) -> list[int]:
    """Return one box perturbed: the first of five draws that keeps an IoU of 0.6, else the box itself."""
    original = round_and_clip(box, width, height)
    x1, y1, x2, y2 = original
    w, h = x2 - x1, y2 - y1
    beta, gamma = BETA, GAMMA
    if w < SMALL_SIDE and h < SMALL_SIDE:
        beta, gamma = beta * SMALL_FACTOR, gamma * SMALL_FACTOR
    for _ in range(TRIES):
        centre_x = (x1 + x2) / 2 + clipped_noise(beta, noise) * w
        centre_y = (y1 + y2) / 2 + clipped_noise(beta, noise) * h
        scale_w = clamp(1.0 + clipped_noise(gamma, noise), SCALE_LOW, SCALE_HIGH)
        scale_h = clamp(1.0 + clipped_noise(gamma, noise), SCALE_LOW, SCALE_HIGH)
        new_w = max(w * scale_w, min(MIN_SIDE, w))
        new_h = max(h * scale_h, min(MIN_SIDE, h))
        drawn = [centre_x - new_w / 2, centre_y - new_h / 2, centre_x + new_w / 2, centre_y + new_h / 2]
        found = round_and_clip(drawn, width, height)
        large = found[2] - found[0] >= min(MIN_SIDE, w) and found[3] - found[1] >= min(MIN_SIDE, h)
        if large and iou(found, original) >= IOU_GUARD:
            return found
    return original


def clipped_noise(strength: float, noise: Noise) -> float:
    """Return noise with a standard deviation of strength / sqrt(3), clipped to the strength on either side."""
    return clamp(noise() / math.sqrt(3.0), -1.0, 1.0) * strength


def clamp(value: float, low: float, high: float) -> float:
    """Return a value within bounds."""
    return max(low, min(high, value))


def round_and_clip(box: Sequence[float], width: int, height: int) -> list[int]:
    """Return a box as whole numbers inside its image, with sides of at least one."""
    x1 = int(clamp(round(min(box[0], box[2])), 0, width - 1))
    y1 = int(clamp(round(min(box[1], box[3])), 0, height - 1))
    x2 = int(clamp(round(max(box[0], box[2])), x1 + 1, width))
    y2 = int(clamp(round(max(box[1], box[3])), y1 + 1, height))
    return [x1, y1, x2, y2]


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes."""
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    inter = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0
