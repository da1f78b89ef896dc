"""The store: answers come back, spending is exact, kills lose nothing that counted, damage is told."""

import multiprocessing
import os
import random
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from gmner.config.teachers import Budget
from gmner.errors import DataError, GmnerError
from gmner.llm_client.answer_key import answer_key
from gmner.llm_client.answer_store import FILE, AnswerStore, Ending, Reservation, StoredAnswer
from gmner.llm_client.folders import lock_of, store_folder
from gmner.llm_client.pricing import NOTHING, Amount
from gmner.llm_client.types import Answer, Usage

ONE = Amount(0.5, 100)
NO_LIMIT = Budget()


def key_of(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**64:064x}"


def stored(number: int, text: str = "because \u2028 é \n") -> StoredAnswer:
    answer = Answer(f"{text}{number}", usage=Usage(10, number, 1), cost_usd=0.5, raw={"id": number, "x": [None]})
    return StoredAnswer(key_of(number), f"train/{number}", answer)


def send(
    store: AnswerStore, number: int, actual: Amount | None, *, dies: bool = False, budget: Budget = NO_LIMIT
) -> None:
    (attempt,) = store.write([Reservation(key_of(number), ONE)], budget)
    assert attempt is not None
    if not dies:
        store.write([Ending(attempt, actual, stored(number) if actual else None)], budget)


def test_answers_come_back_the_same(tmp_path: Path) -> None:
    answers = [stored(number) for number in range(600)]
    store = AnswerStore(tmp_path)
    store.add(answers[:300])
    store.add(answers[200:])
    assert len(store) == 600
    for _ in range(2):
        assert [store.get(one.key) for one in answers] == [one.answer for one in answers]
        assert [one.key for one in store] == sorted(one.key for one in answers)
        store.close()
        store = AnswerStore(tmp_path)
        assert not store.damage
    assert store.get("f" * 64) is None and "f" * 64 not in store


def test_the_export_is_ordered_by_key_and_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    answers = [stored(number) for number in range(600)]
    for name, order in (("a", answers), ("b", answers[::-1])):
        store = AnswerStore(tmp_path / name)
        store.add(order)
        store.export()
    table = pq.read_table(tmp_path / "a/answers.parquet")
    keys = table.column("key").to_pylist()
    assert keys == sorted(keys) and len(keys) == 600
    assert (tmp_path / "a/answers.parquet").read_bytes() == (tmp_path / "b/answers.parquet").read_bytes()


