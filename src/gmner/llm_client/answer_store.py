"""The store of paid answers: one SQLite file per model of one provider. What was paid for is never asked again.

    <store>/<provider>--<model>/answers.sqlite     answers, attempts (what was sent and what it cost), batches
    <store>/<provider>--<model>/answers.parquet    the answers ordered by key, exported at the end of a run

An answer's key is the hash of everything that decides it, so that a change of code, of the dataset's splits or of
other samples leaves it valid, and a second teacher shares nothing by accident.

An attempt is written with the most that it may cost before it is sent. A process that dies keeps that bound by doing
nothing. Every row has a checksum, and one row of totals says what all others must come to: a damaged or vanished row
is named in `damage`, its answer counts as missing, and its money as spent.
"""

import contextlib
import json
import logging
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gmner.config.teachers import Budget
from gmner.errors import DataError
from gmner.llm_client.pricing import NOTHING, Amount
from gmner.llm_client.sqlite_files import checksum_of, open_database, told
from gmner.llm_client.types import Answer, Usage
from gmner.storage.files import atomic_path

LOGGER = logging.getLogger(__name__)
FILE, TABLE = "answers.sqlite", "answers.parquet"
_ROWS_IN_GROUP = 256
_RECENT = 1024  # answers kept in memory, so that reading them back never waits for a commit

