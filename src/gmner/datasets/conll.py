"""Reading tagged tweets: `IMGID:<id>`, then `token<TAB>tag` lines, then a blank line.

The format of Twitter-GMNER (one tag per token) and of Twitter-FMNERG (a coarse and a fine tag). Tags are BIO.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gmner.config.base import suggest
from gmner.datasets.malformed import Malformed
from gmner.errors import DataError
from gmner.storage.files import read_text

_TAG = re.compile(r"O|[BI]-\S+")
_HEAD = "IMGID:"
_LONGEST_ID = 200  # bytes; a longer one is no file's name
_SHOWN = 120  # characters of a line in an error


class TaggedTweet(NamedTuple):
    """One tweet as the file has it; `tags` has one tuple for each tag column; `line` is that of its head."""

    image_id: str
    tokens: tuple[str, ...]
    tags: tuple[tuple[str, ...], ...]
    line: int


class Span(NamedTuple):
    """Tokens `start` to `end` (exclusive) under one type; `orphan`: its first tag was I-, not B-."""

    start: int
    end: int
    type: str
    orphan: bool = False


def read_conll(path: Path | str, tag_columns: int = 1, malformed: Malformed | None = None) -> list[TaggedTweet]:
    """Read a file of tagged tweets; line ends may be LF or CRLF.

    What is malformed is named by file and line: noted in `malformed`, and the reading goes on; if there is none,
    raised at the end as DataError.
    """
    found = Malformed() if malformed is None else malformed
    tweets: list[TaggedTweet] = []
    with found.collecting():
        text = read_text(path, "tagged tweets")
        blocks = 0
        for block in _blocks(text):
            blocks += 1
            with found.collecting():
                tweets.append(_tweet(path, block, tag_columns))
        if not blocks:
            raise DataError(f"{path}: no tweet in it; expected blocks that begin with a line '{_HEAD}<id>'")
    if malformed is None:
        found.refuse()
    return tweets


def _blocks(text: str) -> Iterator[list[tuple[int, str]]]:
    """Yield the numbered lines of each tweet: a blank line ends it, and so does the head of the next."""
    block: list[tuple[int, str]] = []
    # Only "\n" ends a line: str.splitlines would also cut at U+0085 and U+2028, which occur inside tweets.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.removesuffix("\r")
        if block and (line.startswith(_HEAD) or not line.strip()):
            yield block
            block = []
        if line.strip():
            block.append((number, line))
    if block:
        yield block


def _tweet(path: Path | str, block: list[tuple[int, str]], tag_columns: int) -> TaggedTweet:
    (first, head), *rows = block
    if not head.startswith(_HEAD):
        raise DataError(f"{path}:{first}: expected a line '{_HEAD}<id>' before the tokens, found {_short(head)}")
    image_id = _image_id(path, first, head)
    if not rows:
        raise DataError(f"{path}:{first}: tweet {image_id} has no tokens; add them or remove the line")
    tokens, *tags = zip(*(_columns(path, number, line, tag_columns) for number, line in rows), strict=True)
    return TaggedTweet(image_id, tokens, tuple(tags), first)


def _image_id(path: Path | str, number: int, line: str) -> str:
    image_id = line.removeprefix(_HEAD).strip()
    too_long = len(image_id.encode("utf-8", "replace")) > _LONGEST_ID
    if not image_id or too_long or image_id in {".", ".."} or re.search(r"[/\\\0]", image_id):
        raise DataError(
            f"{path}:{number}: expected '{_HEAD}<id>' where the id is an image's file name without folder and "
            f"ending, found {_short(line)}"
        )
    return image_id


def _columns(path: Path | str, number: int, line: str, tag_columns: int) -> list[str]:
    columns = line.split("\t")
    if len(columns) != tag_columns + 1 or len(columns[0].split()) != 1 or columns[0] != columns[0].strip():
        form = "<TAB>".join(["token", *["tag"] * tag_columns])
        raise DataError(f"{path}:{number}: expected {form}, found {_short(line)}")
    for tag in columns[1:]:
        if tag != "O" and not _TAG.fullmatch(tag):
            raise DataError(f"{path}:{number}: expected a tag O, B-<type> or I-<type>, found {_short(tag)}")
    return columns


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Return the entities of one tag column. An I- tag that continues nothing starts an entity (`orphan`)."""
    spans: list[Span] = []
    open_type: str | None = None
    for index, tag in enumerate(tags):
        if tag == "O":
            open_type = None
        elif tag[0] == "I" and tag[2:] == open_type:
            last = spans[-1]
            spans[-1] = Span(last.start, index + 1, last.type, last.orphan)
        else:
            open_type = tag[2:]
            spans.append(Span(index, index + 1, open_type, orphan=tag[0] == "I"))
    return spans


def check_type(name: str, types: Collection[str], where: str) -> None:
    """Raise DataError, naming the nearest known type, if `name` is none of `types`."""
    if name not in types:
        raise DataError(f"{where}: type '{name}' is none of the dataset's types; {suggest(name, types)}")
