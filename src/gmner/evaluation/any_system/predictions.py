"""Predictions of any system for the scorer: forms told apart by what they hold (docs/score-your-system.md)."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from gmner.core.answer import parse_output
from gmner.core.mentions import normalise_mention
from gmner.core.records import Record, Sample
from gmner.errors import DataError, MissingInputError
from gmner.evaluation.any_system import foreign_forms as foreign
from gmner.evaluation.any_system.values import Records, boxes_of, entities_of, output_of, short
from gmner.evaluation.f1 import record_of_entity
from gmner.evaluation.record_matching import AUTHORS_FRAME
from gmner.storage.files import refuse_special
from gmner.storage.tables import PREDICTIONS, read_table

FORMS = (
    '{"image_id": …, "output": "<answer>…</answer>"}, {"image_id": …, "entities": [{"mention", "type", "boxes"}]}, '
    '{"image_id": …, "triples": [[mention, type, region]]}, the authors\' {"response_answer_scaled": …}, '
    "image_id<TAB>mention<TAB>type<TAB>region, or CSV with the columns image_id,mention,type,region"
)
_CSV_COLUMNS = ("image_id", "mention", "type", "region")


@dataclass
class Predictions:
    """One entry per gold tweet, in their order, boxes in pixels of the original images.

    `missing`: how many gold tweets have no prediction; they count as predicted empty. `form`: what the file held.
    `sized`: the sizes of images that the file tells, by number of the gold tweet. `failures`: how often each problem
    occurred in reading raw outputs, or is told by our own table.
    """

    records: list[Records]
    missing: int
    form: str
    sized: dict[int, tuple[int, int]]
    failures: Counter[str] = field(default_factory=Counter)


def read_predictions(path: Path, gold: Sequence[Sample]) -> Predictions:
    """Read predictions and join them to gold tweets by image id (our own table: by sample id).

    Of several tweets with one image the first takes the first prediction, and so on. Raises DataError naming the
    place of anything that cannot be read, of an image that is not in gold, and of a tweet predicted twice.
    """
    if not path.exists():
        raise MissingInputError(f"{path}: no such file of predictions")
    refuse_special(path)
    if path.suffix == ".parquet":
        return _read_own_table(path, gold)
    first = next((line for _, line in _lines(path)), None)
    if first is None:
        raise DataError(f"{path}: the file is empty; expected a line per tweet: {FORMS}")
    if first.lstrip().startswith("[") and path.suffix != ".jsonl":
        return _join_array(path, gold)
    if first.lstrip().startswith("{"):
        return _join_objects(path, first, gold)
    if "###" in first:
        return _join(path, gold, foreign.riveg_lines(_lines(path), path), "RiVEG's lines", silent_means_none=True)
    if path.suffix == ".csv" or set(_CSV_COLUMNS) <= set(first.strip().split(",")):
        return _join_triples(path, gold, _csv_rows(path), "CSV")
    return _join_triples(path, gold, _tab_rows(path), "plain triples")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error


def _whole(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error}); expected one value, or one object per line") from error


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:{number}: not JSON ({error}); expected one object a line") from error
    return _checked_object(f"{path}:{number}", value)


def _checked_object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected an object, found {type(value).__name__}; known forms: {FORMS}")
    return value


class _Joiner:
    """Hands out the gold tweets of an image one after the other."""

    def __init__(self, gold: Sequence[Sample]) -> None:
        self.records: list[Records | None] = [None] * len(gold)
        self._places: dict[str, list[int]] = defaultdict(list)
        for place, sample in enumerate(gold):
            self._places[sample.image_id].append(place)
        self._used: dict[str, int] = defaultdict(int)

    def places(self, where: str, image_id: str) -> list[int]:
        """Return the gold tweets of an image, named with or without its file's ending; raises DataError if none is."""
        if image_id not in self._places:
            stem, dot, ending = image_id.rpartition(".")
            if dot and ending.lower() in {"jpg", "jpeg", "png"} and stem in self._places:
                return self._places[stem]
            raise DataError(
                f"{where}: image_id '{image_id}' is none of the gold tweets'; are these predictions of another split?"
            )
        return self._places[image_id]

    def add(self, where: str, image_id: str, records: Records) -> None:
        """Give a tweet's records to the next gold tweet of its image."""
        places = self.places(where, image_id)
        used = self._used[image_id]
        if used == len(places):
            raise DataError(
                f"{where}: image_id '{image_id}' comes for the {used + 1}. time, but gold has it "
                f"{'once' if used == 1 else f'{used} times'}; remove the repeated line"
            )
        self.records[places[used]] = records
        self._used[image_id] = used + 1

    def result(self, form: str, silent_means_none: bool = False) -> Predictions:
        """Return what was joined; in some forms a tweet that is not mentioned was predicted empty."""
        missing = 0 if silent_means_none else sum(records is None for records in self.records)
        return Predictions([records or () for records in self.records], missing, form, {})