def test_first_answer_stays(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.add([stored(1, "first"), stored(2)])
    store.add([stored(1, "second")])
    assert AnswerStore(tmp_path).get(key_of(1)) == stored(1, "first").answer


def test_forget(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.add([stored(1), stored(2)])
    assert store.forget({key_of(1), "f" * 64}) == 1
    assert store.get(key_of(1)) is None and store.get(key_of(2)) == stored(2).answer
    again = AnswerStore(tmp_path)
    assert len(again) == 1 and not again.damage


def test_what_died_keeps_its_bound(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    send(store, 1, Amount(0.1, 20))
    send(store, 2, None)
    send(store, 3, NOTHING)
    send(store, 4, None, dies=True)
    for again in (store, AnswerStore(tmp_path)):
        assert again.committed() == Amount(1.1, 220, 3)
        spending = again.spending()
        assert spending.paid == Amount(0.1, 20, 1) and spending.unknown == Amount(1.0, 200, 2)
    budget = Budget(usd=2.0)
    given = again.write([Reservation(key_of(5), ONE), Reservation(key_of(6), ONE)], budget)
    assert given[0] is not None and given[1] is None


def test_ends_make_room_for_beginnings_of_the_same_group(tmp_path: Path) -> None:
    store, budget = AnswerStore(tmp_path), Budget(requests=1)
    (first,) = store.write([Reservation(key_of(1), ONE)], budget)
    assert first is not None
    assert store.write([Reservation(key_of(2), ONE)], budget) == [None]
    given = store.write([Reservation(key_of(2), ONE), Ending(first, NOTHING)], budget)
    assert given[0] is not None


def test_batches_count_until_they_are_closed(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    questions = [Reservation(key_of(number), ONE) for number in range(5)]
    assert store.plan_batch("tag", 1.0, questions, Budget(requests=3)) == 3
    assert store.plan_batch("other", 1.0, questions, Budget(requests=3)) == 0
    store.submitted("tag", "batch-1")
    again = AnswerStore(tmp_path)
    (batch,) = again.open_batches()
    assert (batch.tag, batch.batch_id, list(batch.bounds)) == ("tag", "batch-1", [key_of(n) for n in range(3)])
    again.close_batch("tag", [stored(0), stored(1)], {key_of(0): Amount(0.2, 90)})
    assert again.committed() == Amount(1.2, 290, 3)  # the second had no believable price, the third no answer
    assert not AnswerStore(tmp_path).open_batches() and len(again) == 2


def _write_for_ever(folder: Path, pipe: int) -> None:
    store = AnswerStore(folder)
    for number in range(100_000):
        send(store, number, Amount(0.1, 20))
        os.write(pipe, b"%d\n" % number)


def test_kill_9_loses_nothing_that_counted(tmp_path: Path) -> None:
    counted = 0
    for _ in range(3):
        reader, pipe = os.pipe()
        process = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path, pipe))
        process.start()
        os.close(pipe)
        first = os.read(reader, 10)
        time.sleep(random.Random(counted).random() / 5)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        with os.fdopen(reader) as stream:
            counted = max(counted, *map(int, (first.decode() + stream.read()).split()))
        store = AnswerStore(tmp_path)
        assert not store.damage and all(key_of(number) in store for number in range(counted + 1))
        assert store.spending().unknown.requests <= 3  # one in flight at each kill


def _hold(folder: Path, pipe: int) -> None:
    with lock_of(folder):
        os.write(pipe, b"x")
        time.sleep(60)


def test_the_folder_is_held_alone_and_given_back_by_kill_9(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    reader, pipe = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(folder, pipe))
    process.start()
    os.read(reader, 1)
    second = multiprocessing.get_context("fork").Process(target=_hold, args=(folder, pipe))
    second.start()
    os.set_blocking(reader, False)
    time.sleep(0.1)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.kill(process.pid or 0, signal.SIGKILL)
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b"x"
    second.kill()
    for one in (process, second):
        one.join()


def test_a_reader_beside_the_owner_sees_whole_transactions(tmp_path: Path) -> None:
    owner, stop = AnswerStore(tmp_path), threading.Event()

    def write() -> None:
        for number in range(1000):
            if stop.is_set():
                return
            send(owner, number, Amount(0.1, 20))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(20):
            reader = AnswerStore(tmp_path)
            assert not reader.damage
            reader.close()
    finally:
        stop.set()
        thread.join()


# --- damage ---


def filled(folder: Path) -> float:
    store = AnswerStore(folder)
    for number in range(20):
        send(store, number, Amount(0.07, 20) if number % 3 else None)
    store.close()
    return AnswerStore(folder).committed().usd or 0.0


@pytest.mark.parametrize("table", ["answers", "attempts", "totals", "batches"])
def test_a_changed_value_is_named_and_no_money_is_forgotten(tmp_path: Path, table: str) -> None:
    spent = filled(tmp_path)
    AnswerStore(tmp_path).plan_batch("tag", 1.0, [], Budget())
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("INSERT INTO batches VALUES ('tag', NULL, 1.0, 'open', 'wrong')")
        columns = {"answers": "text = 'x'", "attempts": "usd = -5.0, fate = 'paid'", "totals": "usd = 0.0"}
        if table in columns:
            connection.execute(f"UPDATE {table} SET {columns[table]} WHERE rowid = 5" if table == "attempts" else
                               f"UPDATE {table} SET {columns[table]}" + (f" WHERE key = '{key_of(1)}'" * (table == "answers")))  # fmt: skip  # noqa: E501
    store = AnswerStore(tmp_path)
    said = {"answers": f"answer {key_of(1)[:16]}… of sample 'train/1' is damaged", "attempts": "attempt 5 (question",
            "totals": "the row of totals is damaged", "batches": "batch tag is damaged"}[table]  # fmt: skip
    assert any(said in damage for damage in store.damage)
    assert (store.committed().usd or 0) >= spent - 1e-9
    assert (table == "answers") == (store.get(key_of(1)) is None)


@pytest.mark.parametrize("table", ["answers", "attempts"])
def test_rows_that_vanish_are_missed(tmp_path: Path, table: str) -> None:
    spent = filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"DELETE FROM {table} WHERE rowid = 4" if table == "attempts" else
                           f"DELETE FROM answers WHERE key = '{key_of(1)}'")  # fmt: skip
    store = AnswerStore(tmp_path)
    assert any("missing" in damage or "cannot be read" in damage for damage in store.damage)
    assert store.committed().usd == pytest.approx(spent)


def test_no_flipped_bit_is_silent(tmp_path: Path) -> None:
    """Every flip is told or changes nothing; no answer turns into another, and no spending is forgotten."""
    spent = filled(tmp_path / "whole")
    data = (tmp_path / "whole" / FILE).read_bytes()
    answers = {one.key: one.answer for one in AnswerStore(tmp_path / "whole")}
    draw = random.Random(7)
    told = 0
    for _ in range(300):
        folder = tmp_path / "flipped"
        folder.mkdir(exist_ok=True)
        (folder / f"{FILE}-journal").unlink(missing_ok=True)
        place = draw.randrange(len(data))
        (folder / FILE).write_bytes(data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :])
        try:
            store = AnswerStore(folder)
        except (DataError, GmnerError) as error:
            assert str(folder / FILE) in str(error)
            told += 1
            continue
        assert (store.committed().usd or 0.0) >= spent - 1e-9, place
        found = {one.key: one.answer for one in store}
        assert all(answers[key] == answer for key, answer in found.items()), place
        assert store.damage or found == answers, place
        told += bool(store.damage)
        store.close()
    assert told > 30


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"nonsense" * 600, "the database is damaged"), (b"", "missing or empty, but answers.parquet lies beside it")],
)
def test_a_damaged_file_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    filled(tmp_path)
    store = AnswerStore(tmp_path)
    store.export()
    store.close()
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(DataError, match=rf"{FILE}: .*{said}.*put back a copy"):
        AnswerStore(tmp_path)


