"""Conventions that match whole records, with all their boxes, one to one: the paper's scorer and its neighbours."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmner.core.frame import Frame
from gmner.core.mentions import normalise_mention
from gmner.core.records import Record, Sample
from gmner.evaluation.compared import (
    NOWHERE,
    ComparedTweet,
    align,
    named_by_span,
    normalised,
    signature,
)

AUTHORS_FRAME = Frame("absolute", min_pixels=256 * 28 * 28, max_pixels=1024 * 28 * 28)
"""The resized image in whose whole pixels the authors' scorer compares boxes."""


@dataclass(frozen=True)
class RecordMatching:
    """A convention. `frame`: whose pixels boxes are compared in. `match`: by mention text or by token span.

    `boxes`: whether any of a prediction's boxes may be right, or it may have one alone. `duplicates`: whether
    records that say the same are all counted, or as one.
    """

    name: str
    frame: str = "original"
    match: str = "text"
    boxes: str = "any"
    duplicates: str = "count"

    @property
    def depends_on_iou(self) -> bool:
        """Whole records are compared at any threshold."""
        return False

    def signature(self, iou: float, fine: bool = False) -> str:
        """Return what stands beside every number counted this way; `fine`: of fine types."""
        parts = [f"frame:{self.frame}", f"match:{self.match}", f"boxes:{self.boxes}"]
        parts += [f"duplicates:{self.duplicates}"] if self.duplicates != "count" else []
        return signature(self.name, iou, fine, parts)

    def compare(self, sample: Sample, predicted: Sequence[Record], iou: float, fine: bool = False) -> ComparedTweet:
        """Return a tweet as this convention compares it; with `fine` the gold types are the fine ones."""
        gold = [Record(normalise_mention(e.mention), e.label(fine), e.boxes) for e in sample.entities]
        guesses = [normalised(record) for record in predicted]
        if self.match == "span":
            spans = align(guesses, sample.tokens)
            gold = named_by_span(gold, [(e.start, e.end) for e in sample.entities])
            guesses = named_by_span(guesses, spans)
        if self.duplicates == "collapse":
            key = _span_key if self.match == "span" else _sentence_key
            gold, guesses = _collapse(gold, key), _collapse(guesses, key)
        if self.boxes == "one":
            guesses = [replace(r, boxes=(NOWHERE,)) if len(r.boxes) > 1 else r for r in guesses]
        if self.frame == "resized":
            gold, guesses = ([_resized(r, sample.size_wh) for r in side] for side in (gold, guesses))
        return ComparedTweet(guesses, gold)

    def compare_each(
        self, sample: Sample, predicted: Sequence[Record], iou: float, fine: bool = False
    ) -> ComparedTweet:
        """Return the same, but each record by itself if this convention counts equal ones as one."""
        return replace(self, duplicates="count").compare(sample, predicted, iou, fine)


def _span_key(record: Record) -> Hashable:
    return record.mention


def _sentence_key(record: Record) -> Hashable:
    return record.mention, record.type, bool(record.boxes)


def _collapse(records: Sequence[Record], key: Callable[[Record], Hashable]) -> list[Record]:
    # As a dictionary does it in both released scorers: the last of equal ones stays, in the first one's place.
    return list({key(record): record for record in records}.values())


def _resized(record: Record, size_wh: tuple[int, int]) -> Record:
    if not record.boxes or min(size_wh) < 1:
        return record
    boxes = np.rint(AUTHORS_FRAME.to_model(record.boxes, size_wh))
    limit = AUTHORS_FRAME.model_size(size_wh) * 2
    return replace(record, boxes=tuple(tuple(box) for box in np.clip(boxes, 0, limit).tolist()))


PAPER = RecordMatching("paper")
PAPER_RESIZED = RecordMatching("paper-resized", frame="resized")
STRICT = RecordMatching("strict", match="span", boxes="one")
H_INDEX = RecordMatching("h-index", match="span", duplicates="collapse")
TIGER = RecordMatching("tiger", duplicates="collapse")
