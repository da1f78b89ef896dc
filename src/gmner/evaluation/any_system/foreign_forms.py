"""What other systems and tools write, read as records (docs/score-your-system.md)."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gmner.core.records import Box, Record
from gmner.errors import DataError
from gmner.evaluation.any_system.values import boxes_of, short
from gmner.evaluation.compared import SystemRecord

Line = tuple[str, str, tuple[Record, ...]]
"""Where it stands, the image's id, and the records of one tweet."""

_RIVEG = re.compile(r"(?P<id>[^#]+?)\.jpg(?:#\d+)?###(?P<mention>.*)\((?P<type>[^()]*)\)###(?P<rest>.*)", re.DOTALL)


def other_for_misc(name: str) -> str:
    """Return a type as the annotation of Twitter-GMNER calls it: several systems write MISC for OTHER."""
    return "OTHER" if name == "MISC" else name


def merged(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return one record per mention and type with all its boxes, from systems that write one per box."""
    boxes: dict[tuple[str, str], list[Box]] = defaultdict(list)
    for record in records:
        boxes[record.mention, record.type].extend(record.boxes)
    return tuple(Record(mention, kind, tuple(found)) for (mention, kind), found in boxes.items())


def is_sake(value: Any) -> bool:
    """Say whether a JSON value is SAKE's: image id to a list of {name, label, bnd}."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(found, list) for found in value.values())
        and any(isinstance(one, dict) and {"name", "label"} <= one.keys() for found in value.values() for one in found)
    )


def sake_lines(path: object, value: Mapping[str, Any]) -> Iterator[Line]:
    """Read SAKE's form; a record per box becomes one per entity."""
    for image_id, found in value.items():
        where = f"{path}: image '{image_id}'"
        records = []
        for one in found:
            if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in ("name", "label")):
                raise DataError(f"{where}: expected {{name, label, bnd}}, found {short(one)}")
            box = one.get("bnd")
            if isinstance(box, dict):
                box = [box.get(side) for side in ("xmin", "ymin", "xmax", "ymax")]
            records.append(Record(one["name"], other_for_misc(one["label"]), boxes_of(where, box)))
        yield where, image_id, merged(records)


def pre_entities(where: str, value: Mapping[str, Any]) -> tuple[Record, ...]:
    """Read `pre_entities` of MQSPN and UnCo: entity_type, start and end (in tokens, end included), region_box."""
    tokens = value.get("tokens")
    found = value["pre_entities"]
    if not isinstance(found, list):
        raise DataError(f"{where}: 'pre_entities' is {type(found).__name__}, expected a list")
    records = []
    for one in found:
        if not isinstance(one, dict) or not isinstance(one.get("entity_type"), str):
            raise DataError(f"{where}: expected an entity with entity_type, found {short(one)}")
        start, end = one.get("start"), one.get("end")
        if isinstance(tokens, list) and isinstance(start, int) and isinstance(end, int) and 0 <= start <= end:
            mention = " ".join(map(str, tokens[start : end + 1]))
        elif isinstance(one.get("phrase"), str):
            mention = one["phrase"]
        else:
            raise DataError(f"{where}: an entity has neither start and end among 'tokens' nor 'phrase': {short(one)}")
        if not one.get("region_box") and one.get("region") not in (None, 0):
            raise DataError(
                f"{where}: region {one['region']} is the number of a candidate region; give its box as region_box: "
                f"{short(one)}"
            )
        records.append(Record(mention, other_for_misc(one["entity_type"]), boxes_of(where, one.get("region_box"))))
    return merged(records)


def riveg_lines(lines: Iterable[tuple[int, str]], path: object) -> Iterator[Line]:
    """Read RiVEG's `id.jpg###mention(TYPE)###…###0 or 2###&[x1, y1, x2, y2]`, one entity per line."""
    tweets: dict[str, list[Record]] = {}
    first: dict[str, str] = {}
    for number, line in lines:
        where = f"{path}:{number}"
        found = _RIVEG.fullmatch(line.removeprefix("Imageid:"))
        fields = found["rest"].split("###") if found else []
        if found is None or len(fields) < 2:
            raise DataError(f"{where}: expected id.jpg###mention(TYPE)###…###0 or 2###&[x1, y1, x2, y2]")
        boxes: list[list[float]] = []
        if fields[-2].strip() != "0":
            try:
                boxes = [
                    [float(side) for side in part.strip("&[] ").split(",")] for part in fields[-1].split("&") if part
                ]
            except ValueError as error:
                raise DataError(f"{where}: boxes {short(fields[-1])} are no numbers") from error
        image_id = found["id"]
        first.setdefault(image_id, where)
        record = Record(found["mention"], other_for_misc(found["type"]), boxes_of(where, boxes))
        tweets.setdefault(image_id, []).append(record)
    for image_id, records in tweets.items():
        yield first[image_id], image_id, tuple(records)


