"""Annotations of other tools, as the lines of a dataset folder: Label Studio and COCO (docs/own-data.md)."""

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gmner.datasets.malformed import Malformed
from gmner.datasets.words import Span, word_spans
from gmner.errors import DataError
from gmner.storage.files import read_text

Line = dict[str, Any]
"""One tweet as docs/own-data.md has it: id, image, tokens, entities."""

_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the names of uploaded files
_WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def read_exchange(path: Path) -> list[Line]:
    """Read a JSON export of Label Studio (a list of tasks) or of COCO.

    Raises DataError for another form, and for all tasks or images that cannot be read, each by its number.
    """
    try:
        value = json.loads(read_text(path, "a JSON export of Label Studio or COCO"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); export as JSON, not as JSON-MIN or CSV") from error
    malformed = Malformed()
    if isinstance(value, list) and value and isinstance(value[0], dict) and "data" in value[0]:
        lines = list(_label_studio(path, value, malformed))
    elif isinstance(value, dict) and {"images", "annotations", "categories"} <= value.keys():
        lines = list(_coco(path, value, malformed))
    else:
        raise DataError(
            f"{path}: expected Label Studio's list of tasks with 'data', or COCO's 'images', 'annotations' and "
            "'categories'"
        )
    malformed.refuse()
    return lines


def line_of(image: str, text: str, entities: Sequence[tuple[Span, str, Sequence[Sequence[float]]]]) -> Line:
    """Return a line whose tokens are cut at blanks and at the edges of entities: character offsets, type, boxes.

    So a mention is always whole tokens, whatever punctuation touches it. Boxes are pixels of the original image.
    """
    edges = {edge for span, _, _ in entities for edge in span}
    spans: list[Span] = []
    for start, end in word_spans(text):
        cuts = [start, *sorted(edge for edge in edges if start < edge < end), end]
        spans += itertools.pairwise(cuts)
    found = []
    for (start, end), kind, boxes in entities:
        inside = [number for number, (first, last) in enumerate(spans) if start <= first and last <= end]
        if not inside:
            raise ValueError(f"characters {start} to {end} of the text hold no word")
        rounded = [[round(float(edge), 2) for edge in box] for box in boxes]
        found.append({"start": inside[0], "end": inside[-1] + 1, "type": kind, "boxes": rounded})
    tokens = [text[start:end] for start, end in spans]
    return {"id": Path(image).stem, "image": image, "tokens": tokens, "entities": found}


def _label_studio(path: Path, tasks: Sequence[Any], malformed: Malformed) -> Iterator[Line]:
    for number, task in enumerate(tasks, start=1):
        try:
            yield _task(task)
        except _WRONG as error:
            malformed.add(f"{path}: task {number}: {_said(error)}")


def _task(task: Mapping[str, Any]) -> Line:
    """Read one task: text spans (`labels`), rectangles in per cent, joined by `parentID` or by a relation."""
    data = task["data"]
    image, text = _UPLOADED.sub("", _file_name(data["image"]), count=1), data["text"]
    done = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
    if len(done) > 1:
        raise ValueError(f"it has {len(done)} annotations; keep one")
    spans: dict[str, tuple[Span, str]] = {}
    boxes: dict[str, list[float]] = {}
    owners: dict[str, str] = {}
    for one in done[0]["result"] if done else ():
        kind, value = one["type"], one.get("value", {})
        if kind == "labels":
            (label,) = value["labels"]
            spans[one["id"]] = ((value["start"], value["end"]), label)
        elif kind == "rectanglelabels" or kind == "rectangle":
            if value.get("rotation"):
                raise ValueError("a rectangle is rotated; boxes are upright: draw it anew")
            boxes[one["id"]] = _pixels(value, one["original_width"], one["original_height"])
            if one.get("parentID"):
                owners[one["id"]] = one["parentID"]
        elif kind == "relation":
            ends = (one["from_id"], one["to_id"])
            for box, span in (ends, ends[::-1]):
                owners.setdefault(box, span)
    lost = [name for name in boxes if owners.get(name) not in spans]
    if lost:
        raise ValueError(f"{len(lost)} rectangles belong to no labelled words; relate each to the words it shows")
    entities = [
        (span, label, [box for key, box in boxes.items() if owners[key] == name])
        for name, (span, label) in sorted(spans.items(), key=lambda found: found[1][0])
    ]
    return line_of(image, text, entities)


def _pixels(value: Mapping[str, float], width: float, height: float) -> list[float]:
    x, y = value["x"] * width / 100, value["y"] * height / 100
    return [x, y, x + value["width"] * width / 100, y + value["height"] * height / 100]


def _coco(path: Path, value: Mapping[str, Any], malformed: Malformed) -> Iterator[Line]:
    """Read COCO: an image's `caption` (or `text`) is the tweet, an annotation's `mention` its words.

    Annotations of one `entity` number, or of one mention and type, are one entity; one without `bbox` is not visible.
    """
    try:
        names = {one["id"]: str(one["name"]) for one in value["categories"]}
        known = {one["id"] for one in value["images"]}
        per_image: dict[Any, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
        for number, one in enumerate(value["annotations"], start=1):
            per_image[one["image_id"]].append((number, one))
    except _WRONG as error:
        raise DataError(f"{path}: not COCO ({error!r})") from error
    for key in per_image.keys() - known:
        malformed.add(f"{path}: annotation {per_image[key][0][0]}: image {key!r} is not among the images")
    for image in value["images"]:
        try:
            yield _coco_image(image, per_image[image["id"]], names)
        except _WRONG as error:
            malformed.add(f"{path}: image {image.get('id') if isinstance(image, dict) else image!r}: {_said(error)}")


def _coco_image(
    image: Mapping[str, Any], annotations: Sequence[tuple[int, Mapping[str, Any]]], names: Mapping[Any, str]
) -> Line:
    text = image["caption"] if "caption" in image else image["text"]
    entities: dict[tuple[str, str, Any], list[list[float]]] = {}
    for number, one in annotations:
        extra = one.get("attributes") or {}
        mention, entity = one.get("mention", extra.get("mention")), one.get("entity", extra.get("entity"))
        if not isinstance(mention, str) or not mention.strip():
            raise ValueError(f"annotation {number} has no 'mention': the words of the text that it shows")
        boxes = entities.setdefault((mention, names[one["category_id"]], entity), [])
        if one.get("bbox"):
            x, y, width, height = one["bbox"]
            boxes.append([x, y, x + width, y + height])
    placed: list[tuple[Span, str, list[list[float]]]] = []
    taken: set[Span] = set()
    for (mention, kind, _), boxes in entities.items():
        span = _place(text, mention, taken)
        taken.add(span)
        placed.append((span, kind, boxes))
    return line_of(_file_name(image["file_name"]), text, placed)


def _place(text: str, mention: str, taken: set[Span]) -> Span:
    """Return where the mention stands in the text: its first occurrence as whole words that is not taken."""
    words = r"\s+".join(map(re.escape, mention.split()))
    for match in re.finditer(rf"(?<!\w){words}(?!\w)", text):
        if match.span() not in taken:
            return match.span()
    raise ValueError(f"the mention {mention!r} is not among the words of {text[:80]!r}, or not as often")


def _file_name(place: str) -> str:
    """Return the file's name at the end of a path or an address."""
    return re.split(r"[/\\=]", place.partition("?d=")[2] or place.partition("?")[0])[-1]


def _said(error: Exception) -> str:
    return f"has no {error}" if isinstance(error, KeyError) else str(error)
