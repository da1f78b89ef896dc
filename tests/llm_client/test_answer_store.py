import multiprocessing
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

import gmner.llm_client.answer_store as store_module
from gmner.errors import DataError
from gmner.llm_client.answer_key import answer_key
from gmner.llm_client.answer_store import AnswerStore, StoredAnswer, lock_of, read_unlocked, store_folder
from gmner.llm_client.journal import ShardWriter, count_damaged, read_shards
from gmner.llm_client.types import Answer, Usage


def stored(number: int, text: str = "because \u2028 é \n") -> StoredAnswer:
    answer = Answer(f"{text}{number}", usage=Usage(10, number, 1), cost_usd=0.5, raw={"id": number, "x": [None]})
    return StoredAnswer(f"{number:064x}", f"train/{number}", answer)


def test_answers_come_back_the_same_before_and_after_compaction(tmp_path: Path) -> None:
    answers = [stored(number) for number in range(700)]
    store = AnswerStore(tmp_path)
    store.add(answers[:300])
    store.compact()
    store.add(answers[200:])
    assert len(store) == 700
    for _ in range(3):
        reopened = AnswerStore(tmp_path)
        assert [reopened.get(one.key) for one in answers] == [one.answer for one in answers]
        assert sorted(one.key for one in reopened) == [one.key for one in answers]
        reopened.compact()
        assert [reopened.get(one.key) for one in answers] == [one.answer for one in answers]
    assert not list((tmp_path / "answers").iterdir())
    assert reopened.get("f" * 64) is None and "f" * 64 not in reopened


def test_first_answer_stays(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.add([stored(1, "first"), stored(2)])
    store.add([stored(1, "second")])
    assert AnswerStore(tmp_path).get(stored(1).key) == stored(1, "first").answer


def test_forget(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.add([stored(1), stored(2)])
    assert store.forget({stored(1).key, "f" * 64}) == 1
    assert store.get(stored(1).key) is None and store.get(stored(2).key) == stored(2).answer
    assert len(AnswerStore(tmp_path)) == 1


def test_a_tail_torn_at_any_byte_costs_only_its_own_answer(tmp_path: Path) -> None:
    folder = tmp_path / "whole"
    AnswerStore(folder).add([stored(number) for number in range(3)])
    (shard,) = (folder / "answers").iterdir()
    data = shard.read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == 10]
    assert len(ends) == 3
    for cut in range(len(data) + 1):
        shard.write_bytes(data[:cut])
        store = AnswerStore(folder)
        assert len(store) == sum(end <= cut for end in ends)
        assert store.damaged_lines() == (cut not in (0, *ends))
    for position in range(0, ends[0], 7):
        shard.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert {one.key for one in AnswerStore(folder)} == {stored(1).key, stored(2).key}


def test_what_is_written_after_a_torn_tail_is_read(tmp_path: Path) -> None:
    AnswerStore(tmp_path).add([stored(1), stored(2)])
    (shard,) = (tmp_path / "answers").iterdir()
    shard.write_bytes(shard.read_bytes()[:-3])
    again = AnswerStore(tmp_path)
    again.add([stored(2), stored(3)])
    assert {one.key for one in AnswerStore(tmp_path)} == {stored(number).key for number in (1, 2, 3)}
    again.close()
    store = AnswerStore(tmp_path)
    store.compact()
    assert store.damaged_lines() == 0 and len(store) == 3


def test_a_crash_between_compaction_and_clean_up_doubles_nothing(tmp_path: Path) -> None:
    store = AnswerStore(tmp_path)
    store.add([stored(1), stored(2)])
    (shard,) = (tmp_path / "answers").iterdir()
    data = shard.read_bytes()
    store.compact()
    shard.write_bytes(data)
    again = AnswerStore(tmp_path)
    assert len(again) == len(list(again)) == 2


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "answers.parquet").write_bytes(b"PAR1 not")
    with pytest.raises(DataError, match=r"answers\.parquet: not a readable table of answers .* put back a copy"):
        AnswerStore(tmp_path)


