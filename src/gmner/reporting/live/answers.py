"""What the page shows of an annotation, as plain values: nothing here needs Gradio."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from gmner.errors import GmnerError
from gmner.reporting.annotate import Annotation
from gmner.storage.images import open_image

RESULT_NEUTRAL = True  # a page to try a run: no stage imports it
Answer = TypeVar("Answer")
Labelled = list[tuple[str, str | None]]


class Busy(GmnerError):
    """The model answers somebody else, or took too long."""


class OneAtATime:
    """Runs one call after the other, and gives up waiting after some seconds.

    A call that is given up on runs to its end, which the limit of the answer's length bounds; until then others are
    told to wait. So a page that many ask never piles work up.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._free = threading.Semaphore(1)
        self._pool = ThreadPoolExecutor(max_workers=1)

    def __call__(self, act: Callable[[], Answer]) -> Answer:
        """Return what `act` returns; raises Busy."""
        if not self._free.acquire(timeout=self.seconds):
            raise Busy("the model is busy with another image; try again in a moment")
        future = self._pool.submit(act)
        future.add_done_callback(lambda _: self._free.release())
        try:
            return future.result(timeout=self.seconds)
        except TooLate as error:
            raise Busy(f"no answer within {self.seconds:g} s; try a shorter text or a smaller image") from error


def highlighted(found: Annotation) -> Labelled:
    """Return the text in pieces, each with the type of the entity that it is, None for none.

    Of mentions that overlap the first stands; one that is not in the text is told under the problems.
    """
    pieces: Labelled = []
    at = 0
    spans = [
        (offsets["char_start"], offsets["char_end"], record.type)
        for record, offsets in zip(found.records, found.offsets, strict=True)
        if offsets["char_start"] is not None
    ]
    for start, end, kind in sorted(spans, key=lambda span: (span[0] or 0, -(span[1] or 0))):
        if start is None or end is None or start < at:
            continue
        if start > at:
            pieces.append((found.text[at:start], None))
        pieces.append((found.text[start:end], kind))
        at = end
    return [*pieces, (found.text[at:], None)] if at < len(found.text) else pieces


def with_boxes(found: Annotation) -> tuple[Image.Image, list[tuple[tuple[int, int, int, int], str]]]:
    """Return the upright image and its regions, whole pixels inside the image, with their labels."""
    image = open_image(Path(found.image))
    regions = []
    for record in found.records:
        for box in record.boxes:
            x1, x2 = sorted(min(max(round(value), 0), image.width - 1) for value in (box[0], box[2]))
            y1, y2 = sorted(min(max(round(value), 0), image.height - 1) for value in (box[1], box[3]))
            if x2 > x1 and y2 > y1:
                regions.append(((x1, y1, x2, y2), f"{record.mention} ({record.type})"))
    return image, regions


def remarks(found: Annotation) -> str:
    """Return in words what the image does not show: entities without a region, and problems."""
    unseen = [f"{record.mention} ({record.type})" for record in found.records if not record.boxes]
    lines = [f"not seen in the image: {', '.join(unseen)}"] if unseen else []
    lines += [f"{problem['code']}: {problem['detail']}" for problem in found.problems]
    return "\n".join(lines) or "nothing odd"


def examples_of(samples_path: Path, most: int) -> list[tuple[str, str]]:
    """Return images and texts of test samples, at most so many, none if there is no such table."""
    from gmner.storage.tables import read_samples

    if not samples_path.exists():
        return []
    samples: Sequence[Any] = read_samples(samples_path, "test")
    return [(s.image_path, s.text) for s in samples if s.entities and Path(s.image_path).exists()][:most]
