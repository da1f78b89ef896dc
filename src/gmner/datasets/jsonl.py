"""Reading a user's own annotations, one JSON object per line.

{"image": "a.jpg", "text": "Ann in Rome", "entities": [{"mention": "Ann", "type": "PER", "boxes": [[4, 8, 90, 99]]}]}

Instead of `text`, which is cut at blanks, `tokens` may be given. An entity is placed by `start` and `end` (token
offsets, end exclusive), by `char_start` and `char_end` (offsets into `text`), or by its `mention` alone: the
first occurrence that no entity before it took. Nothing is decoded: what is written is the text.
"""

import bisect
import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gmner.config.data import FolderDataset
from gmner.core.records import Box, Entity
from gmner.datasets.annotated import Draft
from gmner.datasets.conll import check_type
from gmner.datasets.edges import check_edges
from gmner.datasets.malformed import Malformed
from gmner.datasets.words import Span, word_spans
from gmner.errors import DataError
from gmner.storage.files import read_text

_SHOWN = 120  # characters of a value in an error
_LARGEST_EDGE = 1e9  # pixels


def _below(image: str) -> str:
    """Return a path that stays in the folder it is looked for in."""
    path = PurePosixPath(image)
    if not image.strip() or path.is_absolute() or ".." in path.parts or "\0" in image:
        raise ValueError("leads outside")
    return image


def _whole(token: str) -> str:
    if not token or re.search(r"\s", token):
        raise ValueError("holds a blank")
    return token


_Edge = Annotated[float, Field(gt=-_LARGEST_EDGE, lt=_LARGEST_EDGE)]
_Offset = Annotated[int, Field(ge=0)]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class EntityLine(_Line):
    """One entity of a tweet's line; boxes are x1, y1, x2, y2 in pixels of the original image."""

    mention: str | None = None
    start: _Offset | None = None
    end: _Offset | None = None
    char_start: _Offset | None = None
    char_end: _Offset | None = None
    type: str | None = None
    fine_type: str | None = None
    boxes: list[Annotated[list[_Edge], Field(min_length=4, max_length=4)]] | None = None


class TweetLine(_Line):
    """One line: a tweet with its image and its entities."""

    image: Annotated[str, AfterValidator(_below)]
    id: Annotated[str, Field(min_length=1)] | None = None
    text: str | None = None
    tokens: Annotated[list[Annotated[str, AfterValidator(_whole)]], Field(min_length=1)] | None = None
    entities: list[EntityLine] = []

    @model_validator(mode="before")
    @classmethod
    def _has_words(cls, data: Any) -> Any:
        text = data.get("text") if isinstance(data, Mapping) else ""
        if isinstance(data, Mapping) and data.get("tokens") is None and not (isinstance(text, str) and text.split()):
            raise ValueError(f"'text' must be a text that is not blank (or give 'tokens'), found {_short(text)}")
        return data


# What each key must be, in words.
_EXPECTED = {
    "image": "'image' must be a file's name below images/ or the dataset's folder",
    "id": "'id' must be a text",
    "text": "'text' must be a text that is not blank (or give 'tokens')",
    "tokens": "'tokens' must be a list of texts that is not empty",
    "entities": "'entities' must be a list of objects",
}


def read_jsonl(settings: FolderDataset, path: Path, split: str, malformed: Malformed | None = None) -> list[Draft]:
    """Read one split. What is malformed is noted in `malformed`, or raised at the end as DataError, by file and line.

    A message says what was expected and what was found.
    """
    found = Malformed() if malformed is None else malformed
    drafts: list[Draft] = []
    with found.collecting():
        lines = [(n, line) for n, line in enumerate(read_text(path, "JSON lines").split("\n"), 1) if line.strip()]
        for number, line in lines:
            with found.collecting():
                drafts.append(_draft(settings, line, f"{path}:{number}", split))
        if not lines:
            raise DataError(f"{path}: no line in it; expected one JSON object per line")
    if malformed is None:
        found.refuse()
    return drafts


