"""The content-addressed store of raw answers: what was paid for is never asked again.

A folder of the store belongs to one model of one provider:

    <store>/<provider>--<model>/answers.parquet    answers, compacted
    <store>/<provider>--<model>/answers/*.shard    answers since then (`journal`)
    <store>/<provider>--<model>/lock               held by the process that asks
    <store>/<provider>--<model>/ledger/*.shard     what was sent and paid (`ledger`)
    <store>/<provider>--<model>/grants/            how far each ledger may go within the one budget (`grants`)
    <store>/<provider>--<model>/parts/             the same for each of several jobs (`parts`)

An answer's key is the hash of everything that decides it, so that a change of code, of the data set's splits
or of other samples leaves it valid, and a second teacher shares nothing by accident.
"""

import contextlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from gmner.errors import DataError, GmnerError
from gmner.llm_client.errors import is_refusal
from gmner.llm_client.grants import LOCK, PLACE
from gmner.llm_client.journal import (
    Place,
    ShardWriter,
    count_damaged,
    locked,
    read_place,
    read_shards,
    sync_folder,
)
from gmner.llm_client.types import Answer, Usage
from gmner.storage.files import atomic_path, sha256_of_json
from gmner.storage.leftovers import remove_half_written

ROWS_IN_GROUP = 256
_GROUPS_KEPT = 8
_READINGS = 5
Result = TypeVar("Result")

ANSWERS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),  # of the sample it was first asked for
        pa.field("text", pa.string(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("tokens_in", pa.int64(), nullable=False),
        pa.field("tokens_out", pa.int64(), nullable=False),
        pa.field("tokens_cached", pa.int64(), nullable=False),
        pa.field("tokens_cache_written", pa.int64(), nullable=False),
        pa.field("cost_usd", pa.float64()),
        pa.field("raw", pa.string(), nullable=False),  # JSON
    ]
)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer with its key and the sample it was first asked for."""

    key: str
    sample_id: str
    answer: Answer


class AnswerStore:
    """The answers of one model of one provider. Open it with `open_store`; it is then held alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shards = folder / "answers"
        self._parquet = folder / "answers.parquet"
        self._writer = ShardWriter(self._shards)
        self._new: dict[bytes, Place] = {}
        self._old: dict[bytes, int] = {}
        self._groups: OrderedDict[int, list[dict[str, Any]]] = OrderedDict()
        self._file: pq.ParquetFile | None = None
        self._no_answers: set[int] = set()  # rows that are errors, kept by an earlier version
        self._load()

    def __len__(self) -> int:
        return len(self._old.keys() | self._new.keys())

    def __contains__(self, key: str) -> bool:
        digest = bytes.fromhex(key)
        return digest in self._new or digest in self._old

    def get(self, key: str) -> Answer | None:
        """Return the answer with this key, or None."""
        digest = bytes.fromhex(key)
        if place := self._new.get(digest):
            return _stored(read_place(place)).answer
        if (row := self._old.get(digest)) is not None:
            return _stored(self._row(row)).answer
        return None

    def add(self, answers: list[StoredAnswer]) -> None:
        """Keep answers; when it returns, they are on the disk. A key already there is left as it is."""
        fresh = {answer.key: answer for answer in answers if answer.key not in self}
        places = self._writer.append([_row_of(answer) for answer in fresh.values()]) if fresh else []
        for key, place in zip(fresh, places, strict=True):
            self._new[bytes.fromhex(key)] = place

    def forget(self, keys: set[str]) -> int:
        """Remove answers, so that they are asked again; return how many there were."""
        found = sum(key in self for key in keys)
        if found:
            self._rewrite(without=keys)
        return found

    def compact(self) -> None:
        """Move the shards' answers into the parquet file. A crash loses none and doubles none."""
        if self._new or self._no_answers or any(self._shards.glob("*")):
            self._rewrite(without=set())

    def close(self) -> None:
        """Close the files."""
        self._writer.close()
        self._close_parquet()

    def __iter__(self) -> Iterator[StoredAnswer]:
        if self._file:
            rows = (
                row for batch in self._file.iter_batches(ROWS_IN_GROUP, use_threads=False) for row in batch.to_pylist()
            )
            for number, row in enumerate(rows):
                if number not in self._no_answers:
                    yield _stored(row)
        for place in self._new.values():
            yield _stored(read_place(place))

    def damaged_lines(self) -> int:
        """Return how many lines of the shards are torn or damaged: answers that never counted as received."""
        return count_damaged(self._shards)

    def _load(self) -> None:
        # The shards first: what a compaction moves meanwhile is then in the table, or its shard is missed when it is
        # read. The other way round it would be in neither.
        for place, value in read_shards(self._shards):
            if not _is_no_answer(value):
                self._new.setdefault(bytes.fromhex(value["key"]), place)
        if self._parquet.exists():
            try:
                self._file = pq.ParquetFile(self._parquet, pre_buffer=False)
                table = self._file.read(columns=["key", "finish_reason"], use_threads=False)
                keys, reasons = table.column("key"), table.column("finish_reason")
            except (pa.ArrowInvalid, OSError, KeyError) as error:
                raise DataError(
                    f"{self._parquet}: not a readable table of answers ({error}); put back a copy, or remove "
                    "it to ask for its answers again"
                ) from error
            for row, (key, reason) in enumerate(zip(keys, reasons, strict=True)):
                if reason.as_py() == "refused" and _is_no_answer(self._row(row)):
                    self._no_answers.add(row)
                else:
                    self._old[bytes.fromhex(key.as_py())] = row
            for digest in self._old.keys() & self._new.keys():
                del self._new[digest]

    def _row(self, row: int) -> dict[str, Any]:
        group, index = divmod(row, ROWS_IN_GROUP)
        if group not in self._groups:
            assert self._file is not None
            self._groups[group] = self._file.read_row_group(group, use_threads=False).to_pylist()
            if len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        self._groups.move_to_end(group)
        return self._groups[group][index]

    def _rewrite(self, without: set[str]) -> None:
        self._writer.close()
        spent = sorted(self._shards.glob("*"))
        with (
            atomic_path(self._parquet) as temporary,
            pq.ParquetWriter(temporary, ANSWERS, compression="zstd") as out,
        ):
            rows: list[dict[str, Any]] = []
            for stored in self:
                if stored.key in without:
                    continue
                rows.append(_row_of(stored))
                if len(rows) == ROWS_IN_GROUP:  # whole groups, so that a row's group follows from its number
                    out.write_table(pa.Table.from_pylist(rows, schema=ANSWERS), row_group_size=ROWS_IN_GROUP)
                    rows = []
            if rows:
                out.write_table(pa.Table.from_pylist(rows, schema=ANSWERS), row_group_size=ROWS_IN_GROUP)
        sync_folder(self.folder)
        for path in spent:
            path.unlink()
        self._close_parquet()
        self._new, self._old, self._no_answers = {}, {}, set()
        self._load()

    def _close_parquet(self) -> None:
        self._groups.clear()
        if self._file:
            self._file.close()
            self._file = None


