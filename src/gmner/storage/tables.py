"""One Arrow schema per table, and the two functions through which every table is read and written."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gmner.core.records import Entity, Sample
from gmner.errors import DataError
from gmner.runtime.system_errors import name_path
from gmner.storage.files import atomic_path, refuse_special

# What pyarrow raises for values of another type, too large numbers and texts that are no Unicode (half a pair).
_UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)

BOX = pa.list_(pa.float64(), 4)
BOXES = pa.list_(BOX)


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


ENTITY = pa.struct(
    [
        _required("start", pa.int32()),
        _required("end", pa.int32()),
        _required("mention", pa.string()),
        _required("type", pa.string()),  # the label that is predicted and scored: the fine one if labels are fine
        pa.field("fine_type", pa.string()),  # equal to `type` if labels are fine, else null
        _required("boxes", BOXES),  # pixels of the original image
        pa.field("description", pa.string()),
    ]
)

SAMPLES = pa.schema(
    [
        _required("sample_id", pa.string()),
        _required("dataset", pa.string()),
        _required("split", pa.string()),
        _required("image_id", pa.string()),
        _required("image_path", pa.string()),
        _required("width", pa.int32()),
        _required("height", pa.int32()),
        _required("tokens", pa.list_(pa.string())),
        _required("text", pa.string()),
        pa.field("caption", pa.string()),
        _required("entities", pa.list_(ENTITY)),
    ]
)

RATIONALES = pa.schema(
    [
        _required("sample_id", pa.string()),
        pa.field("text", pa.string()),  # null if every answer was refused
        _required("accepted", pa.bool_()),
        pa.field("reason", pa.string()),  # why it was refused
        _required("teacher", pa.string()),
        _required("provider", pa.string()),
        _required("model", pa.string()),
        _required("prompt_version", pa.string()),
        _required("key", pa.string()),  # of the raw answer in the store
        _required("tries", pa.int32()),
        pa.field("tokens_in", pa.int64()),
        pa.field("tokens_out", pa.int64()),
        pa.field("cost_usd", pa.float64()),
    ]
)

# One row per sample and epoch. Boxes are those of all entities of the sample one after the other, in the order of
# `entities` and of their boxes: `original_boxes` and `boxes` (perturbed) in pixels of the model's frame.
TARGETS = pa.schema(
    [
        _required("sample_id", pa.string()),
        _required("epoch", pa.int32()),
        _required("completion", pa.string()),
        _required("reasoning", pa.bool_()),
        _required("original_boxes", BOXES),
        _required("boxes", BOXES),
        _required("iou", pa.list_(pa.float64())),
        _required("tries", pa.list_(pa.int32())),
        _required("fallback", pa.list_(pa.bool_())),
    ]
)

OUTPUTS = pa.schema(
    [
        _required("sample_id", pa.string()),
        _required("output", pa.string()),
        _required("prompt_tokens", pa.int32()),
        _required("output_tokens", pa.int32()),
        _required("finish_reason", pa.string()),  # stop | length
        # Of each record, in its order: the mean log-probability of its tokens; null if it cannot be told.
        pa.field("confidence", pa.list_(pa.float64())),
    ]
)

PREDICTED = pa.struct(
    [
        _required("mention", pa.string()),
        _required("type", pa.string()),
        _required("boxes", BOXES),  # pixels of the original image
        # Where the mention is, in tokens and in characters of the text, ends exclusive; empty if it is not in the text.
        pa.field("start", pa.int32()),
        pa.field("end", pa.int32()),
        pa.field("char_start", pa.int32()),
        pa.field("char_end", pa.int32()),
        pa.field("confidence", pa.float64()),  # as the outputs state it, higher is surer; empty if they do not
    ]
)
PROBLEM = pa.struct([_required("code", pa.string()), _required("detail", pa.string())])

PREDICTIONS = pa.schema(
    [
        _required("sample_id", pa.string()),
        pa.field("reasoning", pa.string()),
        _required("entities", pa.list_(PREDICTED)),
        _required("problems", pa.list_(PROBLEM)),
    ]
)


def write_table(
    path: Path | str,
    rows: pa.Table | Iterable[Mapping[str, Any]],
    schema: pa.Schema,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Validate `rows` against `schema` and write them to `path` as parquet, atomically.

    `metadata` is kept in the file's own key-value metadata. Raises DataError naming the file, the column and
    the row if a value does not fit.
    """
    table = rows if isinstance(rows, pa.Table) else _table_of_rows(list(rows), schema, path)
    _check_schema(table.schema, schema, path)
    table = table.cast(schema)
    _check_no_nulls(table, schema, path)
    if metadata:
        table = table.replace_schema_metadata({key: metadata[key] for key in sorted(metadata)})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_statistics=False)