def _write_for_ever(folder: Path, pipe: int) -> None:
    writer = ShardWriter(folder)
    for number in range(100_000):
        writer.append([{"number": number, "padding": "x" * 5000}])
        os.write(pipe, b"%d\n" % number)


def test_kill_9_loses_no_line_that_counted(tmp_path: Path) -> None:
    reader, pipe = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_write_for_ever, args=(tmp_path, pipe))
    process.start()
    os.close(pipe)
    first = os.read(reader, 10)
    time.sleep(0.05)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with os.fdopen(reader) as stream:
        counted = [int(line) for line in (first.decode() + stream.read()).split()]
    found = [value["number"] for _, value in read_shards(tmp_path)]
    assert found[: len(counted)] == counted and len(found) - len(counted) in (0, 1)
    assert count_damaged(tmp_path) <= 1


def _hold(folder: Path, pipe: int) -> None:
    with lock_of(folder):
        os.write(pipe, b"x")
        time.sleep(60)


def test_the_lock_is_held_alone_and_given_back_by_kill_9(tmp_path: Path) -> None:
    reader, pipe = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, pipe))
    process.start()
    os.read(reader, 1)
    second = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path, pipe))
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


def test_who_waited_for_a_lock_that_went_with_its_folder_holds_the_new_one(tmp_path: Path) -> None:
    part, entered, leave, order = tmp_path / "parts" / "1-of-2", threading.Event(), threading.Event(), list[str]()

    def second() -> None:  # waits while the part is taken in and removed
        with lock_of(part):
            order.append("second in")
            AnswerStore(part).add([stored(1)])
            entered.set()
            leave.wait(10)
            order.append("second out")

    def third() -> None:
        with lock_of(part):
            order.append("third in")

    threads = [threading.Thread(target=second), threading.Thread(target=third)]
    with lock_of(part):
        threads[0].start()
        time.sleep(0.2)
        shutil.rmtree(part)
    assert entered.wait(10)
    threads[1].start()
    time.sleep(0.2)
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["second in", "second out", "third in"]
    assert len(AnswerStore(part)) == 1


def test_a_reader_misses_nothing_that_is_compacted_while_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = AnswerStore(tmp_path)
    owner.add([stored(1)])
    owner.compact()
    owner.add([stored(2), stored(3)])
    real_shards, real_file = store_module.read_shards, store_module.pq.ParquetFile

    def shards(folder: Path):  # type: ignore[no-untyped-def]
        monkeypatch.setattr(store_module, "read_shards", real_shards)
        if moment == "before":
            owner.compact()
        yield from real_shards(folder)
        if moment == "between":
            owner.compact()

    def parquet(path: Path, **options):  # type: ignore[no-untyped-def]
        monkeypatch.setattr(store_module.pq, "ParquetFile", real_file)
        found = real_file(path, **options)
        if moment == "after":
            owner.compact()
        return found

    for moment in ("before", "between", "after"):
        monkeypatch.setattr(store_module, "read_shards", shards)
        monkeypatch.setattr(store_module.pq, "ParquetFile", parquet)
        texts = read_unlocked(tmp_path, lambda found: {one.answer.text for one in found})
        assert len(texts) == len(owner) >= 3, moment
        owner.add([stored(number + len(owner)) for number in (10, 20)])


def test_every_part_decides_the_key() -> None:
    base = {
        "provider": "p",
        "model": "m",
        "parameters": {"t": 0},
        "prompt_version": "v1",
        "content": {"text": "x"},
    }
    others = [{**base, name: {"other": 1} if isinstance(base[name], dict) else "other"} for name in base]
    keys = [answer_key(**one) for one in (base, *others)]
    assert len(set(keys)) == 6 and all(len(key) == 64 for key in keys)


def test_folders_of_models_differ() -> None:
    models = ["gpt-4o", "org/gpt-4o", "org-gpt-4o", "Org/gpt-4o", "../x", "é", "è"]
    assert len({store_folder("s", "openai", model) for model in models}) == len(models)
    assert store_folder("s", "openai", "gpt-4o") == Path("s/openai--gpt-4o")
    assert all(store_folder("s", "openai", model).parent == Path("s") for model in models)
