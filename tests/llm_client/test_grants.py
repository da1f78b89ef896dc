"""One budget for the main store and all parts, whoever asks at the same time, after whatever crash."""

import contextlib
import random
from pathlib import Path

import pytest

from gmner.config.teachers import Budget
from gmner.generation.shares import Shard
from gmner.llm_client.answer_store import AnswerStore, StoredAnswer, lock_of
from gmner.llm_client.grants import is_at_work
from gmner.llm_client.ledger import Ledger, OpenBatch, ended_record, sent_record, spent_of
from gmner.llm_client.parts import part_folder, take_in_parts
from gmner.llm_client.pricing import Amount
from gmner.llm_client.types import Answer

ONE = Amount(1.0, 10)


def folders_of(model: Path) -> list[Path]:
    return [model, *(part_folder(model, Shard(number, 4)) for number in range(4)), part_folder(model, Shard(0, 2))]


def spend(ledger: Ledger, name: str, actual: Amount | None = ONE, *, dies: bool = False) -> bool:
    if not ledger.reserve(name, ONE):
        return False
    ledger.write([sent_record(name, "k", ONE)])
    if not dies:
        ledger.write([ended_record(name, actual)])
        ledger.release(name, actual)
    return True


@pytest.mark.parametrize("budget", [{"usd": 100.0}, {"tokens": 1000}, {"requests": 100}])
def test_main_and_parts_of_several_counts_at_once_stay_within_it(tmp_path: Path, budget: dict[str, float]) -> None:
    draw, total = random.Random(1), 0
    with contextlib.ExitStack() as stack:
        ledgers = []
        for folder in folders_of(tmp_path):
            stack.enter_context(lock_of(folder))
            ledgers.append(Ledger(folder, Budget.model_validate(budget)))
        open_ledgers = list(ledgers)
        while open_ledgers:
            ledger = draw.choice(open_ledgers)
            if spend(ledger, f"a{total}"):
                total += 1
            else:
                open_ledgers.remove(ledger)
        # What others hold and did not use is little, and none of it is lost once they have ended.
        assert 90 <= total <= 100
        assert "the budget is spent" in ledger.spent_text()
    with lock_of(tmp_path):
        last = Ledger(tmp_path, Budget.model_validate(budget))
        while spend(last, f"a{total}"):
            total += 1
    assert total == 100


def test_it_holds_through_crashes_restarts_and_moves(tmp_path: Path) -> None:
    budget, part, other = Budget(requests=20), *folders_of(tmp_path)[1:3]
    with lock_of(part):
        ledger = Ledger(part, budget)
        assert all(spend(ledger, f"p{number}") for number in range(5))
        assert spend(ledger, "dies", dies=True)
        AnswerStore(part).add([StoredAnswer("0" * 64, "s", Answer("x"))])
        with lock_of(other):
            running = Ledger(other, budget)
            running.plan_batch(OpenBatch("tag", ("k",), Amount(3.0, 30, 3), 1.0))
            assert not running.allows(Amount(12.0, 120, 12)) and running.allows(Amount(11.0, 110, 11))
    with lock_of(tmp_path):
        assert take_in_parts(tmp_path) == 1
        main = Ledger(tmp_path, budget)
        assert main.committed().requests == 9 == spent_of(tmp_path).requests
        with lock_of(part):
            again = Ledger(part, budget)
            assert all(spend(again, f"q{number}") for number in range(11)) and not spend(again, "one too many")
            assert not spend(main, "one too many")
            assert is_at_work(part) and not is_at_work(other)
    with lock_of(part):
        assert not spend(Ledger(part, budget), "one too many")
    with lock_of(part):
        assert spend(Ledger(part, Budget(requests=21)), "one more")


def test_a_crash_while_parts_are_taken_in_gives_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget, part, other = Budget(requests=20), *folders_of(tmp_path)[1:3]
    with lock_of(part):
        ledger = Ledger(part, budget)
        assert all(spend(ledger, f"p{number}") for number in range(15))
    replace = Path.replace

    def dies(self: Path, target: Path) -> Path:
        if self.parent.name == "ledger":
            raise KeyboardInterrupt
        return replace(self, target)

    with lock_of(tmp_path):
        Ledger(tmp_path, budget).close()
        monkeypatch.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            take_in_parts(tmp_path)
        monkeypatch.undo()
        with lock_of(other):
            assert not Ledger(other, budget).allows(Amount(6.0, 60, 6))
        take_in_parts(tmp_path)
        Ledger(tmp_path, budget).close()
        with lock_of(other):
            found = Ledger(other, budget)
            assert found.allows(Amount(5.0, 50, 5)) and not found.allows(Amount(6.0, 60, 6))


def test_without_a_budget_nothing_is_written(tmp_path: Path) -> None:
    assert spend(Ledger(tmp_path, Budget()), "a")
    assert not (tmp_path / "grants" / "grants.json").exists()