def write_row_stream(
    path: Path | str,
    rows: Iterable[Mapping[str, Any]],
    schema: pa.Schema,
    metadata: Mapping[str, str] | None = None,
    rows_in_group: int = 1024,
) -> int:
    """Write rows as `write_table` does, holding one group of them at a time; return how many there were."""
    chosen = schema.with_metadata({key: metadata[key] for key in sorted(metadata)} if metadata else None)
    written = 0
    iterator = iter(rows)
    options = {"compression": "zstd", "write_statistics": False}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, chosen, **options) as writer:
        while group := list(itertools.islice(iterator, rows_in_group)):
            table = _table_of_rows(group, schema, path)
            _check_no_nulls(table, schema, path)
            writer.write_table(table.cast(chosen))
            written += len(group)
    return written


@contextlib.contextmanager
def table_writer(path: Path | str, schema: pa.Schema) -> Iterator["TableWriter"]:
    """Yield a writer that takes a table part by part; the file appears when all went well."""
    options = {"compression": "zstd", "write_statistics": False}
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        yield TableWriter(path, schema, writer)


class TableWriter:
    """Writes the parts of one table, each a row group, and what is known only at the end into its metadata."""

    def __init__(self, path: Path | str, schema: pa.Schema, writer: pq.ParquetWriter) -> None:
        self.path, self.schema, self.writer = path, schema, writer

    def add(self, table: pa.Table) -> None:
        """Append rows; raises DataError where they do not fit the schema."""
        _check_schema(table.schema, self.schema, self.path)
        _check_no_nulls(table, self.schema, self.path)
        self.writer.write_table(table.cast(self.schema))

    def describe(self, metadata: Mapping[str, str]) -> None:
        """Keep key-value metadata with the table."""
        self.writer.add_key_value_metadata({key: metadata[key] for key in sorted(metadata)})


