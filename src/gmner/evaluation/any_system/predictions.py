"""Predictions of any system for the scorer: four forms, told apart by what they hold (docs/metrics.md)."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from gmner.core.answer import parse_output
from gmner.core.mentions import normalise_mention
from gmner.core.records import Box, Record, Sample
from gmner.errors import DataError, MissingInputError
from gmner.evaluation.compared import SystemRecord
from gmner.evaluation.record_matching import AUTHORS_FRAME
from gmner.storage.tables import PREDICTIONS, read_table

FORMS = (
    '{"image_id": …, "output": "<answer>…</answer>"}, {"image_id": …, "entities": [{"mention", "type", "boxes"}]}, '
    '{"image_id": …, "triples": [[mention, type, region]]}, the authors\' {"response_answer_scaled": …}, or '
    "image_id<TAB>mention<TAB>type<TAB>region"
)

_LARGEST_EDGE = 1e9  # pixels; JSON may also hold whole numbers larger than any float, and NaN
_SHOWN = 120  # characters of a value in an error

Records = tuple[Record, ...]


@dataclass
class Predictions:
    """One entry a gold tweet, in their order, boxes in pixels of the original images.

    `missing`: how many gold tweets have no prediction; they count as predicted empty. `form`: what the file held.
    `sized`: the sizes of images that the file tells, by number of the gold tweet.
    """

    records: list[Records]
    missing: int
    form: str
    sized: dict[int, tuple[int, int]]


def read_predictions(path: Path, gold: Sequence[Sample]) -> Predictions:
    """Read predictions and join them to gold tweets by image id (our own table: by sample id).

    Of several tweets with one image the first takes the first prediction, and so on. Raises DataError naming the
    line for anything that cannot be read, for an image that is not in gold, and for a tweet predicted twice.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: no such file of predictions")
    if path.suffix == ".parquet":
        return _read_own_table(path, gold)
    first = next((line for _, line in _lines(path)), None)
    if first is None:
        raise DataError(f"{path}: the file is empty; expected a line for each tweet: {FORMS}")
    if not first.lstrip().startswith("{"):
        return _join_triples(path, gold)
    if "response_answer_scaled" in _object(path, 1, first):
        return _join_authors(path, gold)
    return _join_lines(path, gold)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:{number}: not JSON ({error}); expected one object a line") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}:{number}: expected an object, found {type(value).__name__}; known forms: {FORMS}")
    return value


class _Joiner:
    """Hands out the gold tweets of an image one after the other."""

    def __init__(self, path: Path, gold: Sequence[Sample]) -> None:
        self.path = path
        self.records: list[Records | None] = [None] * len(gold)
        self._places: dict[str, list[int]] = defaultdict(list)
        for place, sample in enumerate(gold):
            self._places[sample.image_id].append(place)
        self._used: dict[str, int] = defaultdict(int)

    def places(self, number: int, image_id: str) -> list[int]:
        """Return the gold tweets of an image; raises DataError where there is none."""
        if image_id not in self._places:
            raise DataError(
                f"{self.path}:{number}: image_id '{image_id}' is none of the gold tweets'; are these predictions of "
                "another split?"
            )
        return self._places[image_id]

    def add(self, number: int, image_id: str, records: Records) -> None:
        """Give a line's records to the next gold tweet of its image."""
        places = self.places(number, image_id)
        used = self._used[image_id]
        if used == len(places):
            raise DataError(
                f"{self.path}:{number}: image_id '{image_id}' comes for the {used + 1}. time, but gold has it "
                f"{'once' if used == 1 else f'{used} times'}; remove the repeated line"
            )
        self.records[places[used]] = records
        self._used[image_id] = used + 1

    def result(self, form: str) -> Predictions:
        """Return what was joined."""
        missing = sum(records is None for records in self.records)
        return Predictions([records or () for records in self.records], missing, form, {})


def _join_lines(path: Path, gold: Sequence[Sample]) -> Predictions:
    joiner = _Joiner(path, gold)
    readers: dict[str, Callable[[str, Any], Records]] = {
        "output": _read_output,
        "entities": _read_entities,
        "triples": _read_entities,
    }
    forms = set()
    for number, line in _lines(path):
        value = _object(path, number, line)
        key = next((name for name in readers if name in value), None)
        if key is None or "image_id" not in value:
            lacks = "image_id" if key is not None else "predictions"
            raise DataError(f"{path}:{number}: no {lacks} in the keys {sorted(value)}; known forms: {FORMS}")
        forms.add(key)
        joiner.add(number, str(value["image_id"]), readers[key](f"{path}:{number}", value[key]))
    return joiner.result(" and ".join(sorted(forms)))


def _read_output(where: str, value: Any) -> Records:
    if not isinstance(value, str):
        raise DataError(f"{where}: 'output' is {type(value).__name__}, expected the text that the model wrote")
    return parse_output(value).records


def _read_entities(where: str, value: Any) -> Records:
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a list of entities, found {type(value).__name__}")
    return tuple(_entity(where, item) for item in value)