def is_coco(value: Any) -> bool:
    """Say whether a JSON value is COCO's: images, annotations, categories."""
    return isinstance(value, dict) and {"images", "annotations", "categories"} <= value.keys()


def coco_lines(path: object, value: Mapping[str, Any]) -> Iterator[Line]:
    """Read COCO: an annotation's category is the type, its `mention` (or `attributes.mention`) the mention.

    `bbox` is [x, y, width, height] in pixels of the original image; without one the entity has no region. An image's
    `image_id`, or its file's name without ending, is the tweet's image id. Annotations of one `entity` number, or of
    one mention and type, are one entity.
    """
    try:
        names = {one["id"]: one["name"] for one in value["categories"]}
        images = {
            one["id"]: str(
                one.get("image_id", str(one.get("file_name", one["id"])).rsplit("/", 1)[-1].rsplit(".", 1)[0])
            )
            for one in value["images"]
        }
        tweets: dict[Any, dict[Any, Record]] = {key: {} for key in images}
        for number, one in enumerate(value["annotations"], start=1):
            where = f"{path}: annotation {number}"
            extra = one.get("attributes") or {}
            mention = one.get("mention", extra.get("mention"))
            if not isinstance(mention, str):
                raise DataError(f"{where}: no 'mention'; COCO alone names no words of the text")
            box = one.get("bbox")
            if box:
                x, y, width, height = box
                box = [x, y, x + width, y + height]
            kind, entity = names[one["category_id"]], one.get("entity", extra.get("entity"))
            boxes = boxes_of(where, box or None)
            key = (mention, kind, entity)
            kept = tweets[one["image_id"]].get(key)
            tweets[one["image_id"]][key] = Record(mention, kind, (*kept.boxes, *boxes) if kept else boxes)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not COCO as gmner reads it ({error!r}); see docs/score-your-system.md") from error
    for key, found in tweets.items():
        yield f"{path}: image {key}", images[key], tuple(found.values())


def is_label_studio(value: Any) -> bool:
    """Say whether a JSON value is a list of Label Studio's tasks."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "data" in value[0]


def label_studio_lines(path: object, tasks: Iterable[Any]) -> Iterator[Line]:
    """Read Label Studio's tasks: text spans (`labels`), rectangles (`rectanglelabels`), and relations between them.

    A rectangle belongs to the span that a relation joins it with, or that has its `parentID`. Rectangles are in per
    cent of the image, whose size each result tells.
    """
    for number, task in enumerate(tasks, start=1):
        where = f"{path}: task {number}"
        try:
            data = task["data"]
            image_id = str(data.get("image_id", str(data.get("image", "")).rsplit("/", 1)[-1].rsplit(".", 1)[0]))
            answers = task.get("predictions") or task.get("annotations") or [{"result": []}]
            yield where, image_id, _label_studio_records(where, answers[0]["result"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DataError(f"{where}: not Label Studio as gmner reads it ({error!r})") from error


def _label_studio_records(where: str, results: Iterable[Mapping[str, Any]]) -> tuple[Record, ...]:
    spans: dict[str, Mapping[str, Any]] = {}
    boxes: dict[str, list[float]] = {}
    owners: dict[str, str] = {}
    scores: dict[str, float] = {}
    for one in results:
        value = one.get("value", {})
        if one["type"] == "labels":
            spans[one["id"]] = value
            if isinstance(one.get("score"), int | float):
                scores[one["id"]] = float(one["score"])
        elif one["type"] == "rectanglelabels":
            width, height = one["original_width"] / 100, one["original_height"] / 100
            x, y = value["x"] * width, value["y"] * height
            boxes[one["id"]] = [x, y, x + value["width"] * width, y + value["height"] * height]
            if one.get("parentID"):
                owners[one["id"]] = one["parentID"]
        elif one["type"] == "relation":
            ends = (one["from_id"], one["to_id"])
            for box, span in (ends, ends[::-1]):
                owners.setdefault(box, span)
    found = []
    for name, value in spans.items():
        regions = boxes_of(where, [box for key, box in boxes.items() if owners.get(key) == name])
        kind = value["labels"][0]
        if name in scores:
            found.append(SystemRecord(value["text"], kind, regions, None, scores[name]))
        else:
            found.append(Record(value["text"], kind, regions))  # type: ignore[arg-type]
    return tuple(found)