def _draft(settings: FolderDataset, line: str, where: str, split: str) -> Draft:
    value = _parsed(line, where)
    try:
        tweet = TweetLine.model_validate(value)
    except ValidationError as error:
        raise DataError(f"{where}: {_explain(error, value)}") from error
    placer = Placer(tweet, settings.split_punctuation)
    entities = tuple(_entity(settings, entity, placer, where) for entity in tweet.entities)
    image_id = tweet.id if tweet.id is not None else Path(tweet.image).stem
    boxes = sum(len(entity.boxes) for entity in entities)
    return Draft(split, image_id, placer.tokens, entities, where, image=tweet.image, box_objects=boxes)


def _parsed(line: str, where: str) -> Any:
    """Parse one line. Not pydantic's own parser: it takes the last of two equal keys in silence."""
    try:
        value = json.loads(line, object_pairs_hook=_without_repeats)
        if "\\" in line:  # only an escape can write half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise DataError(
            f"{where}: holds {half!r}, half of a surrogate pair, which is no character; remove it"
        ) from error
    except RecursionError as error:
        raise DataError(f"{where}: brackets are nested too deeply; expected one flat object") from error
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, found {line.strip()[:60]!r}")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {_short(next(key for key in keys if keys.count(key) > 1))} comes twice in an object")
    return found


def _explain(error: ValidationError, value: Mapping[str, Any]) -> str:
    """Return the first of pydantic's findings in the words of the format."""
    first = error.errors(include_url=False)[0]
    place, kind = first["loc"], first["type"]
    if kind == "extra_forbidden":
        model, what, here = (
            (TweetLine, "the tweet", value)
            if len(place) == 1
            else (EntityLine, "an entity", value["entities"][int(place[1])])
        )
        known = set(model.model_fields)
        return f"{what} has unknown keys {_short(sorted(set(here) - known))}; known: {sorted(known)}"
    if kind == "value_error" and not place:
        return first["msg"].removeprefix("Value error, ")
    key = str(place[0])
    if key == "tokens" and kind == "value_error":
        return f"'tokens' holds {_short(first['input'])}; a token is not empty and has no blanks"
    if key != "entities" or len(place) < 3 or not isinstance(value["entities"], list):
        return f"{_EXPECTED[key]}, found {_short(value.get(key))}"
    entity: dict[str, Any] = value["entities"][int(place[1])]
    name = f"entity {_short(entity.get('mention'))}"
    if place[2] != "boxes":
        return f"{name}: '{place[2]}' is {_short(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"
    boxes = entity["boxes"]
    if len(place) == 3:
        return f"{name}: 'boxes' must be a list of boxes, found {_short(boxes)}"
    return f"{name}: expected a box [x1, y1, x2, y2] of four numbers in pixels, found {_short(boxes[int(place[3])])}"


def _entity(settings: FolderDataset, entity: EntityLine, placer: "Placer", where: str) -> Entity:
    start, end = _span(entity, placer, where)
    placer.take((start, end))
    mention = " ".join(placer.tokens[start:end])
    if entity.mention is not None and placer.words(entity.mention) != placer.tokens[start:end]:
        raise DataError(f"{where}: the mention is {_short(entity.mention)}, but its offsets name {_short(mention)}")
    kind = (entity.fine_type or entity.type) if settings.fine else entity.type
    if kind is None:
        raise DataError(f"{where}: entity {_short(mention)} has no 'type'")
    check_type(kind, settings.labels, f"{where}: entity {_short(mention)}")
    boxes: list[Box] = [(x1, y1, x2, y2) for x1, y1, x2, y2 in entity.boxes or ()]
    for box in boxes:
        check_edges(box, f"{where}: entity {_short(mention)}")
    return Entity(start, end, mention, kind, kind if settings.fine else None, tuple(boxes))


