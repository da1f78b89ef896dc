"""The ledger of what was sent and what it cost: a hard budget that holds through crashes.

A question is written down with the most that it may cost before it is sent. When its answer arrives, the real
cost takes that place; when the provider refused to do the work, nothing does. A question whose fate is not known,
because the connection broke or the process died, keeps its upper bound: it may have been paid. So the sum in the
ledger is never less than what the provider may charge.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gmner.config.teachers import Budget
from gmner.errors import GmnerError
from gmner.llm_client.grants import Grant, ledgers_held
from gmner.llm_client.journal import ShardWriter, read_shards
from gmner.llm_client.pricing import NOTHING, Amount

_FOLDED_SHARDS = 16


class BudgetSpentError(GmnerError):
    """The budget does not allow another request."""


@dataclass(slots=True)
class Sums:
    """What is known to be paid, and what may have been paid although no answer arrived."""

    paid: Amount = NOTHING
    unknown: Amount = NOTHING


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch that was planned and not yet collected; `batch_id` is None where it is not known to be submitted."""

    tag: str
    keys: tuple[str, ...]
    amount: Amount
    planned_at: float
    batch_id: str | None = None


@dataclass(slots=True)
class _State:
    sums: Sums = field(default_factory=Sums)
    sent: dict[str, Amount] = field(default_factory=dict)  # attempt: its upper bound
    batches: dict[str, OpenBatch] = field(default_factory=dict)  # by tag


class Ledger:
    """The ledger of one model of one provider, or of a part of it; its folder must be held alone (`store.lock_of`).

    The budget is one for the main ledger and those of all parts, whoever writes to them at the same time (`grants`).
    """

    def __init__(self, folder: Path, budget: Budget) -> None:
        self._folder = folder / "ledger"
        self._budget = budget
        self._writer = ShardWriter(self._folder)
        self._in_flight: dict[str, Amount] = {}
        self._in_flight_sum = NOTHING
        with ledgers_held(folder):
            self._state = _read(self._folder)
            for amount in self._state.sent.values():  # of a process that died
                self._state.sums.unknown += amount
            if len(list(self._folder.glob("*"))) > _FOLDED_SHARDS:
                self._fold()
            self._grant = Grant(folder, budget, spent_of, self.committed())

    @property
    def sums(self) -> Sums:
        """What was paid and what may have been paid."""
        return self._state.sums

    @property
    def open_batches(self) -> list[OpenBatch]:
        """The batches that are planned or submitted and not yet collected."""
        return list(self._state.batches.values())

    def committed(self) -> Amount:
        """Return all that is paid or may have to be paid."""
        total = self._state.sums.paid + self._state.sums.unknown + self._in_flight_sum
        for batch in self._state.batches.values():
            total += batch.amount
        return total

    def allows(self, amount: Amount) -> bool:
        """Say whether the budget has room for `amount` beside all that may have to be paid."""
        return self._grant.reaches(self.committed() + amount)

    def reserve(self, attempt: str, amount: Amount) -> bool:
        """Take the room for one request, where there is room; the record of it must then be written."""
        if not self.allows(amount):
            return False
        self._in_flight[attempt] = amount
        self._in_flight_sum += amount
        return True

    @property
    def waits(self) -> bool:
        """Whether requests are in flight whose end may make room."""
        return bool(self._in_flight)

    def release(self, attempt: str, actual: Amount | None) -> None:
        """End a request: with its real amount, or with None where its fate is not known."""
        bound = self._in_flight.pop(attempt)
        # Rounding may not add up over a long run: an empty sum is exactly empty.
        self._in_flight_sum = self._in_flight_sum - bound if self._in_flight else NOTHING
        if actual is None:
            self._state.sums.unknown += bound
        else:
            self._state.sums.paid += actual

    def write(self, records: Iterable[dict[str, Any]]) -> None:
        """Write records; when it returns, they are on the disk."""
        self._writer.append(records)

    def plan_batch(self, batch: OpenBatch) -> None:
        """Write down a batch before it is submitted. Raises BudgetSpentError where there is no room."""
        if not self.allows(batch.amount):
            raise BudgetSpentError(self.spent_text())
        self.write([planned_record(batch)])
        self._state.batches[batch.tag] = batch

    def submitted(self, tag: str, batch_id: str) -> None:
        """Write down a batch's id."""
        self.write([{"kind": "submitted", "tag": tag, "batch_id": batch_id}])
        batch = self._state.batches[tag]
        self._state.batches[tag] = OpenBatch(tag, batch.keys, batch.amount, batch.planned_at, batch_id)

    def collected(self, tag: str, actual: Amount) -> None:
        """Write down what a batch came to; its answers must be in the store by then."""
        self.write([{"kind": "collected", "tag": tag, **_amount_record(actual)}])
        del self._state.batches[tag]
        self._state.sums.paid += actual

    def lost(self, tag: str) -> None:
        """Write down that a batch is not found: it may have been created, and what it may cost stays."""
        self.write([{"kind": "lost", "tag": tag}])
        self._state.sums.unknown += self._state.batches.pop(tag).amount

    def spent_text(self) -> str:
        """Say how much of the budget is gone and what to do."""
        return (
            f"the budget is spent: {_shown(self.committed() + self._grant.others)} of {_limits(self._budget)} are paid "
            "or may have to be paid, and another request may cost more than the rest; raise the teacher's budget and "
            "run again, nothing that was answered is lost"
        )

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _fold(self) -> None:
        """Replace all shards by one that says the same; a crash on the way doubles nothing."""
        old = sorted(path.name for path in self._folder.glob("*"))
        sums = self._state.sums
        records: list[dict[str, Any]] = [
            {
                "kind": "folded",
                "shards": old,
                "paid": _amount_record(sums.paid),
                "unknown": _amount_record(sums.unknown),
            }
        ]
        for batch in self._state.batches.values():
            records.append(planned_record(batch))
            if batch.batch_id:
                records.append({"kind": "submitted", "tag": batch.tag, "batch_id": batch.batch_id})
        writer = ShardWriter(self._folder)
        writer.append(records)
        writer.close()
        for name in old:
            (self._folder / name).unlink()


