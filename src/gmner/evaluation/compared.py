"""A tweet as a convention of scoring compares it, and what the conventions share in preparing one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gmner.core.mentions import normalise_mention
from gmner.core.records import Box, Record, Sample

VERSION = 1
"""Part of every signature; it rises when a count could change."""

NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)
"""A box that agrees with nothing: it is no absence and overlaps no box."""

Span = tuple[int, int]
Sides = tuple[list[Record], list[Record]]


@dataclass(frozen=True, slots=True)
class SystemRecord(Record):
    """A prediction that says more of itself.

    `span` is the (start, end) of its tokens, end exclusive; `confidence` is how sure the system is, higher is surer.
    """

    span: Span | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ComparedTweet:
    """The predicted and gold records of one tweet as a convention compares them.

    A convention may compare other records for one task than for another: `by_task` holds (predicted, gold) for the
    tasks `mner`, `eeg` and `regions` (Acc@0.5, Acc@0.75 and mean IoU) if they differ from those of GMNER.
    """

    predicted: list[Record]
    gold: list[Record]
    by_task: Mapping[str, Sides] | None = None

    def of(self, task: str) -> Sides:
        """Return the predicted and gold records that a task compares."""
        if self.by_task is None:
            return self.predicted, self.gold
        return self.by_task.get(task, (self.predicted, self.gold))

    def of_type(self, name: str) -> "ComparedTweet":
        """Return the same tweet with the records of one type alone."""

        def kept(sides: Sides) -> Sides:
            return [r for r in sides[0] if r.type == name], [r for r in sides[1] if r.type == name]

        by_task = None if self.by_task is None else {task: kept(sides) for task, sides in self.by_task.items()}
        return ComparedTweet(*kept((self.predicted, self.gold)), by_task)


class Convention(Protocol):
    """How a published scorer compares predictions with the annotation."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def depends_on_iou(self) -> bool:
        """Whether the compared records themselves depend on the IoU threshold."""

    def signature(self, iou: float, fine: bool = False) -> str:
        """Return what stands beside every number counted this way."""

    def compare(self, sample: Sample, predicted: Sequence[Record], iou: float, fine: bool = False) -> ComparedTweet:
        """Return a tweet as this convention compares it; boxes in pixels of the original image."""

    def compare_each(
        self, sample: Sample, predicted: Sequence[Record], iou: float, fine: bool = False
    ) -> ComparedTweet:
        """Return the same with one record per prediction and per entity, in their order, for showing verdicts."""


def signature(name: str, iou: float, fine: bool, parts: Sequence[str]) -> str:
    """Return a signature: `gmner|profile:…|iou:…|…|v:1`."""
    types = ["types:fine"] if fine else []
    return "|".join(["gmner", f"profile:{name}", f"iou:{iou:g}", *parts, *types, f"v:{VERSION}"])


def normalised(record: Record) -> Record:
    """Return a record whose mention is in the form in which mentions are compared."""
    mention = normalise_mention(record.mention)
    return record if mention == record.mention else replace(record, mention=mention)


def span_name(span: Span) -> str:
    """Return how a convention that matches token spans names a mention."""
    return f"tokens {span[0]} to {span[1]}"


def named_by_span(records: Sequence[Record], spans: Sequence[Span | None]) -> list[Record]:
    """Return records whose mentions are their token spans; a record without a span keeps its mention."""
    return [
        record if span is None else replace(record, mention=span_name(span))
        for record, span in zip(records, spans, strict=True)
    ]


def align(records: Sequence[Record], tokens: Sequence[str]) -> list[Span | None]:
    """Return the token span that each record means, None if its mention is not in the tweet.

    A record that names its span is believed. Of the others with one mention the first gets the mention's first
    place in the tweet, the second the second, and so on; those beyond its last place share that.
    """
    places: dict[str, list[Span]] = {}
    used: dict[str, int] = defaultdict(int)
    found: list[Span | None] = []
    for record in records:
        span = record.span if isinstance(record, SystemRecord) else None
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