def read_table(path: Path | str, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a parquet table and check that it has `schema` (or the named columns of it).

    It is read in this thread: if the memory is too small for another one, Arrow waits for it for ever.
    """
    if not Path(path).exists():
        raise DataError(f"{path}: the table is missing; run the stage that writes it")
    refuse_special(path)
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            table = file.read(columns=list(columns) if columns else None, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error
    expected = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    _check_schema(table.schema, expected, path)
    _check_no_nulls(table, expected, path)
    return table


def read_metadata(path: Path | str) -> dict[str, str]:
    """Return the key-value metadata that `write_table` kept in a table."""
    found = pq.read_metadata(path).metadata or {}
    return {key.decode(): value.decode() for key, value in found.items() if not key.startswith(b"ARROW")}


def _table_of_rows(rows: list[Mapping[str, Any]], schema: pa.Schema, path: Path | str) -> pa.Table:
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except MemoryError:  # Arrow's own is one of its other errors too
        raise
    except _UNFIT as error:
        for number, row in enumerate(rows):
            try:
                pa.Table.from_pylist([row], schema=schema)
            except _UNFIT as found:
                raise DataError(f"{path}: row {number} does not fit the table's schema: {found}") from found
        raise DataError(f"{path}: rows do not fit the table's schema: {error}") from error


def _check_schema(found: pa.Schema, expected: pa.Schema, path: Path | str) -> None:
    missing = [name for name in expected.names if name not in found.names]
    extra = [name for name in found.names if name not in expected.names]
    if missing or extra:
        raise DataError(
            f"{path}: columns differ from the table's schema: missing {missing}, unexpected {extra}; "
            "it was written by another version: rerun the stage that writes it"
        )
    for field in expected:
        if not found.field(field.name).type.equals(field.type):
            raise DataError(
                f"{path}: column '{field.name}' is {found.field(field.name).type}, expected {field.type}; "
                "rerun the stage that writes it"
            )


def _check_no_nulls(table: pa.Table, schema: pa.Schema, path: Path | str) -> None:
    for field in schema:
        if field.nullable or not table.column(field.name).null_count:
            continue
        row = table.column(field.name).is_null().to_pylist().index(True)
        raise DataError(f"{path}: column '{field.name}' is empty in row {row}, but every row must have it")


def sample_to_row(sample: Sample) -> dict[str, Any]:
    """Return a sample as a row of SAMPLES."""
    return {
        "sample_id": sample.sample_id,
        "dataset": sample.dataset,
        "split": sample.split,
        "image_id": sample.image_id,
        "image_path": sample.image_path,
        "width": sample.size_wh[0],
        "height": sample.size_wh[1],
        "tokens": list(sample.tokens),
        "text": sample.text,
        "caption": sample.caption,
        "entities": [
            {
                "start": entity.start,
                "end": entity.end,
                "mention": entity.mention,
                "type": entity.type,
                "fine_type": entity.fine_type,
                "boxes": [list(box) for box in entity.boxes],
                "description": entity.description,
            }
            for entity in sample.entities
        ],
    }


def samples_to_table(samples: Sequence[Sample]) -> pa.Table:
    """Return samples as a table of SAMPLES, built column by column: several times as fast as row by row.

    Raises what Arrow raises for a value that does not fit.
    """
    entities = [entity for sample in samples for entity in sample.entities]
    boxes = [box for entity in entities for box in entity.boxes]
    flat = pa.array([edge for x1, y1, x2, y2 in boxes for edge in (x1, y1, x2, y2)], pa.float64())
    regions = _lists([len(entity.boxes) for entity in entities], pa.FixedSizeListArray.from_arrays(flat, type=BOX))
    parts = [
        regions if field.name == "boxes" else pa.array([getattr(entity, field.name) for entity in entities], field.type)
        for field in ENTITY
    ]
    nested = {
        "width": pa.array([sample.size_wh[0] for sample in samples], pa.int32()),
        "height": pa.array([sample.size_wh[1] for sample in samples], pa.int32()),
        "tokens": _lists(
            [len(sample.tokens) for sample in samples],
            pa.array([token for sample in samples for token in sample.tokens], pa.string()),
        ),
        "entities": _lists(
            [len(sample.entities) for sample in samples], pa.StructArray.from_arrays(parts, fields=list(ENTITY))
        ),
    }
    columns = [
        nested[field.name]
        if field.name in nested
        else pa.array([getattr(sample, field.name) for sample in samples], field.type)
        for field in SAMPLES
    ]
    return pa.Table.from_arrays(columns, schema=SAMPLES)


def _lists(lengths: Sequence[int], values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, *itertools.accumulate(lengths)], pa.int32()), values)


def write_samples(path: Path | str, samples: Sequence[Sample], metadata: Mapping[str, str] | None = None) -> None:
    """Write a table of samples; errors as of `write_table`."""
    try:
        table: pa.Table | Iterable[Mapping[str, Any]] = samples_to_table(samples)
    except MemoryError:
        raise
    except _UNFIT:  # row by row, which names the row
        table = map(sample_to_row, samples)
    write_table(path, table, SAMPLES, metadata)


def row_to_sample(row: Mapping[str, Any]) -> Sample:
    """Return a row of SAMPLES as a sample."""
    return Sample(
        sample_id=row["sample_id"],
        dataset=row["dataset"],
        split=row["split"],
        image_id=row["image_id"],
        image_path=row["image_path"],
        size_wh=(row["width"], row["height"]),
        tokens=tuple(row["tokens"]),
        text=row["text"],
        caption=row["caption"],
        entities=tuple(
            Entity(**{**entity, "boxes": tuple(tuple(box) for box in entity["boxes"])}) for entity in row["entities"]
        ),
    )


def iterate_rows(path: Path | str, schema: pa.Schema, batch_size: int = 1024) -> Iterator[dict[str, Any]]:
    """Yield a table's rows in the order of the file, some at a time; checked as by `read_table`."""
    read_table(path, schema, columns=schema.names[:1])
    try:
        table = pq.ParquetFile(path, pre_buffer=False)
        _check_schema(table.schema_arrow, schema, path)
        for batch in table.iter_batches(batch_size=batch_size, use_threads=False):
            _check_no_nulls(pa.Table.from_batches([batch]), schema, path)
            yield from batch.to_pylist()
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.errno is not None:  # not the table's fault: it need not be deleted
        name_path(error, path)
        return DataError(f"{path}: cannot be read ({error.strerror}); fix this and rerun")
    return DataError(f"{path}: not a readable parquet table ({error}); delete it and rerun its stage")


def iterate_samples(path: Path | str, split: str | None = None) -> Iterator[Sample]:
    """Yield a table's samples, or those of one split, in the order of the file, some rows at a time."""
    return (row_to_sample(row) for row in iterate_rows(path, SAMPLES) if split is None or row["split"] == split)


def sample_groups(path: Path | str, split: str, size: int) -> Iterator[list[Sample]]:
    """Yield a split's samples in groups of `size`, in the order of the file; only one group is held at a time."""
    samples = iterate_samples(path, split)
    while group := list(itertools.islice(samples, size)):
        yield group


def read_samples(path: Path | str, split: str | None = None) -> list[Sample]:
    """Read a table of samples, or one split of it, in the order of the file."""
    rows = read_table(path, SAMPLES).to_pylist()
    return [row_to_sample(row) for row in rows if split is None or row["split"] == split]
