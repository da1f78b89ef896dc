"""Reading tagged tweets: `IMGID:<id>`, then `token<TAB>tag` lines, then a blank line.

The format of Twitter-GMNER (one tag a token) and of Twitter-FMNERG (a coarse and a fine tag). Tags are BIO.
"""

import functools
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from gmner.config.base import suggest
from gmner.errors import DataError

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


def read_conll(path: Path | str, tag_columns: int = 1) -> list[TaggedTweet]:
    """Read a file of tagged tweets.

    Line ends may be LF or CRLF. Raises DataError naming file and line for anything that is not the format.
    """
    text = _text(path)
    closed = text if text.endswith("\n\n") else f"{text}\n"
    if _usual_form(tag_columns).fullmatch(closed) is not None:
        return _read_usual(closed, tag_columns)
    return _read_any(path, text, tag_columns)


@functools.cache
def _usual_form(tag_columns: int) -> re.Pattern[str]:
    """Return the pattern of a whole file without any freedom: LF, no stray blank, one empty line between tweets."""
    head = rf"{_HEAD}(?!\.{{1,2}}\n)[^\s/\\\0]{{1,{_LONGEST_ID // 4}}}\n"
    row = rf"(?!{_HEAD})\S++(?:\t(?:O|[BI]-\S++)){{{tag_columns}}}\n"
    return re.compile(rf"(?:{head}(?:{row})++\n)++")


def _read_usual(text: str, tag_columns: int) -> list[TaggedTweet]:
    """Return the tweets of a text in the usual form, a tweet and not a line at a time."""
    tweets, line, step = [], 1, tag_columns + 1
    for block in text[:-2].split("\n\n"):
        head, *cells = block.replace("\t", "\n").split("\n")
        tags = tuple(tuple(cells[column::step]) for column in range(1, step))
        tweets.append(TaggedTweet(head[len(_HEAD) :], tuple(cells[::step]), tags, line))
        line += len(cells) // step + 2
    return tweets


def _read_any(path: Path | str, text: str, tag_columns: int) -> list[TaggedTweet]:
    """Return the tweets of any text, line by line; raises DataError for what is not the format."""
    tweets: list[TaggedTweet] = []
    head: tuple[str, int] | None = None
    rows: list[list[str]] = []
    for number, line in enumerate([*_lines(text), ""], start=1):
        is_head = line.startswith(_HEAD)
        if (is_head or not line.strip()) and head is not None:
            tweets.append(_tweet(path, head, rows, tag_columns))
            head, rows = None, []
        if is_head:
            head = (_image_id(path, number, line), number)
        elif line.strip():
            if head is None:
                raise DataError(
                    f"{path}:{number}: expected a line '{_HEAD}<id>' before the tokens, found {_short(line)}"
                )
            rows.append(_columns(path, number, line, tag_columns))
    if not tweets:
        raise DataError(f"{path}: no tweet in it; expected blocks that begin with a line '{_HEAD}<id>'")
    return tweets


def _text(path: Path | str) -> str:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing; expected tagged tweets there") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected tagged tweets there") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file") from error


def _lines(text: str) -> list[str]:
    # Only "\n" ends a line: str.splitlines would also cut at U+0085 and U+2028, which occur inside tweets.
    return [line.removesuffix("\r") for line in text.split("\n")]


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


def _tweet(path: Path | str, head: tuple[str, int], rows: list[list[str]], tag_columns: int) -> TaggedTweet:
    image_id, line = head
    if not rows:
        raise DataError(f"{path}:{line}: tweet {image_id} has no tokens; add them or remove the line")
    tokens, *tags = zip(*rows, strict=True)
    return TaggedTweet(image_id, tokens, tuple(tags[:tag_columns]), line)


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
    """Raise DataError, naming the nearest known type, where `name` is none of `types`."""
    if name not in types:
        raise DataError(f"{where}: type '{name}' is none of the data set's types; {suggest(name, types)}")