def _entity(where: str, item: Any) -> Record:
    if isinstance(item, list) and len(item) == 3:
        mention, kind, region = item
        span = None
    elif isinstance(item, dict) and "type" in item and ("mention" in item or "text" in item):
        mention, kind = item.get("mention", item.get("text")), item["type"]
        region = next((item[name] for name in ("boxes", "box", "bbox", "region") if name in item), None)
        span = (item["start"], item["end"]) if "start" in item and "end" in item else None
    else:
        raise DataError(
            f"{where}: expected [mention, type, region] or an object with mention and type, found {_short(item)}"
        )
    if not isinstance(mention, str) or not isinstance(kind, str):
        raise DataError(f"{where}: mention and type must be texts, found {_short(mention)} and {_short(kind)}")
    boxes = _boxes(where, region)
    if span is None:
        return Record(mention, kind, boxes)
    if not all(isinstance(offset, int) and offset >= 0 for offset in span):
        raise DataError(f"{where}: start and end must be whole numbers of tokens, found {span}")
    return SystemRecord(mention, kind, boxes, span)


def _boxes(where: str, region: Any) -> tuple[Box, ...]:
    if region is None or region == []:
        return ()
    found = [region] if isinstance(region, list) and not isinstance(region[0], list) else region
    if isinstance(found, list) and all(_is_box(box) for box in found):
        return tuple((float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in found)
    raise DataError(f"{where}: a region is null, [x1, y1, x2, y2] or a list of such boxes, found {_short(region)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(_is_number(value) for value in box)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_EDGE


def _join_triples(path: Path, gold: Sequence[Sample]) -> Predictions:
    """Read one entity a line; a tweet's lines need not stand together, and a tweet without entities has none."""
    joiner = _Joiner(path, gold)
    found: dict[int, list[Record]] = defaultdict(list)
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != 4:
            raise DataError(
                f"{path}:{number}: {len(fields)} columns, expected image_id<TAB>mention<TAB>type<TAB>region; "
                f"other known forms: {FORMS}"
            )
        image_id, mention, kind, region = fields
        try:
            boxes = None if region.strip().lower() in {"", "none", "null"} else json.loads(region)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{path}:{number}: region {_short(region)} is neither None nor boxes such as [1,2,3,4]"
            ) from error
        places = joiner.places(number, image_id)
        if len(places) > 1:
            raise DataError(f"{path}:{number}: gold has image '{image_id}' more than once; use a line a tweet: {FORMS}")
        found[places[0]].append(Record(mention, kind, _boxes(f"{path}:{number}", boxes)))
    for place, records in found.items():
        joiner.records[place] = tuple(records)
    result = joiner.result("plain triples")
    # Here no line says nothing: a tweet without one is a tweet predicted empty.
    return Predictions(result.records, 0, result.form, {})


def _join_authors(path: Path, gold: Sequence[Sample]) -> Predictions:
    """Read what the authors' evaluation writes: no image ids, the tweets in their order, some of them left out.

    Each line repeats its gold answer, by which it is found; boxes are read from the resized image's pixels, the
    frame of the authors' defaults. The tweets that their code left out stay, predicted empty.
    """
    records: list[Records | None] = [None] * len(gold)
    sizes: dict[int, tuple[int, int]] = {}
    place = 0
    for number, line in _lines(path):
        value = _object(path, number, line)
        try:
            said, answer = value["labels_answer_scaled"], value["response_answer_scaled"]
            width, height = (int(side) for side in value["orig_size"])
            if not all(isinstance(text, str | None) for text in (said, answer)) or min(width, height) < 1:
                raise ValueError("expected two texts and a size")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{path}:{number}: not a line of the authors' evaluation: {error!r}") from error
        wanted = _names(parse_output(said or "None").records)
        place = next((i for i in count(place) if i >= len(gold) or _names_of(gold[i]) == wanted), len(gold))
        if place >= len(gold):
            raise DataError(
                f"{path}:{number}: its gold answer is no remaining gold tweet's: {_short(said)}; another split?"
            )
        sizes[place] = (width, height)
        records[place] = tuple(_rescaled(record, (width, height)) for record in parse_output(answer or "None").records)
        place += 1
    missing = sum(one is None for one in records)
    return Predictions([one or () for one in records], missing, "the authors' outputs", sizes)


def _names(records: Sequence[Record]) -> list[tuple[str, str]]:
    return sorted((normalise_mention(record.mention), record.type) for record in records)


def _names_of(sample: Sample) -> list[tuple[str, str]]:
    return sorted((normalise_mention(entity.mention), entity.type) for entity in sample.entities)


def _rescaled(record: Record, size_wh: tuple[int, int]) -> Record:
    if not record.boxes:
        return record
    boxes = AUTHORS_FRAME.to_original(record.boxes, size_wh).tolist()
    return Record(record.mention, record.type, tuple(tuple(box) for box in boxes))


def _read_own_table(path: Path, gold: Sequence[Sample]) -> Predictions:
    rows: dict[str, Mapping[str, Any]] = {}
    for number, row in enumerate(read_table(path, PREDICTIONS, ["sample_id", "entities"]).to_pylist()):
        if row["sample_id"] in rows:
            raise DataError(f"{path}: row {number}: sample '{row['sample_id']}' comes twice; run its stage again")
        rows[row["sample_id"]] = row
    known = {sample.sample_id for sample in gold}
    for number, name in enumerate(rows):
        if name not in known:
            raise DataError(f"{path}: row {number}: sample '{name}' is not in gold; are these of another split?")
    found: list[Records] = []
    for sample in gold:
        entities = rows[sample.sample_id]["entities"] if sample.sample_id in rows else ()
        found.append(tuple(Record(e["mention"], e["type"], tuple(tuple(b) for b in e["boxes"])) for e in entities))
    return Predictions(found, len(known - rows.keys()), "our table", {})
