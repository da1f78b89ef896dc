"""What a box in pixels cannot be, in whichever format it is written."""

from gmner.core.records import Box
from gmner.errors import DataError

_PIXELS = "expected x1, y1, x2, y2 in pixels of the image, with x1 < x2 and y1 < y2"


def check_edges(box: Box, where: str) -> None:
    """Raise DataError if corners are swapped, a side is thinner than a pixel, or all edges lie in [0, 1]."""
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        raise DataError(
            f"{where}: the box {_shown(box)} has its corners swapped (or is x, y, width, height?); {_PIXELS}"
        )
    if all(0 <= edge <= 1 for edge in box):
        raise DataError(f"{where}: the box {_shown(box)} lies inside [0, 1]: normalised? {_PIXELS}")
    if x2 - x1 < 1 or y2 - y1 < 1:
        raise DataError(f"{where}: the box {_shown(box)} is thinner than a pixel: normalised? {_PIXELS}")


def _shown(box: Box) -> str:
    return f"[{', '.join(f'{edge:g}' for edge in box)}]"
