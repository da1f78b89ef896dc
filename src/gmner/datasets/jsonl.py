"""Reading a user's own annotations, one JSON object a line.

{"image": "a.jpg", "text": "Ann in Rome", "entities": [{"mention": "Ann", "type": "PER", "boxes": [[4, 8, 90, 99]]}]}

Instead of `text`, which is cut at blanks, `tokens` may be given. An entity is placed by `start` and `end` (token
offsets, end exclusive), by `char_start` and `char_end` (offsets into `text`), or by its `mention` alone: the
first occurrence that no entity before it took. Nothing is decoded: what is written is the text.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from gmner.config.data import FolderDataset
from gmner.datasets.conll import check_type
from gmner.datasets.drafts import Draft
from gmner.errors import DataError
from gmner.records import Box, Entity

_TWEET_KEYS = {"id", "image", "text", "tokens", "entities"}
_ENTITY_KEYS = {"mention", "start", "end", "char_start", "char_end", "type", "fine_type", "boxes"}


def read_jsonl(settings: FolderDataset, path: Path, split: str) -> list[Draft]:
    """Read one split. Raises DataError naming file and line, what was expected and what was found."""
    drafts = []
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; convert the file") from error
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
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise self.error(f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise self.error(f"expected a JSON object, found {line.strip()[:60]!r}")
        self.refuse_unknown(value, _TWEET_KEYS, "the tweet")
        image = value.get("image")
        if not isinstance(image, str) or not image.strip():
            raise self.error(f"'image' must be the picture's file name, found {image!r}")
        tokens = self.tokens(value)
        image_id = value.get("id", Path(image).stem)
        if not isinstance(image_id, str) or not image_id:
            raise self.error(f"'id' must be a text, found {image_id!r}")
        entities = value.get("entities", [])
        if not isinstance(entities, list) or not all(isinstance(entity, dict) for entity in entities):
            raise self.error(f"'entities' must be a list of objects, found {entities!r}")
        placed: list[tuple[int, int]] = []
        found = tuple(self.entity(entity, value.get("text"), tokens, placed) for entity in entities)
        boxes = sum(len(entity.boxes) for entity in found)
        return Draft(self.split, image_id, tokens, found, self.where, image=image, box_objects=boxes)

    def tokens(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        text, tokens = value.get("text"), value.get("tokens")
        if tokens is None and isinstance(text, str) and text.split():
            return tuple(text.split())
        if tokens is None:
            raise self.error(f"'text' must be a text that is not blank (or give 'tokens'), found {text!r}")
        if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
            raise self.error(f"'tokens' must be a list of texts that is not empty, found {tokens!r}")
        for token in tokens:
            if not token or re.search(r"\s", token):
                raise self.error(f"'tokens' holds {token!r}; a token is not empty and has no blanks")
        return tuple(tokens)

    def entity(
        self, value: Mapping[str, Any], text: Any, tokens: Sequence[str], placed: list[tuple[int, int]]
    ) -> Entity:
        self.refuse_unknown(value, _ENTITY_KEYS, "an entity")
        start, end = self.span(value, text, tokens, placed)
        placed.append((start, end))
        mention = " ".join(tokens[start:end])
        given = value.get("mention")
        if given is not None and " ".join(str(given).split()) != mention:
            raise self.error(f"the mention is {given!r}, but its offsets name {mention!r}")
        kind = value.get("fine_type", value.get("type")) if self.settings.fine else value.get("type")
        if not isinstance(kind, str):
            raise self.error(f"entity '{mention}' has no 'type'")
        check_type(kind, self.settings.labels, f"{self.where}: entity '{mention}'")
        boxes = value.get("boxes") or []
        if not isinstance(boxes, list):
            raise self.error(f"entity '{mention}': 'boxes' must be a list of boxes, found {boxes!r}")
        return Entity(
            start,
            end,
            mention,
            kind,
            kind if self.settings.fine else None,
            tuple(self.box(box, mention) for box in boxes),
        )

    def span(
        self, value: Mapping[str, Any], text: Any, tokens: Sequence[str], placed: Sequence[tuple[int, int]]
    ) -> tuple[int, int]:
        if "start" in value or "end" in value:
            start, end = value.get("start"), value.get("end")
            if not _is_span(start, end, len(tokens)):
                raise self.error(f"start {start!r} and end {end!r} are no token offsets of {len(tokens)} tokens")
            return cast(int, start), cast(int, end)
        if "char_start" in value or "char_end" in value:
            return self.span_of_characters(value.get("char_start"), value.get("char_end"), text)
        mention = value.get("mention")
        if not isinstance(mention, str) or not mention.split():
            raise self.error(f"an entity needs 'mention', or 'start' and 'end', found {dict(value)!r}")
        wanted = mention.split()
        spans = [(i, i + len(wanted)) for i in range(len(tokens) - len(wanted) + 1)]
        matches = [span for span in spans if list(tokens[span[0] : span[1]]) == wanted]
        free = [span for span in matches if span not in placed]
        if not free:
            why = "occurs less often than it is annotated" if matches else "is not a run of whole tokens"
            raise self.error(
                f"the mention {mention!r} {why} in {' '.join(tokens)!r}; give 'tokens' that cut the text there"
            )
        return free[0]

    def span_of_characters(self, start: Any, end: Any, text: Any) -> tuple[int, int]:
        if not isinstance(text, str) or not _is_span(start, end, len(text)):
            raise self.error(f"char_start {start!r} and char_end {end!r} are no offsets into 'text' ({text!r})")
        edges = [match.span() for match in re.finditer(r"\S+", text)]
        first = [index for index, edge in enumerate(edges) if edge[0] == start]
        last = [index for index, edge in enumerate(edges) if edge[1] == end]
        if not first or not last:
            raise self.error(f"characters {start} to {end}, {text[start:end]!r}, are not a run of whole tokens")
        return first[0], last[0] + 1

    def box(self, box: Any, mention: str) -> Box:
        numbers = box if isinstance(box, list) else []
        fits = len(numbers) == 4 and all(
            isinstance(edge, int | float) and not isinstance(edge, bool) and math.isfinite(edge) for edge in numbers
        )
        if not fits or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
            raise self.error(
                f"entity '{mention}': expected a box [x1, y1, x2, y2] in pixels with x1 < x2 and y1 < y2, found {box!r}"
            )
        x1, y1, x2, y2 = (float(edge) for edge in numbers)
        return x1, y1, x2, y2

    def refuse_unknown(self, value: Mapping[str, Any], known: set[str], what: str) -> None:
        unknown = sorted(set(value) - known)
        if unknown:
            raise self.error(f"{what} has unknown keys {unknown}; known: {sorted(known)}")

    def error(self, text: str) -> DataError:
        return DataError(f"{self.where}: {text}")


def _is_span(start: Any, end: Any, length: int) -> bool:
    whole = all(isinstance(offset, int) and not isinstance(offset, bool) for offset in (start, end))
    return whole and 0 <= start < end <= length
