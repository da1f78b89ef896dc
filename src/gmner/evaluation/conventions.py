"""Conventions of scoring by name: what is done to gold and predictions before they are counted (docs/metrics.md).

Every published scorer of the task counts the same thing a little differently. All of them are the same counting
(`gmner.evaluation.counts`) over records that were first changed in one of the ways below, and each has a signature
that is printed beside every number.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gmner.config.base import suggest
from gmner.core.frame import Frame
from gmner.core.mentions import normalise_mention
from gmner.core.records import Box, Entity, Record, Sample
from gmner.errors import ConfigError

VERSION = 1
Span = tuple[int, int]

AUTHORS_FRAME = Frame("absolute", min_pixels=256 * 28 * 28, max_pixels=1024 * 28 * 28)
"""The resized image in whose whole pixels the authors' scorer compares boxes."""

_NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)  # a box that agrees with nothing: it is no absence and overlaps no box


@dataclass(frozen=True, slots=True)
class SpannedRecord(Record):
    """A prediction that says which tokens it means: `span` is (start, end), end exclusive."""

    span: Span | None = None


@dataclass(frozen=True)
class Profile:
    """A convention. `frame`: whose pixels boxes are compared in. `match`: by mention text or by token span.

    `boxes`: whether any of a prediction's boxes may be right, or it may have one alone. `duplicates`: whether
    records that say the same are all counted, or as one.
    """

    name: str
    frame: str = "original"
    match: str = "text"
    boxes: str = "any"
    duplicates: str = "count"

    def signature(self, iou: float, fine: bool = False) -> str:
        """Return what is printed beside every number counted by this convention; `fine`: of fine types."""
        parts = [f"profile:{self.name}", f"iou:{iou:g}", f"frame:{self.frame}", f"match:{self.match}"]
        parts += [f"boxes:{self.boxes}", *([f"duplicates:{self.duplicates}"] if self.duplicates != "count" else [])]
        parts += ["types:fine"] if fine else []
        return "|".join(["gmner", *parts, f"v:{VERSION}"])

    def prepare(
        self, sample: Sample, predicted: Sequence[Record], fine: bool = False
    ) -> tuple[list[Record], list[Record]]:
        """Return a tweet's predicted and gold records as this convention compares them.

        Boxes come in pixels of the original image. With `fine` the gold types are the fine ones.
        """
        gold = [Record(normalise_mention(e.mention), _type(e, fine), e.boxes) for e in sample.entities]
        guesses = [_normalised(record) for record in predicted]
        if self.match == "span":
            spans = align(guesses, sample.tokens)
            gold = _named_by_span(gold, [(e.start, e.end) for e in sample.entities])
            guesses = _named_by_span(guesses, spans)
        if self.duplicates == "collapse":
            key = _span_key if self.match == "span" else _sentence_key
            gold, guesses = _collapse(gold, key), _collapse(guesses, key)
        if self.boxes == "one":
            guesses = [replace(r, boxes=(_NOWHERE,)) if len(r.boxes) > 1 else r for r in guesses]
        if self.frame == "resized":
            gold, guesses = ([_resized(r, sample.size_wh) for r in side] for side in (gold, guesses))
        return guesses, gold


def _normalised(record: Record) -> Record:
    mention = normalise_mention(record.mention)
    return record if mention == record.mention else replace(record, mention=mention)


def _type(entity: Entity, fine: bool) -> str:
    return entity.fine_type if fine and entity.fine_type is not None else entity.type


def _named_by_span(records: Sequence[Record], spans: Sequence[Span | None]) -> list[Record]:
    return [
        record if span is None else replace(record, mention=span_name(span))
        for record, span in zip(records, spans, strict=True)
    ]


def span_name(span: Span) -> str:
    """Return how a convention that matches token spans names a mention."""
    return f"tokens {span[0]} to {span[1]}"


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


def align(records: Sequence[Record], tokens: Sequence[str]) -> list[Span | None]:
    """Return the token span that each record means, None where its mention does not stand in the tweet.

    A record that names its span is believed. Of the others with one mention the first gets the mention's first
    place in the tweet, the second the second, and so on; those beyond its last place share that.
    """
    places: dict[str, list[Span]] = {}
    used: dict[str, int] = defaultdict(int)
    found: list[Span | None] = []
    for record in records:
        span = record.span if isinstance(record, SpannedRecord) else None
        if span is None:
            spans = places.setdefault(record.mention, occurrences(record.mention, tokens))
            if spans:
                span = spans[min(used[record.mention], len(spans) - 1)]
                used[record.mention] += 1
        found.append(span)
    return found


def occurrences(mention: str, tokens: Sequence[str]) -> list[Span]:
    """Return the token spans whose tokens, joined by one blank, are the mention."""
    words = mention.split()
    if not words:
        return []
    size = len(words)
    normal = [normalise_mention(token) for token in tokens]
    return [(i, i + size) for i in range(len(tokens) - size + 1) if normal[i : i + size] == words]


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("paper"),
        Profile("paper-resized", frame="resized"),
        Profile("strict", match="span", boxes="one"),
        Profile("h-index", match="span", duplicates="collapse"),
        Profile("tiger", duplicates="collapse"),
    )
}
"""Every convention by its name."""


def profile_of(name: str) -> Profile:
    """Return a convention. Raises ConfigError naming the nearest one for an unknown name."""
    if name not in PROFILES:
        raise ConfigError(f"score.profile '{name}' is no convention of scoring; {suggest(name, PROFILES)}")
    return PROFILES[name]
