"""What the tests of this folder share besides fixtures."""

from typing import Any

from gmner.core.frame import Frame

FRAME = Frame("absolute", 4 * 28 * 28, 16 * 28 * 28)
TYPES = ("PER", "LOC")
NAMES = ("Anna", "Bert", "Cora", "Dirk", "Emil", "Fred")


def row_of(sample_id: str, epoch: int, text: str) -> dict[str, Any]:
    """Return a row of TARGETS with no boxes on record."""
    none: list[Any] = []
    return {
        "sample_id": sample_id,
        "epoch": epoch,
        "completion": text,
        "reasoning": True,
        "original_boxes": none,
        "boxes": none,
        "iou": none,
        "tries": none,
        "fallback": none,
    }


def text_of(number: int) -> str:
    """Return the text of a sample."""
    return "happy day for " + " ".join(NAMES[(number + step) % len(NAMES)] for step in range(1 + number % 4))


def completion(number: int, epoch: int) -> str:
    """Return a completion; its length and its box differ from epoch to epoch."""
    name = NAMES[number % len(NAMES)]
    words = " and then".join(["The image shows a square"] * (1 + number % 3))
    return f"<think>{words}.</think><answer>{name}|PER|[{number},{epoch},{40 + epoch},50]</answer>"
