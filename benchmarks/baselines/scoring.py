"""Scoring with a matching that tries every assignment, remembered by the set of gold records used so far."""

import re
from collections.abc import Callable, Sequence
from functools import cache

Triple = tuple[str, str, list[list[float]]]
Agrees = Callable[[Triple, Triple], bool]


def parse(output: str) -> list[Triple]:
    """Return the triples of an output in the paper's format, without escapes."""
    found = re.search(r"<answer>(.*?)</answer>", output, re.DOTALL)
    triples: list[Triple] = []
    for part in found[1].split(";") if found else []:
        fields = part.strip().split("|")
        if len(fields) == 3:
            numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", fields[2])]
            boxes = [numbers[i : i + 4] for i in range(0, len(numbers) - 3, 4)]
            triples.append((" ".join(fields[0].split()), fields[1].strip(), boxes))
    return triples


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the intersection over union of two boxes."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union > 0 else 0.0


def region_agrees(a: Triple, b: Triple, threshold: float) -> bool:
    """Say whether two regions agree: both absent, or any box with any box."""
    if not a[2] or not b[2]:
        return not a[2] and not b[2]
    return any(iou(one, other) >= threshold for one in a[2] for other in b[2])


def largest_matching(predicted: Sequence[Triple], gold: Sequence[Triple], agrees: Agrees) -> int:
    """Return the size of a maximum one-to-one matching: for each prediction, each free gold record or none."""

    @cache
    def best(place: int, used: int) -> int:
        if place == len(predicted):
            return 0
        found = best(place + 1, used)
        for number, record in enumerate(gold):
            if not used & (1 << number) and agrees(predicted[place], record):
                found = max(found, 1 + best(place + 1, used | (1 << number)))
        return found

    return best(0, 0)


def count(predicted: Sequence[Triple], gold: Sequence[Triple], threshold: float) -> dict[str, int]:
    """Return the correct predictions of one tweet for each task."""
    return {
        "gmner": largest_matching(
            predicted, gold, lambda a, b: a[:2] == b[:2] and region_agrees(a, b, threshold)
        ),
        "mner": largest_matching(predicted, gold, lambda a, b: a[:2] == b[:2]),
        "eeg": largest_matching(predicted, gold, lambda a, b: a[0] == b[0] and region_agrees(a, b, threshold)),
    }  # fmt: skip


def score(outputs: Sequence[str], gold: Sequence[Sequence[Triple]], threshold: float) -> dict[str, int]:
    """Parse and count all tweets."""
    sums = {"predicted": 0, "gold": 0, "gmner": 0, "mner": 0, "eeg": 0}
    for output, truth in zip(outputs, gold, strict=True):
        predicted = parse(output)
        counts = {"predicted": len(predicted), "gold": len(truth), **count(predicted, truth, threshold)}
        sums = {name: sums[name] + counts[name] for name in sums}
    return sums
