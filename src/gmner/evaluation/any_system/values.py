"""Values of a file of predictions as records; errors name the place."""

from collections import Counter
from typing import Any

from gmner.core.answer import parse_output
from gmner.core.records import Box, Record
from gmner.errors import DataError
from gmner.evaluation.compared import SystemRecord

_LARGEST_EDGE = 1e9  # pixels; JSON may also hold whole numbers larger than any float, and NaN
_SHOWN = 120  # characters of a value in an error

Records = tuple[Record, ...]


def output_of(where: str, value: Any, failures: Counter[str]) -> Records:
    """Return the records of a model's raw output; what could not be taken at its word is added to `failures`."""
    if not isinstance(value, str):
        raise DataError(f"{where}: 'output' is {type(value).__name__}, expected the text that the model wrote")
    parsed = parse_output(value)
    failures.update(problem.code for problem in parsed.problems)
    return parsed.records


def entities_of(where: str, value: Any) -> Records:
    """Return the records of a list of entities or triples."""
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a list of entities, found {type(value).__name__}")
    return tuple(_entity(where, item) for item in value)


def _entity(where: str, item: Any) -> Record:
    span = confidence = None
    if isinstance(item, list) and len(item) == 3:
        mention, kind, region = item
    elif isinstance(item, dict) and "type" in item and ("mention" in item or "text" in item):
        mention, kind = item.get("mention", item.get("text")), item["type"]
        region = next((item[name] for name in ("boxes", "box", "bbox", "region") if name in item), None)
        if item.get("start") is not None and item.get("end") is not None:
            span = (item["start"], item["end"])
        confidence = item.get("confidence", item.get("score"))
    else:
        raise DataError(
            f"{where}: expected [mention, type, region] or an object with mention and type, found {short(item)}"
        )
    if not isinstance(mention, str) or not isinstance(kind, str):
        raise DataError(f"{where}: mention and type must be texts, found {short(mention)} and {short(kind)}")
    boxes = boxes_of(where, region)
    if span is None and confidence is None:
        return Record(mention, kind, boxes)
    if span is not None and not all(isinstance(at, int) and not isinstance(at, bool) and at >= 0 for at in span):
        raise DataError(f"{where}: start and end must be whole numbers of tokens, found {short(span)}")
    if confidence is not None and not is_number(confidence):
        raise DataError(f"{where}: confidence must be a number, found {short(confidence)}")
    return SystemRecord(mention, kind, boxes, span, None if confidence is None else float(confidence))


def boxes_of(where: str, region: Any) -> tuple[Box, ...]:
    """Return a region's boxes: null, one [x1, y1, x2, y2], or a list of such."""
    if region is None or region == []:
        return ()
    found = [region] if isinstance(region, list) and not isinstance(region[0], list) else region
    if isinstance(found, list) and all(_is_box(box) for box in found):
        return tuple((float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in found)
    raise DataError(f"{where}: a region is null, [x1, y1, x2, y2] or a list of such boxes, found {short(region)}")


def short(value: Any) -> str:
    """Return a value for an error."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(is_number(value) for value in box)


def is_number(value: Any) -> bool:
    """Say whether a value is a number that an image's edge or a confidence can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_EDGE