def _join(
    path: Path, gold: Sequence[Sample], lines: Iterable[foreign.Line], form: str, silent_means_none: bool = False
) -> Predictions:
    joiner = _Joiner(gold)
    for where, image_id, records in lines:
        joiner.add(where, image_id, records)
    return joiner.result(form, silent_means_none)


def _join_array(path: Path, gold: Sequence[Sample]) -> Predictions:
    value = _whole(path)
    if foreign.is_label_studio(value):
        return _join(path, gold, foreign.label_studio_lines(path, value), "Label Studio")
    rows = ((f"{path}: item {number}", one) for number, one in enumerate(value, start=1))
    return _join_rows(gold, ((where, _checked_object(where, one)) for where, one in rows))


def _join_objects(path: Path, first: str, gold: Sequence[Sample]) -> Predictions:
    """Join one object per line, or one object that is the whole file."""
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        # The first line alone is no JSON: either the file is one value over many lines, or this line is broken.
        if path.suffix == ".jsonl":
            _object(path, 1, first)
        value = _whole(path)
    if foreign.is_coco(value):
        return _join(path, gold, foreign.coco_lines(path, value), "COCO")
    if foreign.is_sake(value):
        return _join(path, gold, foreign.sake_lines(path, value), "SAKE's form")
    if "response_answer_scaled" in value:
        return _join_authors(path, gold)
    return _join_rows(gold, ((f"{path}:{number}", _object(path, number, line)) for number, line in _lines(path)))


def _join_rows(gold: Sequence[Sample], rows: Iterable[tuple[str, dict[str, Any]]]) -> Predictions:
    joiner = _Joiner(gold)
    failures: Counter[str] = Counter()
    readers: dict[str, Callable[[str, Any], Records]] = {
        "output": lambda where, value: output_of(where, value, failures),
        "entities": entities_of,
        "triples": entities_of,
    }
    forms = set()
    for where, value in rows:
        key = next((name for name in (*readers, "pre_entities") if name in value), None)
        if key is None or "image_id" not in value:
            lacks = "image_id" if key is not None else "predictions"
            raise DataError(f"{where}: no {lacks} in the keys {sorted(value)}; known forms: {FORMS}")
        forms.add(key)
        records = foreign.pre_entities(where, value) if key == "pre_entities" else readers[key](where, value[key])
        joiner.add(where, str(value["image_id"]), records)
    return replace(joiner.result(" and ".join(sorted(forms)) or "an empty list"), failures=failures)


def _tab_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) != 4:
            raise DataError(
                f"{path}:{number}: {len(fields)} columns, expected image_id<TAB>mention<TAB>type<TAB>region; "
                f"other known forms: {FORMS}"
            )
        yield f"{path}:{number}", fields


def _csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            lacking = [name for name in _CSV_COLUMNS if name not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(f"{path}:1: no column {', '.join(lacking)}; expected {','.join(_CSV_COLUMNS)}")
            for row in reader:
                yield f"{path}:{reader.line_num}", [row[name] or "" for name in _CSV_COLUMNS]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not CSV in UTF-8 ({error}); convert the file") from error


def _join_triples(path: Path, gold: Sequence[Sample], rows: Iterable[tuple[str, list[str]]], form: str) -> Predictions:
    """Join one entity per row; a tweet's rows need not be together, and a tweet without entities has none."""
    joiner = _Joiner(gold)
    found: dict[int, list[Record]] = defaultdict(list)
    for where, (image_id, mention, kind, region) in rows:
        try:
            boxes = None if region.strip().lower() in {"", "none", "null"} else json.loads(region)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: region {short(region)} is neither None nor boxes such as [1,2,3,4]") from error
        places = joiner.places(where, image_id)
        if len(places) > 1:
            raise DataError(f"{where}: gold has image '{image_id}' more than once; use a line per tweet: {FORMS}")
        found[places[0]].append(Record(mention, kind, boxes_of(where, boxes)))
    for place, records in found.items():
        joiner.records[place] = tuple(records)
    # Here no line says nothing: a tweet without one is a tweet predicted empty.
    return joiner.result(form, silent_means_none=True)


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
                f"{path}:{number}: its gold answer is no remaining gold tweet's: {short(said)}; another split?"
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
    for number, row in enumerate(read_table(path, PREDICTIONS, ["sample_id", "entities", "problems"]).to_pylist()):
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
        found.append(tuple(record_of_entity(entity) for entity in entities))
    failures = Counter(problem["code"] for row in rows.values() for problem in row["problems"])
    return Predictions(found, len(known - rows.keys()), "our table", {}, failures)