def test_a_held_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmner.llm_client.sqlite_files._BUSY_S", 0.05)
    AnswerStore(tmp_path).close()
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(GmnerError, match=r"another process holds it .* wait until that has ended"):
        AnswerStore(tmp_path)


def test_a_full_disk_says_so_and_keeps_what_was_there(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.add([stored(1)])
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")  # what a full disk says, SQLite says of this too
    with pytest.raises(GmnerError, match=r"answers.sqlite: the disk is full .*make room, then rerun"):
        store.add([stored(number, "x" * 3000) for number in range(2, 50)])
    assert len(store) == 1 and store.get(key_of(1)) == stored(1).answer
    store.close()
    assert not AnswerStore(tmp_path).damage


def test_a_read_only_database_can_be_read_and_says_that_it_cannot_be_written(tmp_path: Path) -> None:
    AnswerStore(tmp_path).add([stored(1)])
    store = AnswerStore(tmp_path)
    store._connection.execute("PRAGMA query_only = ON")  # root may write everything: this says what SQLite would say
    assert store.get(key_of(1)) == stored(1).answer
    with pytest.raises(GmnerError, match=r"it cannot be written .*allow this user"):
        store.add([stored(2)])


# --- keys and folders ---


def test_every_part_decides_the_key() -> None:
    base = {
        "provider": "p",
        "model": "m",
        "parameters": {"t": 0},
        "prompt_version": "v1",
        "content": {"text": "x"},
    }
    others = [{**base, name: {"other": 1} if isinstance(base[name], dict) else "other"} for name in base]
    keys = [answer_key(**one) for one in (base, *others)]  # type: ignore[arg-type]
    assert len(set(keys)) == 6 and all(len(key) == 64 for key in keys)


def test_folders_of_models_differ() -> None:
    models = ["gpt-4o", "org/gpt-4o", "org-gpt-4o", "Org/gpt-4o", "../x", "é", "è"]
    assert len({store_folder("s", "openai", model) for model in models}) == len(models)
    assert store_folder("s", "openai", "gpt-4o") == Path("s/openai--gpt-4o")
    assert all(store_folder("s", "openai", model).parent == Path("s") for model in models)
