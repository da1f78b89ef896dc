"""Conventions that count one record per box, as sets: SAKE's and UnCo's released evaluators (docs/metrics.md).

Each box of an entity is a record of its own. A predicted box is the first gold box with the same mention and an IoU of
at least the threshold, or no box of gold. A tweet's records are sets of (mention, type, box). Three rules of the
released code move the numbers by points and are followed here because published numbers were counted by them:

- a tweet without a gold or without a predicted record counts on neither side for GMNER and EEG;
- a predicted record that is wrong although gold has its mention and type (for EEG: its mention) with another region
  adds a second predicted record, without a region; for an entity that is not visible that one is right;
- SAKE's gold lacks every entity that begins at the very token at which the entity before it ends: 48 of test.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gmner.core.entity_types import COARSE_TYPES, all_fine_types
from gmner.core.mentions import normalise_mention
from gmner.core.records import Box, Entity, Record, Sample
from gmner.evaluation.compared import (
    ComparedTweet,
    align,
    named_by_span,
    normalised,
    signature,
)
from gmner.evaluation.matching import best_iou

_MISC, _OTHER = "MISC", "OTHER"
_ABSENT, _WRONG = 0, -1
_KNOWN = {False: frozenset((*COARSE_TYPES, _MISC)), True: frozenset(all_fine_types())}

Item = tuple[str, str, int]
"""Mention, type, and the number of the gold record whose box it is: from 1 on, _ABSENT or _WRONG."""


@dataclass(frozen=True)
class BoxSets:
    """A convention. `match`: by mention text or by token span. `boxes`: all of a prediction's boxes, or its first.

    `adjacent`: whether gold keeps an entity that begins where the one before it ends.
    """

    name: str
    match: str = "text"
    boxes: str = "all"
    adjacent: str = "kept"

    @property
    def depends_on_iou(self) -> bool:
        """A predicted box is named after a gold box by the threshold."""
        return True

    def signature(self, iou: float, fine: bool = False) -> str:
        """Return what stands beside every number counted this way; `fine`: of fine types."""
        parts = ["frame:original", f"match:{self.match}", f"boxes:{self.boxes}", "records:per-box", "duplicates:set"]
        parts += ["wrong:doubled", "empty-tweets:left-out", f"adjacent:{self.adjacent}"]
        return signature(self.name, iou, fine, parts)

    def compare(self, sample: Sample, predicted: Sequence[Record], iou: float, fine: bool = False) -> ComparedTweet:
        """Return a tweet as this convention compares it; regions are the numbers of gold boxes, as dummy boxes."""
        gold, guesses = self._per_box(sample, predicted, fine)
        gold_items = [(r.mention, r.type, n if r.boxes else _ABSENT) for n, r in enumerate(gold, start=1)]
        items = [(r.mention, r.type, _number(r, gold, iou)) for r in guesses]
        untyped = [[(mention, "", number) for mention, _, number in side] for side in (items, gold_items)]
        by_task = {
            "mner": tuple(_records({(mention, kind, _ABSENT) for mention, kind, _ in s}) for s in (items, gold_items)),
            "eeg": _with_regions(*untyped),
            "regions": (guesses, gold),
        }
        return ComparedTweet(*_with_regions(items, gold_items), by_task)  # type: ignore[arg-type]

    def compare_each(
        self, sample: Sample, predicted: Sequence[Record], iou: float, fine: bool = False
    ) -> ComparedTweet:
        """Return each prediction and each entity with its own boxes, mentions and types named as here."""
        gold = [Record(normalise_mention(e.mention), _misc(e.label(fine)), e.boxes) for e in sample.entities]
        return ComparedTweet([_typed(normalised(record)) for record in predicted], gold)

    def _per_box(self, sample: Sample, predicted: Sequence[Record], fine: bool) -> tuple[list[Record], list[Record]]:
        entities = _without_adjacent(sample.entities) if self.adjacent == "lost" else list(sample.entities)
        gold = [Record(normalise_mention(e.mention), _misc(e.label(fine)), e.boxes) for e in entities]
        known = _KNOWN[fine] | {record.type for record in gold}
        guesses = [_typed(normalised(record)) for record in predicted]
        if self.match == "span":
            spans = align(guesses, sample.tokens)
            gold = named_by_span(gold, [(e.start, e.end) for e in entities])
            guesses = named_by_span(guesses, spans)
        first = self.boxes == "first"
        return (
            [one for record in gold for one in _boxes_apart(record, False)],
            [one for record in guesses if record.type in known for one in _boxes_apart(record, first)],
        )


def _without_adjacent(entities: Sequence[Entity]) -> list[Entity]:
    # What the released gold looks like: its reader of tags, on meeting the tag that begins an entity while inside
    # another, ends that one and forgets to begin the new one.
    kept: list[Entity] = []
    end = -1
    for entity in entities:
        if entity.start == end:
            end = -1
            continue
        kept.append(entity)
        end = entity.end
    return kept


def _misc(name: str) -> str:
    return _MISC if name == _OTHER else name


def _typed(record: Record) -> Record:
    return replace(record, type=_MISC) if record.type == _OTHER else record


def _boxes_apart(record: Record, first: bool) -> list[Record]:
    if len(record.boxes) < 2:
        return [record]
    return [replace(record, boxes=(box,)) for box in (record.boxes[:1] if first else record.boxes)]


def _number(record: Record, gold: Sequence[Record], iou: float) -> int:
    if not record.boxes:
        return _ABSENT
    for number, other in enumerate(gold, start=1):
        if other.boxes and other.mention == record.mention and best_iou(record.boxes, other.boxes) >= iou:
            return number
    return _WRONG


def _with_regions(predicted: Sequence[Item], gold: Sequence[Item]) -> tuple[list[Record], list[Record]]:
    """Return the sets of records that GMNER or EEG counts; both empty if a side is."""
    if not predicted or not gold:
        return [], []
    known = set(gold)
    elsewhere = {(mention, kind) for mention, kind, _ in gold}
    doubled = {
        (mention, kind, _ABSENT)
        for mention, kind, number in predicted
        if (mention, kind, number) not in known and (mention, kind) in elsewhere
    }
    return _records({*predicted, *doubled}), _records(known)


def _records(items: set[Item]) -> list[Record]:
    """Return items as records whose boxes overlap just if their numbers are equal."""
    return [Record(mention, kind, _dummy(number)) for mention, kind, number in sorted(items)]


def _dummy(number: int) -> tuple[Box, ...]:
    return () if number == _ABSENT else ((2.0 * number, 0.0, 2.0 * number + 1, 1.0),)


SAKE = BoxSets("sake", adjacent="lost")
SAKE_FIRST = BoxSets("sake-first", boxes="first", adjacent="lost")
UNCO = BoxSets("unco", match="span")