Fate = Literal["sent", "paid", "unknown", "free"]
"""`sent`: in flight, or its process died. `unknown`: it may have been paid. Both keep their bound. `free`: no cost."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, sample_id TEXT, text TEXT, finish_reason TEXT, tokens_in INTEGER, tokens_out INTEGER,
    tokens_cached INTEGER, tokens_cache_written INTEGER, cost_usd REAL, raw TEXT, checksum TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY, key TEXT, batch TEXT, bound_usd REAL, bound_tokens INTEGER, usd REAL, tokens INTEGER,
    fate TEXT, checksum TEXT);
CREATE INDEX IF NOT EXISTS attempts_of_batch ON attempts (batch) WHERE batch IS NOT NULL;
CREATE TABLE IF NOT EXISTS batches (
    tag TEXT PRIMARY KEY, batch_id TEXT, planned_at REAL, state TEXT, checksum TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS totals (
    id INTEGER PRIMARY KEY, answers INTEGER, attempts INTEGER, usd REAL, tokens INTEGER, requests INTEGER,
    checksum TEXT);
"""
_COLUMNS = {  # all but the checksum
    "answers": "key, sample_id, text, finish_reason, tokens_in, tokens_out, tokens_cached, tokens_cache_written, "
    "cost_usd, raw",
    "attempts": "id, key, batch, bound_usd, bound_tokens, usd, tokens, fate",
    "batches": "tag, batch_id, planned_at, state",
    "totals": "id, answers, attempts, usd, tokens, requests",
}
_EXPORTED = pa.schema(
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


@dataclass(frozen=True, slots=True)
class Reservation:
    """A question about to be sent, and the most that it may cost."""

    key: str
    bound: Amount


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of attempt `attempt`. `actual` is its believable price; None keeps its bound."""

    attempt: int
    actual: Amount | None
    answer: StoredAnswer | None = None


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that is planned, and perhaps submitted: then it has an id. `bounds` maps each question to its bound."""

    tag: str
    bounds: Mapping[str, Amount]
    planned_at: float
    batch_id: str | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What was paid, what may have been paid without a believable price, and what only damaged rows could say."""

    paid: Amount
    unknown: Amount
    damaged: Amount


@dataclass(slots=True)
class _Totals:
    answers: int = 0
    attempts: int = 0
    usd: float = 0.0
    tokens: int = 0
    requests: int = 0

    def add(self, amount: Amount, sign: int = 1) -> None:
        self.usd = max(0.0, self.usd + sign * (amount.usd or 0.0))
        self.tokens += sign * amount.tokens
        self.requests += sign * amount.requests


class AnswerStore:
    """The answers of one model of one provider. Whoever writes holds the folder alone (`storage.locks.held`)."""

    def __init__(self, folder: Path, *, in_memory: bool = False) -> None:
        self.folder, self.path = folder, Path(":memory:") if in_memory else folder / FILE
        self._lock = threading.RLock()  # one connection: what one thread writes, another does not read half-done
        if not in_memory and (folder / TABLE).exists() and not (self.path.exists() and self.path.stat().st_size):
            raise DataError(
                f"{self.path}: the database is missing or empty, but {TABLE} lies beside it, so that answers were paid "
                f"for; put back a copy, or move {TABLE} aside to begin again"
            )
        self._connection = open_database(self.path, _SCHEMA)
        self._known: set[bytes] = set()
        self._recent: OrderedDict[str, Answer] = OrderedDict()
        self.damage: list[str] = []
        self._spending = Spending(NOTHING, NOTHING, NOTHING)
        with self._lock, told(self.path):
            self._connection.execute("BEGIN")  # one state of the file, though its owner goes on writing
            self._totals = self._check()
            self._connection.execute("COMMIT")

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        return _digest(key) in self._known

    def __iter__(self) -> Iterator[StoredAnswer]:
        """Yield the answers ordered by key."""
        for row in self._rows("answers", "ORDER BY key"):
            if row[-1] == checksum_of(row[:-1]):
                yield _stored(row)

    def get(self, key: str) -> Answer | None:
        """Return the answer with this key, or None."""
        if key not in self:
            return None
        if (recent := self._recent.get(key)) is not None:
            return recent
        return next(_stored(row).answer for row in self._rows("answers", "WHERE key = ?", key))

    def add(self, answers: Iterable[StoredAnswer]) -> None:
        """Keep answers that cost nothing here. A key already there is left as it is."""
        with self._writing():
            self._insert(answers)

    def write(self, group: Sequence[Reservation | Ending], budget: Budget) -> list[int | None]:
        """Write attempts that begin and that end in one transaction; when it returns, they are on the disk.

        Returns for each reservation the attempt's id, or None if its bound would pass the budget.
        """
        given: dict[int, int | None] = {}
        with self._writing():
            for place, one in enumerate(group):  # ends first: they make room
                if isinstance(one, Ending):
                    self._end(one.attempt, one.actual)
                    given[place] = None
            self._insert(one.answer for one in group if isinstance(one, Ending) and one.answer is not None)
            for place, one in enumerate(group):
                if isinstance(one, Reservation):
                    given[place] = self._reserve(one, None, budget)
        return [given[place] for place in range(len(group))]

    def plan_batch(self, tag: str, planned_at: float, questions: Sequence[Reservation], budget: Budget) -> int:
        """Write down a batch before it is submitted; return how many of its first questions the budget has room for."""
        with self._writing():
            taken = 0
            while taken < len(questions) and self._reserve(questions[taken], tag, budget) is not None:
                taken += 1
            if taken:
                self._put("batches", (tag, None, planned_at, "open"))
        return taken

    def submitted(self, tag: str, batch_id: str) -> None:
        """Write down a batch's id."""
        with self._writing():
            (planned_at,) = self._connection.execute("SELECT planned_at FROM batches WHERE tag = ?", (tag,)).fetchone()
            self._put("batches", (tag, batch_id, planned_at, "open"))

    def close_batch(
        self, tag: str, answers: Sequence[StoredAnswer] = (), prices: Mapping[str, Amount] | None = None
    ) -> None:
        """Keep what a batch came to: its answers, and the price of each question that has a believable one.

        `prices` of None frees all its questions: the provider never had the batch. A question that is not among the
        prices keeps its bound.
        """
        with self._writing():
            batch_id, planned_at = self._connection.execute(
                "SELECT batch_id, planned_at FROM batches WHERE tag = ?", (tag,)
            ).fetchone()
            for attempt, key in self._connection.execute(
                "SELECT id, key FROM attempts WHERE batch = ?", (tag,)
            ).fetchall():
                self._end(attempt, NOTHING if prices is None else prices.get(key))
            self._insert(answers)
            self._put("batches", (tag, batch_id, planned_at, "closed"))

    def open_batches(self) -> list[OpenBatch]:
        """Return the batches that are not yet closed, the oldest first."""
        found = []
        for tag, batch_id, planned_at, _, _ in list(self._rows("batches", "WHERE state = 'open'")):
            rows = self._rows("attempts", "WHERE batch = ?", tag)
            bounds = {row[1]: Amount(row[3], row[4]) for row in rows if row[-1] == checksum_of(row[:-1])}
            found.append(OpenBatch(tag, bounds, planned_at, batch_id))
        return sorted(found, key=lambda batch: (batch.planned_at, batch.tag))

    def forget(self, keys: Iterable[str]) -> int:
        """Remove answers, damaged ones too, so that they are asked again; return how many there were."""
        damaged = [row[0] for row in self._rows("answers") if row[-1] != checksum_of(row[:-1])]
        wanted = {key for key in keys if key in self}
        with self._writing():
            for key in [*wanted, *damaged]:
                self._connection.execute("DELETE FROM answers WHERE key IS ?", (key,))
                self._recent.pop(key, None)
            self._known -= {_digest(key) for key in wanted}
            self._totals.answers = len(self._known)
        return len(wanted) + len(damaged)

    def committed(self) -> Amount:
        """Return all that is paid or may have to be paid."""
        return Amount(self._totals.usd, self._totals.tokens, self._totals.requests)

    def spending(self) -> Spending:
        """Return what was paid and what may have been, as the rows say now."""
        with self._lock, told(self.path):
            self._sum_up()
        return self._spending

    def export(self) -> None:
        """Write `answers.parquet`, ordered by key."""
        columns = [field.name for field in _EXPORTED]
        with (
            atomic_path(self.folder / TABLE) as temporary,
            pq.ParquetWriter(temporary, _EXPORTED, compression="zstd") as out,
        ):
            rows: list[dict[str, Any]] = []
            for row in self._rows("answers", "ORDER BY key"):
                if row[-1] == checksum_of(row[:-1]):
                    rows.append(dict(zip(columns, row, strict=False)))
                if len(rows) == _ROWS_IN_GROUP:
                    out.write_table(pa.Table.from_pylist(rows, schema=_EXPORTED))
                    rows = []
            if rows:
                out.write_table(pa.Table.from_pylist(rows, schema=_EXPORTED))

    def close(self) -> None:
        """Close the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    # --- within a transaction ---

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold one transaction; on any error nothing of it is kept, in memory neither."""
        with self._lock, told(self.path):
            before, known = _Totals(**_fields(self._totals)), []
            self._fresh: list[tuple[str, Answer]] = []
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                known = [key for key, _ in self._fresh]
                self._put("totals", (0, *_fields(self._totals).values()))
                self._connection.execute("COMMIT")
            except BaseException:
                self._totals = before
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
            self._known.update(map(_digest, known))
            for key, answer in self._fresh:
                self._recent[key] = answer
            while len(self._recent) > _RECENT:
                self._recent.popitem(last=False)

    def _put(self, table: str, values: tuple[Any, ...]) -> int:
        places = ", ".join("?" * (len(values) + 1))
        row = (*values, checksum_of(values))
        cursor = self._connection.execute(
            f"INSERT OR REPLACE INTO {table} ({_COLUMNS[table]}, checksum) VALUES ({places})",
            row,
        )
        return int(cursor.lastrowid or 0)

    def _insert(self, answers: Iterable[StoredAnswer]) -> None:
        fresh = {stored.key: stored for stored in reversed(list(answers)) if stored.key not in self}
        for stored in fresh.values():
            row = _row_of(stored)
            self._put("answers", row)
            self._fresh.append((stored.key, _stored((*row, "")).answer))
        self._totals.answers = len(self._known) + len(self._fresh)

    def _reserve(self, question: Reservation, batch: str | None, budget: Budget) -> int | None:
        bound, totals = question.bound, self._totals
        if (
            (budget.usd is not None and totals.usd + (bound.usd or 0.0) > budget.usd)
            or (budget.tokens is not None and totals.tokens + bound.tokens > budget.tokens)
            or (budget.requests is not None and totals.requests + bound.requests > budget.requests)
        ):
            return None
        attempt = self._next_attempt
        self._put("attempts", (attempt, question.key, batch, bound.usd, bound.tokens, None, None, "sent"))
        self._next_attempt += 1
        totals.attempts += 1
        totals.add(bound)
        return attempt

    def _end(self, attempt: int, actual: Amount | None) -> None:
        rows = list(self._rows("attempts", "WHERE id = ?", attempt))
        if not rows or rows[0][-1] != checksum_of(rows[0][:-1]):
            return  # damaged, and told so: its bound stays in the totals
        _, key, batch, bound_usd, bound_tokens, _, _, _, _ = rows[0]
        values: tuple[Any, ...]
        if actual is None:
            values = (attempt, key, batch, bound_usd, bound_tokens, None, None, "unknown")
        else:
            fate: Fate = "paid" if actual.requests else "free"
            values = (attempt, key, batch, bound_usd, bound_tokens, actual.usd, actual.tokens, fate)
            self._totals.add(Amount(bound_usd, bound_tokens), -1)
            self._totals.add(actual)
        self._put("attempts", values)

    # --- reading and checking ---

    def _rows(self, table: str, rest: str = "", *values: Any) -> Iterator[tuple[Any, ...]]:
        with self._lock, told(self.path):
            cursor = self._connection.execute(
                f"SELECT {_COLUMNS[table]}, checksum FROM {table} {rest}",  # nosec B608 - words of this module alone
                values,
            )
        while True:
            with self._lock, told(self.path):
                rows = cursor.fetchmany(_ROWS_IN_GROUP)
            if not rows:
                return
            yield from rows

    def _check(self) -> _Totals:
        """Read every row once: learn the keys, name what is damaged, and return what is spent."""
        (self._next_attempt,) = self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM attempts").fetchone()
        for row in self._rows("answers"):
            if row[-1] == checksum_of(row[:-1]):
                self._known.add(_digest(row[0]))
            else:
                self.damage.append(f"answer {str(row[0])[:16]}… of sample '{row[1]}' is damaged; it counts as missing")
        damaged_answers = len(self.damage)
        for row in self._rows("batches"):
            if row[-1] != checksum_of(row[:-1]):
                self.damage.append(f"batch {row[0]} is damaged; compare it with the provider's list of batches")
        found = self._sum_up()
        rows = list(self._rows("totals"))
        kept = [row for row in rows if row[-1] == checksum_of(row[:-1])]
        if not kept:
            if rows or found.attempts or found.answers:
                self.damage.append("the row of totals is damaged; what was spent is summed up from the attempts")
            return found
        totals = _Totals(*kept[0][1:-1])
        if totals.answers > found.answers + damaged_answers:
            self.damage.append(f"{totals.answers - found.answers - damaged_answers} answers are missing")
        if totals.attempts > found.attempts:
            self.damage.append(
                f"{totals.attempts - found.attempts} of {totals.attempts} attempts cannot be read; what they cost or "
                "may have cost stays counted"
            )
        if totals.attempts > found.attempts or totals.tokens > found.tokens:
            lost = Amount(max(0.0, totals.usd - found.usd), totals.tokens - found.tokens, 0)
            self._spending = Spending(
                self._spending.paid,
                self._spending.unknown,
                Amount(lost.usd, max(0, lost.tokens), max(0, totals.requests - found.requests)),
            )
        totals.usd = max(totals.usd, found.usd)
        totals.answers = len(self._known)
        return totals

    def _sum_up(self) -> _Totals:
        """Return the totals by the attempts that can be read, and keep what they say as the spending."""
        found, paid, unknown = _Totals(answers=len(self._known)), NOTHING, NOTHING
        first = not hasattr(self, "_totals")
        for row in self._rows("attempts"):
            attempt, key, _, bound_usd, bound_tokens, usd, tokens, fate, checksum = row
            if checksum != checksum_of(row[:-1]):
                if first:
                    self.damage.append(
                        f"attempt {attempt} (question {str(key)[:16]}…) is damaged; what it cost stays counted"
                    )
                continue
            found.attempts += 1
            if fate == "paid":
                paid += Amount(usd, tokens)
            elif fate != "free":
                unknown += Amount(bound_usd, bound_tokens)
        for amount in (paid, unknown):
            found.add(amount)
        self._spending = Spending(paid, unknown, self._spending.damaged)
        return found


def read_store(folder: Path) -> AnswerStore:
    """Open a store to look into it. One that is not there is empty, and none is made."""
    return AnswerStore(folder, in_memory=not (folder / FILE).exists() and not (folder / TABLE).exists())


def _fields(totals: _Totals) -> dict[str, Any]:
    return {name: getattr(totals, name) for name in ("answers", "attempts", "usd", "tokens", "requests")}


def _digest(key: str) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError:
        return key.encode()


def _row_of(stored: StoredAnswer) -> tuple[Any, ...]:
    answer = stored.answer
    return (
        stored.key,
        stored.sample_id,
        _well_formed(answer.text),
        answer.finish_reason,
        answer.usage.tokens_in,
        answer.usage.tokens_out,
        answer.usage.tokens_cached,
        answer.usage.tokens_cache_written,
        answer.cost_usd,
        _well_formed(json.dumps(answer.raw, sort_keys=True, ensure_ascii=False)),
    )


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _stored(row: Sequence[Any]) -> StoredAnswer:
    key, sample_id, text, finish, tokens_in, tokens_out, cached, written, cost_usd, raw, _ = row
    usage = Usage(tokens_in, tokens_out, cached, written)
    return StoredAnswer(key, sample_id, Answer(text, finish, usage, cost_usd, json.loads(raw)))
