import time
from pathlib import Path

import pytest

from gmner.config.teachers import Budget
from gmner.llm_client.ledger import BudgetSpentError, Ledger, OpenBatch, ended_record, read_sums, sent_record
from gmner.llm_client.pricing import NOTHING, Amount

ONE = Amount(0.5, 100)


def send(ledger: Ledger, attempt: str, actual: Amount | None, *, dies: bool = False) -> None:
    assert ledger.reserve(attempt, ONE)
    ledger.write([sent_record(attempt, "key", ONE)])
    if not dies:
        ledger.write([ended_record(attempt, actual)])
        ledger.release(attempt, actual)


def test_what_died_keeps_its_bound(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, Budget(usd=2.0))
    send(ledger, "a", Amount(0.1, 20))
    send(ledger, "b", None)
    send(ledger, "c", NOTHING)
    send(ledger, "d", None, dies=True)
    assert ledger.committed() == Amount(1.1, 220, 3)
    again = Ledger(tmp_path, Budget(usd=2.0))
    assert again.sums.paid == Amount(0.1, 20, 1) and again.sums.unknown == Amount(1.0, 200, 2)
    assert again.reserve("e", ONE) and not again.reserve("f", ONE)
    assert read_sums(tmp_path)[0].unknown == Amount(1.0, 200, 2)


def test_folding_changes_no_sum(tmp_path: Path) -> None:
    for number in range(20):
        ledger = Ledger(tmp_path, Budget())
        send(ledger, f"paid {number}", Amount(0.1, 20))
        send(ledger, f"died {number}", None, dies=True)
        if number == 3:
            ledger.plan_batch(OpenBatch("tag", ("k" * 64,), ONE, time.time()))
            ledger.submitted("tag", "batch-1")
    shards = list((tmp_path / "ledger").iterdir())
    assert len(shards) <= 18
    sums, batches = read_sums(tmp_path)
    assert sums.paid.usd == pytest.approx(2.0) and sums.unknown == Amount(10.0, 2000, 20)
    assert [batch.batch_id for batch in batches] == ["batch-1"] and batches[0].keys == ("k" * 64,)


def test_a_crash_while_folding_doubles_nothing(tmp_path: Path) -> None:
    for number in range(17):
        send(Ledger(tmp_path, Budget()), str(number), Amount(0.1, 20))
    folder = tmp_path / "ledger"
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    Ledger(tmp_path, Budget())
    for name, data in list(old.items())[:5]:  # those that the crash left
        (folder / name).write_bytes(data)
    assert read_sums(tmp_path)[0].paid.tokens == 17 * 20


def test_batches_count_until_they_are_collected(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, Budget(requests=3))
    batch = OpenBatch("tag", ("a", "b"), Amount(None, 200, 2), 1.0)
    ledger.plan_batch(batch)
    assert Ledger(tmp_path, Budget()).open_batches == [batch]
    with pytest.raises(BudgetSpentError, match=r"200 tokens, 2 requests of 3 requests are paid"):
        ledger.plan_batch(OpenBatch("other", ("c", "d"), Amount(None, 200, 2), 1.0))
    ledger.collected("tag", Amount(0.2, 90, 2))
    assert ledger.committed() == Amount(0.2, 90, 2) and Ledger(tmp_path, Budget()).open_batches == []
