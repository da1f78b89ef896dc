"""GRBP: every box of Twitter-GMNER's training set perturbed for ten epochs; prints JSON.

    python benchmarks/grbp.py [--quick]

5723 boxes, ten times. The baseline draws for one box after the other from Python's global generator. Given our noise
number by number, it returns our boxes exactly: that is asserted on a part of them.
"""

import measure  # noqa: I001
import numpy as np

from baselines import grbp as plain
from gmner.config.run import GrbpSettings
from gmner.targets.grbp import Perturbed, gaussian_noise, perturb_boxes, row_keys

BOXES, EPOCHS, TARGET, COMPARED = 5723, 10, 100, 500


def made_boxes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (N, 4) and their images' sizes (N, 2) in pixels: sides from 10 to 600, as annotated ones have."""
    rng = np.random.default_rng(0)
    sizes = 28 * rng.integers(14, 37, (count, 2))
    sides = np.minimum(rng.lognormal(4.8, 0.8, (count, 2)).clip(10, 600), sizes - 1)
    first = rng.random((count, 2)) * (sizes - sides)
    return np.concatenate([first, first + sides], axis=1), sizes


def perturb_all(boxes: np.ndarray, sizes: np.ndarray, epochs: int) -> list[Perturbed]:
    """Perturb all boxes for each epoch, as the targets stage does."""
    settings, numbers = GrbpSettings(), np.arange(len(boxes))
    return [
        perturb_boxes(boxes, sizes, row_keys(0, numbers, epoch, numbers * 0, numbers * 0), settings)
        for epoch in range(epochs)
    ]


def baseline_all(boxes: list[list[float]], sizes: list[tuple[int, int]], epochs: int) -> list[list[list[int]]]:
    """Do the same one box at a time."""
    return [plain.jitter_all(boxes, sizes) for _ in range(epochs)]


def assert_same(boxes: np.ndarray, sizes: np.ndarray, ours: Perturbed) -> int:
    """Give the baseline our noise, in the order in which it draws, and compare; return the boxes compared."""
    count = min(COMPARED, len(boxes))
    numbers = np.arange(count)
    keys = row_keys(0, numbers, 0, numbers * 0, numbers * 0)
    tries = GrbpSettings().tries
    drawn = np.stack([gaussian_noise(keys, attempt) for attempt in range(tries)], axis=1).reshape(count, -1)
    for number in range(count):
        stream = iter(drawn[number].tolist())
        width, height = sizes[number].tolist()
        found = plain.jitter(boxes[number].tolist(), width, height, lambda stream=stream: next(stream))
        assert found == ours.boxes[number].tolist(), (number, found, ours.boxes[number])
    return count


def main() -> None:
    """Measure and print."""
    args = measure.parser(__doc__).parse_args()
    count, epochs = (200, 2) if args.quick else (BOXES, EPOCHS)
    boxes, sizes = made_boxes(count)
    plain_boxes, plain_sizes = boxes.tolist(), [tuple(size) for size in sizes.tolist()]
    ours, baseline = measure.timed_together(
        [lambda: perturb_all(boxes, sizes, epochs), lambda: baseline_all(plain_boxes, plain_sizes, epochs)],
        repeats=1 if args.quick else 7,
    )
    compared = assert_same(boxes, sizes, ours.result[0])
    way = "one box at a time in Python, noise from the global generator"
    found = measure.against_baseline("boxes", count * epochs, ours, baseline, way, TARGET)
    measure.emit(measure.document("grbp", args.quick, **found, compared_boxes=compared))


if __name__ == "__main__":
    main()
