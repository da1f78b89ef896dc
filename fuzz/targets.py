"""What is fuzzed: five readers of other people's bytes. Only GmnerError may come out of them, and soon.

Each target takes the bytes of one input. A finding is any other exception, or a broken promise about the result.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from gmner.config.data import FolderDataset
from gmner.config.root import load_config_file
from gmner.core.answer import MOST_PROBLEMS, PROBLEMS, parse_output, render_answer
from gmner.core.records import Record
from gmner.datasets.conll import read_conll, spans_of
from gmner.datasets.jsonl import read_jsonl
from gmner.datasets.voc import read_voc
from gmner.errors import GmnerError

_MEMORY = Path("/dev/shm")
_FOLDER = Path(tempfile.mkdtemp(prefix="gmner-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))


def _file(name: str, data: bytes) -> Path:
    path = _FOLDER / name
    path.write_bytes(data)
    return path


def answer(data: bytes) -> None:
    """Any text is read without an error; what was read, written and read again is the same."""
    text = data.decode("utf-8", "replace")
    found = parse_output(text)
    assert len(found.problems) <= MOST_PROBLEMS and all(problem.code in PROBLEMS for problem in found.problems)
    assert all(len(box) == 4 for record in found.records for box in record.boxes)
    whole = tuple(
        Record(record.mention, record.type, tuple(_rounded(box) for box in record.boxes)) for record in found.records
    )
    named = tuple(record for record in whole if record.type.strip())
    again = parse_output(render_answer(named, None))
    assert again.records == named, (again.records, named)


def _rounded(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(round(edge)) for edge in box)
    return x1, y1, x2, y2


def conll(data: bytes) -> None:
    """Tweets have tokens and as many tags; spans stay inside."""
    for columns in (1, 2):
        try:
            tweets = read_conll(_file("train.txt", data), columns)
        except GmnerError:
            continue
        for tweet in tweets:
            assert tweet.tokens and len(tweet.tags) == columns
            for tags in tweet.tags:
                assert len(tags) == len(tweet.tokens)
                assert all(0 <= span.start < span.end <= len(tags) for span in spans_of(tags))


def voc(data: bytes) -> None:
    """Every box has a name and four edges."""
    try:
        found = read_voc(_file("a.xml", data))
    except GmnerError:
        return
    assert all(box.name.strip() and len(box.box) == 4 for box in found.boxes)


_FOLDER_SETTINGS = FolderDataset(path=str(_FOLDER))


def jsonl(data: bytes) -> None:
    """Every line is a draft, or the file is refused; mentions are their tokens."""
    try:
        drafts = read_jsonl(_FOLDER_SETTINGS, _file("train.jsonl", data), "train")
    except GmnerError:
        return
    assert len(drafts) == sum(bool(line.strip()) for line in data.decode("utf-8-sig").split("\n"))
    for draft in drafts:
        " ".join(draft.tokens).encode("utf-8")
        for entity in draft.entities:
            assert entity.mention == " ".join(draft.tokens[entity.start : entity.end])


def config(data: bytes) -> None:
    """A configuration is refused in words, or can be written out."""
    try:
        found = load_config_file(_file("config.yaml", data))
    except GmnerError:
        return
    found.model_dump_json()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "answer": answer,
    "conll": conll,
    "voc": voc,
    "jsonl": jsonl,
    "config": config,
}

# Pieces that the formats are made of: what a mutation puts together.
WORDS: dict[str, tuple[str, ...]] = {
    "answer": (
        "<think>", "</think>", "<answer>", "</answer>", "None", "|", ";", "[", "]", "\\", "PER", "1,2,3,4", "\n", "［",
    ),
    "conll": ("IMGID:", "\t", "\n", "\r\n", "O", "B-PER", "I-PER", "Ann", "&amp", ";", "\ufeff", "\u2028"),
    "voc": (
        "<annotation>", "</annotation>", "<object>", "</object>", "<name>", "</name>", "<bndbox>", "</bndbox>",
        "<xmin>1</xmin>", "<ymin>2</ymin>", "<xmax>3</xmax>", "<ymax>4</ymax>", "<size>", "</size>",
        "<width>9</width>", "<height>9</height>", "<!DOCTYPE a [", "<!ENTITY x 'y'>", "]>", "&x;", "<![CDATA[", "]]>",
        "<?xml version='1.0' encoding='", "'?>", "<!--", "-->",
    ),
    "jsonl": (
        '{"image": "a.png"', '"text": "Ann in Rome"', '"tokens": ["Ann", "in"]', '"entities": [', '{"mention": "Ann"',
        '"type": "PER"', '"boxes": [[1, 2, 3, 4]]', '"start": 0', '"end": 1', '"char_start": 0', '"char_end": 3', ", ",
        "}", "]", "\n", "NaN", "1e999", "\\ud83d", "null", "true",
    ),
    "config": (
        "datasets:", "backbones:", "runs:", "defaults:", "tables:", "teachers:", "seeds:", " ", "\n", "- ", "{", "}",
        "[", "]", "&a", "*a", "<<:", "kind: demo", "kind: tiny", "train:", "epochs: 1", "!!python/object:os.system",
        ".nan", "2026-01-01", "? ", ": ", "'", '"', "|", "0x1f", "1_000", "~",
    ),
}  # fmt: skip
