"""Reading a user's own annotations, one JSON object a line.

{"image": "a.jpg", "text": "Ann in Rome", "entities": [{"mention": "Ann", "type": "PER", "boxes": [[4, 8, 90, 99]]}]}

Instead of `text`, which is cut at blanks, `tokens` may be given. An entity is placed by `start` and `end` (token
offsets, end exclusive), by `char_start` and `char_end` (offsets into `text`), or by its `mention` alone: the
first occurrence that no entity before it took. Nothing is decoded: what is written is the text.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

from gmner.config.data import FolderDataset
from gmner.core.records import Box, Entity
from gmner.datasets.annotated import Draft
from gmner.datasets.conll import check_type
from gmner.datasets.placing import Placer
from gmner.errors import DataError

_TWEET_KEYS = {"id", "image", "text", "tokens", "entities"}
_ENTITY_KEYS = {"mention", "start", "end", "char_start", "char_end", "type", "fine_type", "boxes"}

_SHOWN = 120  # characters of a value in an error
_LARGEST_EDGE = 1e9  # pixels


def read_jsonl(settings: FolderDataset, path: Path, split: str) -> list[Draft]:
    """Read one split. Raises DataError naming file and line, what was expected and what was found."""
    drafts = []
    try:
        data = path.read_bytes()
        lines = data.decode("utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{row}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            drafts.append(_Line(settings, f"{path}:{number}", split).draft(line))
    if not drafts:
        raise DataError(f"{path}: no line in it; expected one JSON object a line")
    return drafts


class _Line:
    def __init__(self, settings: FolderDataset, where: str, split: str) -> None:
        self.settings, self.where, self.split = settings, where, split

    def draft(self, line: str) -> Draft:
        value = self.parsed(line)
        if not isinstance(value, dict):
            raise self.error(f"expected a JSON object, found {line.strip()[:60]!r}")
        self.refuse_unknown(value, _TWEET_KEYS, "the tweet")
        image = value.get("image")
        if not isinstance(image, str) or not image.strip() or not _is_below(image):
            raise self.error(
                f"'image' must be a file's name below images/ or the data set's folder, found {_short(image)}"
            )
        tokens = self.tokens(value)
        image_id = value.get("id", Path(image).stem)
        if not isinstance(image_id, str) or not image_id:
            raise self.error(f"'id' must be a text, found {_short(image_id)}")
        entities = value.get("entities", [])
        if not isinstance(entities, list) or not all(isinstance(entity, dict) for entity in entities):
            raise self.error(f"'entities' must be a list of objects, found {_short(entities)}")
        placer = Placer(tokens, text if isinstance(text := value.get("text"), str) else None)
        found = tuple(self.entity(entity, placer) for entity in entities)
        boxes = sum(len(entity.boxes) for entity in found)
        return Draft(self.split, image_id, tokens, found, self.where, image=image, box_objects=boxes)

    def parsed(self, line: str) -> Any:
        try:
            value = json.loads(line, object_pairs_hook=_without_repeats)
            if "\\" in line:  # only an escape can write half of a surrogate pair
                json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise self.error(f"holds {half!r}, half of a surrogate pair, which is no character; remove it") from error
        except RecursionError as error:
            raise self.error("brackets are nested too deeply; expected one flat object") from error
        except ValueError as error:
            raise self.error(f"not JSON: {error}") from error
        return value

    def tokens(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        text, tokens = value.get("text"), value.get("tokens")
        if tokens is None and isinstance(text, str) and text.split():
            return tuple(text.split())
        if tokens is None:
            raise self.error(f"'text' must be a text that is not blank (or give 'tokens'), found {_short(text)}")
        if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
            raise self.error(f"'tokens' must be a list of texts that is not empty, found {_short(tokens)}")
        for token in tokens:
            if not token or re.search(r"\s", token):
                raise self.error(f"'tokens' holds {_short(token)}; a token is not empty and has no blanks")
        return tuple(tokens)

    def entity(self, value: Mapping[str, Any], placer: Placer) -> Entity:
        self.refuse_unknown(value, _ENTITY_KEYS, "an entity")
        start, end = self.span(value, placer)
        placer.take((start, end))
        mention = " ".join(placer.tokens[start:end])
        given = value.get("mention")
        if given is not None and " ".join(str(given).split()) != mention:
            raise self.error(f"the mention is {_short(given)}, but its offsets name {_short(mention)}")
        kind = value.get("fine_type", value.get("type")) if self.settings.fine else value.get("type")
        if not isinstance(kind, str):
            raise self.error(f"entity {_short(mention)} has no 'type'")
        check_type(kind, self.settings.labels, f"{self.where}: entity {_short(mention)}")
        boxes = value.get("boxes") or []
        if not isinstance(boxes, list):
            raise self.error(f"entity {_short(mention)}: 'boxes' must be a list of boxes, found {_short(boxes)}")
        return Entity(
            start,
            end,
            mention,
            kind,
            kind if self.settings.fine else None,
            tuple(self.box(box, mention) for box in boxes),
        )

    def span(self, value: Mapping[str, Any], placer: Placer) -> tuple[int, int]:
        if "start" in value or "end" in value:
            start, end = value.get("start"), value.get("end")
            if not _is_span(start, end, len(placer.tokens)):
                raise self.error(
                    f"start {_short(start)} and end {_short(end)} are no token offsets of {len(placer.tokens)} tokens"
                )
            return cast(int, start), cast(int, end)
        if "char_start" in value or "char_end" in value:
            return self.span_of_characters(value.get("char_start"), value.get("char_end"), placer)
        mention = value.get("mention")
        if not isinstance(mention, str) or not mention.split():
            raise self.error(f"an entity needs 'mention', or 'start' and 'end', found {_short(dict(value))}")
        span, occurs = placer.of_mention(mention.split())
        if span is None:
            why = "occurs less often than it is annotated" if occurs else "is not a run of whole tokens"
            raise self.error(
                f"the mention {_short(mention)} {why} in {_short(' '.join(placer.tokens))}; give 'tokens' that cut the "
                "text there"
            )
        return span

    def span_of_characters(self, start: Any, end: Any, placer: Placer) -> tuple[int, int]:
        text = placer.text
        if text is None or not _is_span(start, end, len(text)):
            raise self.error(
                f"char_start {_short(start)} and char_end {_short(end)} are no offsets into 'text' ({_short(text)})"
            )
        span = placer.of_characters(start, end)
        if span is None:
            raise self.error(f"characters {start} to {end}, {_short(text[start:end])}, are not a run of whole tokens")
        return span

    def box(self, box: Any, mention: str) -> Box:
        numbers = box if isinstance(box, list) else []
        fits = len(numbers) == 4 and all(_is_number(edge) for edge in numbers)
        if not fits or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
            raise self.error(
                f"entity {_short(mention)}: expected a box [x1, y1, x2, y2] in pixels with x1 < x2 and y1 < y2, found "
                f"{_short(box)}"
            )
        x1, y1, x2, y2 = (float(edge) for edge in numbers)
        return x1, y1, x2, y2

    def refuse_unknown(self, value: Mapping[str, Any], known: set[str], what: str) -> None:
        unknown = sorted(set(value) - known)
        if unknown:
            raise self.error(f"{what} has unknown keys {_short(unknown)}; known: {sorted(known)}")

    def error(self, text: str) -> DataError:
        return DataError(f"{self.where}: {text}")


def _is_span(start: Any, end: Any, length: int) -> bool:
    whole = all(isinstance(offset, int) and not isinstance(offset, bool) for offset in (start, end))
    return whole and 0 <= start < end <= length


def _is_number(value: Any) -> bool:
    # Bounded, since a whole number of JSON may be larger than any float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_EDGE


def _is_below(image: str) -> bool:
    """Say whether a path stays in the folder that it is looked for in."""
    path = PurePosixPath(image)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in image


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {_short(next(key for key in keys if keys.count(key) > 1))} comes twice in an object")
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