def _span(entity: EntityLine, placer: "Placer", where: str) -> Span:
    """Return the token offsets that an entity gives in one of three ways."""
    tokens, text = placer.tokens, placer.text
    if entity.start is not None or entity.end is not None:
        start, end = entity.start, entity.end
        if start is None or end is None or not start < end <= len(tokens):
            raise DataError(f"{where}: start {start} and end {end} are no token offsets of {len(tokens)} tokens")
        return start, end
    if entity.char_start is not None or entity.char_end is not None:
        start, end = entity.char_start, entity.char_end
        if text is None or start is None or end is None or not start < end <= len(text):
            raise DataError(
                f"{where}: char_start {start} and char_end {end} are no offsets into 'text' ({_short(text)})"
            )
        span = placer.of_characters(start, end)
        if span is None:
            raise DataError(
                f"{where}: characters {start} to {end}, {_short(text[start:end])}, are not a run of whole tokens"
            )
        return span
    if entity.mention is None or not entity.mention.split():
        given = entity.model_dump(exclude_unset=True)
        raise DataError(f"{where}: an entity needs 'mention', or 'start' and 'end', found {_short(given)}")
    span, occurs = placer.of_mention(entity.mention)
    if span is None:
        why = "occurs less often than it is annotated" if occurs else "is not a run of whole tokens"
        raise DataError(
            f"{where}: the mention {_short(entity.mention)} {why} in {_short(' '.join(tokens))}; give 'tokens' that "
            "cut the text there, or set split_punctuation: true"
        )
    return span


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class Placer:
    """Where entities stand in a tweet: in time in proportion to the tweet, however many entities it has.

    `text` is what the tokens were cut from, None if they were given.
    """

    def __init__(self, tweet: TweetLine, split_punctuation: bool = False) -> None:
        self.text = tweet.text
        self._split = split_punctuation and tweet.tokens is None
        self.tokens = tuple(tweet.tokens) if tweet.tokens is not None else self.words(tweet.text or "")
        self._taken: set[Span] = set()
        self._next: dict[str, int] = {}

    def words(self, text: str) -> tuple[str, ...]:
        """Return a text's words, cut as the tweet is."""
        return tuple(text[start:end] for start, end in word_spans(text, self._split))

    def take(self, span: Span) -> None:
        """Note that an entity stands at `span`: the same mention, named again, is looked for behind it."""
        self._taken.add(span)

    def of_mention(self, mention: str) -> tuple[Span | None, bool]:
        """Return the first free run of tokens that are the mention's (None: none), and whether there is any at all."""
        words = self.words(mention)
        joined, starts = self._joined
        wanted = f" {' '.join(words)} "
        first = at = joined.find(wanted, self._next.get(wanted, 0))
        while at >= 0:
            # A mention that is found begins with a token, since no token holds a blank.
            start = bisect.bisect_left(starts, at)
            span = (start, start + len(words))
            self._next[wanted] = at + 1
            if span not in self._taken:
                return span, True
            at = joined.find(wanted, at + 1)
        return None, first >= 0 or wanted in self._next

    def of_characters(self, start: int, end: int) -> Span | None:
        """Return the run of whole tokens between two offsets into the text, None if there is none."""
        begins, ends = self._edges
        first, last = begins.get(start), ends.get(end)
        return None if first is None or last is None or last < first else (first, last + 1)

    @functools.cached_property
    def _joined(self) -> tuple[str, list[int]]:
        starts, position = [], 0
        for token in self.tokens:
            starts.append(position)
            position += len(token) + 1
        return f" {' '.join(self.tokens)} ", starts

    @functools.cached_property
    def _edges(self) -> tuple[dict[int, int], dict[int, int]]:
        found: Sequence[Span] = word_spans(self.text or "", self._split)
        begins = {start: index for index, (start, _) in enumerate(found)}
        return begins, {end: index for index, (_, end) in enumerate(found)}
