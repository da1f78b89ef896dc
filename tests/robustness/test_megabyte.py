"""A megabyte of anything is read, and counted, in about a second of a processor: no reader is quadratic."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gmner.config.data import FolderDataset
from gmner.config.root import load_config_file
from gmner.core.answer import parse_output
from gmner.core.records import Record
from gmner.datasets.conll import read_conll
from gmner.datasets.jsonl import read_jsonl
from gmner.datasets.voc import read_voc
from gmner.errors import GmnerError
from gmner.evaluation.matching import group_records, mention_key, mention_type_key

SIZES = (500_000, 1_000_000)  # bytes
A_SECOND, LONGEST_S, TRIES = 1.0, 5.0, 3


def read(reader: str, path: Path) -> None:
    """Read a file as the stages do; an error in words is an end like another."""
    try:
        if reader == "answer":
            parse_output(path.read_text(encoding="utf-8"))
        elif reader == "conll":
            read_conll(path, 1)
        elif reader == "voc":
            read_voc(path)
        elif reader == "jsonl":
            read_jsonl(FolderDataset(path=str(path.parent)), path, "train")
        else:
            load_config_file(path)
    except GmnerError:
        pass


def seconds_of(work: Callable[[], object]) -> float:
    """Return the processor's seconds of `work`, without those for looking through what other tests left in memory."""
    gc.collect()
    gc.freeze()
    try:
        started = time.process_time()
        work()
        return time.process_time() - started
    finally:
        gc.unfreeze()


def check(work: Callable[[int], float], what: str) -> None:
    """Check that a megabyte takes a second, or on a slow or busy machine twice the time of half of it, and not more."""
    found = []
    for _ in range(TRIES):
        whole = work(SIZES[1])
        if whole < A_SECOND:
            return
        found.append((work(SIZES[0]), whole))
        if whole < min(LONGEST_S, 3.2 * found[-1][0]):
            return
    raise AssertionError(f"{what}: {found}")


@pytest.mark.parametrize("reader", ["answer", "conll", "voc", "jsonl", "config"])
def test_a_megabyte_is_read_in_a_second(reader: str, tmp_path: Path) -> None:
    for number, make in enumerate(BLOW_UPS[reader]):

        def work(size: int, make: Callable[[int], str] = make) -> float:
            path = tmp_path / {"voc": "a.xml", "jsonl": "train.jsonl", "config": "a.yaml"}.get(reader, "train.txt")
            path.write_text(make(size), encoding="utf-8", newline="")
            return seconds_of(lambda: read(reader, path))

        check(work, f"input {number}")


@pytest.mark.parametrize("piece", ["Ann|PER|[1,2,30,40];", "a|b|[1,2,3,4];", "Ann|PER|None;"])
def test_an_answer_of_a_megabyte_is_counted_in_a_second(piece: str) -> None:
    gold = [Record("Ann", "PER", ((1.0, 2.0, 30.0, 40.0),)), Record("Rome", "LOC", ()), Record("Ann", "PER", ())]

    def work(size: int) -> float:
        records = parse_output(piece * (size // len(piece))).records
        started = time.process_time()
        for key in (mention_key, mention_type_key):
            for group in group_records(records, gold, key):
                assert group.region_pairs(0.5) <= group.pairs <= 2
                group.best_ious()
        return time.process_time() - started

    check(work, piece)


def repeated(piece: str) -> Callable[[int], str]:
    return lambda size: piece * (size // len(piece.encode("utf-8")))


def around(begin: str, piece: str, end: str) -> Callable[[int], str]:
    return lambda size: begin + piece * ((size - len(begin + end)) // len(piece)) + end


ENTITY = '{"mention": "a", "type": "PER"}'
BLOW_UPS: dict[str, list[Callable[[int], str]]] = {
    "answer": [
        *map(repeated, ("<", "<think>", "<answer>", "\\", "|", ";", "[", "a|b|[1,2,3,4];", "a;", " ", "［", "9", "a|")),
        around("<answer>a|PER|", "[1,2,3,4],", "</answer>"),
        around("<answer>a|PER|[", "1,", "]</answer>"),
        around("<answer>a|PER|", "[", "</answer>"),
    ],
    "conll": [
        around("IMGID:1\n", "a\tO\n", ""),
        repeated("IMGID:1\na\tB-PER\n\n"),
        around("IMGID:1\n", "a\tI-PER\n", ""),
        repeated("\n"),
        around("IMGID:1\n", "&amp\tO\n;\tO\n", ""),
        around("IMGID:1\n", "a", "\tO\n"),
    ],
    "voc": [
        around("<annotation>", "<a>", ""),
        around("<annotation>", "<object><name>a</name></object>", "</annotation>"),
        around("<annotation><object><name>", "a ", "</name></object></annotation>"),
        around("<annotation>", "<!-- -->", "</annotation>"),
        around(
            "<annotation><size><width>9</width><height>9</height></size>",
            "<object><name>a</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>",
            "</annotation>",
        ),
    ],
    "jsonl": [
        repeated('{"image": "a.png", "text": "Ann"}\n'),
        around('{"image": "a.png", "text": "', "a ", '"}'),
        lambda size: (
            '{"image": "a.png", "text": "' + "a " * (size // 33) + '", "entities": ['
            + ", ".join([ENTITY] * (size // 33 - 20)) + "]}"
        ),
        lambda size: (
            '{"image": "a.png", "text": "' + "a b " * (size // 8) + '", "entities": ['
            + ", ".join(f'{{"mention": "b{n} a", "type": "PER"}}' for n in range(size // 80)) + "]}"
        ),
        around('{"image": "a.png", "text": "a", "entities": ', "[", ""),
        around("{", '"a": 1, ', '"a": 1}'),
    ],
    "config": [repeated("a: [1, 2]\n"), repeated("["), around("seeds: [", "1, ", "1]"), repeated("- "), repeated("#")],
}  # fmt: skip