def read_sums(folder: Path) -> tuple[Sums, list[OpenBatch]]:
    """Return a ledger's sums and open batches without holding it; requests in flight count as unknown."""
    state = _read(folder / "ledger")
    for amount in state.sent.values():
        state.sums.unknown += amount
    return state.sums, list(state.batches.values())


def spent_of(folder: Path) -> Amount:
    """Return all that is paid or may have to be paid by a ledger."""
    sums, batches = read_sums(folder)
    total = sums.paid + sums.unknown
    for batch in batches:
        total += batch.amount
    return total


def sent_record(attempt: str, key: str, amount: Amount) -> dict[str, Any]:
    """Return the record of a request about to be sent."""
    return {"kind": "sent", "attempt": attempt, "key": key, **_amount_record(amount)}


def ended_record(attempt: str, actual: Amount | None) -> dict[str, Any]:
    """Return the record of a request's end: its real amount, or None where its fate is not known."""
    if actual is None:
        return {"kind": "unknown", "attempt": attempt}
    return {"kind": "paid", "attempt": attempt, **_amount_record(actual)}


def planned_record(batch: OpenBatch) -> dict[str, Any]:
    """Return the record of a batch about to be submitted."""
    return {
        "kind": "planned",
        "tag": batch.tag,
        "keys": list(batch.keys),
        "planned_at": batch.planned_at,
        **_amount_record(batch.amount),
    }


def _read(folder: Path) -> _State:
    records = [(place.path.name, record) for place, record in read_shards(folder)]
    folded = {name for _, record in records if record["kind"] == "folded" for name in record["shards"]}
    state = _State()
    # A batch is submitted and collected by later processes too, and shards have no order: kinds have.
    order = {"folded": 0, "planned": 1, "sent": 1, "submitted": 2, "unknown": 3, "paid": 3, "collected": 3, "lost": 3}
    for name, record in sorted(records, key=lambda entry: order[entry[1]["kind"]]):
        if name not in folded:
            _apply(state, record)
    return state


def _apply(state: _State, record: dict[str, Any]) -> None:
    kind = record["kind"]
    if kind == "folded":
        state.sums.paid += _amount(record["paid"])
        state.sums.unknown += _amount(record["unknown"])
    elif kind == "sent":
        state.sent[record["attempt"]] = _amount(record)
    elif kind == "paid":
        state.sent.pop(record["attempt"], None)
        state.sums.paid += _amount(record)
    elif kind == "unknown" and record["attempt"] in state.sent:
        state.sums.unknown += state.sent.pop(record["attempt"])
    elif kind == "planned":
        tag = record["tag"]
        state.batches[tag] = OpenBatch(tag, tuple(record["keys"]), _amount(record), record["planned_at"])
    elif kind == "submitted" and record["tag"] in state.batches:
        batch = state.batches[record["tag"]]
        state.batches[batch.tag] = OpenBatch(batch.tag, batch.keys, batch.amount, batch.planned_at, record["batch_id"])
    elif kind == "collected":
        state.batches.pop(record["tag"], None)
        state.sums.paid += _amount(record)
    elif kind == "lost" and record["tag"] in state.batches:
        state.sums.unknown += state.batches.pop(record["tag"]).amount


def _amount_record(amount: Amount) -> dict[str, Any]:
    return {"usd": amount.usd, "tokens": amount.tokens, "requests": amount.requests}


def _amount(record: dict[str, Any]) -> Amount:
    return Amount(record["usd"], record["tokens"], record["requests"])


def _shown(amount: Amount) -> str:
    dollars = "" if amount.usd is None else f"${amount.usd:.4f}, "
    return f"{dollars}{amount.tokens} tokens, {amount.requests} requests"


def _limits(budget: Budget) -> str:
    parts = [
        f"${budget.usd:.4f}" if budget.usd is not None else "",
        f"{budget.tokens} tokens" if budget.tokens is not None else "",
        f"{budget.requests} requests" if budget.requests is not None else "",
    ]
    return ", ".join(part for part in parts if part) or "no limit"