def store_folder(store: Path | str, provider: str, model: str) -> Path:
    """Return the folder of one model of one provider; different models never share one."""
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-.")[-60:] or "model"
    if readable != model:
        readable += f"-{sha256_of_json(model)[:8]}"
    return Path(store) / f"{provider}--{readable}"


def read_unlocked(folder: Path, read: Callable[[AnswerStore], Result]) -> Result:
    """Read a store without holding it; where its owner compacts it meanwhile, read it again."""
    for _ in range(_READINGS):
        with contextlib.suppress(FileNotFoundError):
            store = AnswerStore(folder)
            try:
                return read(store)
            finally:
                store.close()
    raise GmnerError(f"{folder}: the store is being compacted again and again; wait until its run has ended")


@contextlib.contextmanager
def lock_of(folder: Path) -> Iterator[None]:
    """Hold a store's folder alone; what a killed owner left half-written in it is removed."""
    with locked(folder / LOCK):
        remove_half_written(folder, without=("parts", PLACE))  # these have locks of their own
        yield


def _is_no_answer(row: Mapping[str, Any]) -> bool:
    """Say whether a row is an error that an earlier version took for a refusal: a wrong setting, and no policy."""
    if row["finish_reason"] != "refused":
        return False
    raw = json.loads(row["raw"])
    return "error" in raw and raw.keys() <= {"status", "error"} and not is_refusal(str(raw["error"]))


def _row_of(stored: StoredAnswer) -> dict[str, Any]:
    answer = stored.answer
    return {
        "key": stored.key,
        "sample_id": stored.sample_id,
        "text": _well_formed(answer.text),
        "finish_reason": answer.finish_reason,
        "tokens_in": answer.usage.tokens_in,
        "tokens_out": answer.usage.tokens_out,
        "tokens_cached": answer.usage.tokens_cached,
        "tokens_cache_written": answer.usage.tokens_cache_written,
        "cost_usd": answer.cost_usd,
        "raw": _well_formed(json.dumps(answer.raw, sort_keys=True, ensure_ascii=False)),
    }


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and parquet cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _stored(row: Mapping[str, Any]) -> StoredAnswer:
    return StoredAnswer(
        row["key"],
        row["sample_id"],
        Answer(
            text=row["text"],
            finish_reason=row["finish_reason"],
            usage=Usage(row["tokens_in"], row["tokens_out"], row["tokens_cached"], row["tokens_cache_written"]),
            cost_usd=row["cost_usd"],
            raw=json.loads(row["raw"]),
        ),
    )
