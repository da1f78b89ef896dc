"""What `gmner annotate` is given: images with texts, from a table, a folder or standard input."""

import html
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.core.records import Sample
from gmner.errors import DataError, GmnerError, MissingInputError
from gmner.storage.images import open_image

COLUMNS = "image (or image_path), text (or tokens) and, if you like, id (or sample_id)"
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_ID, _IMAGE, _TEXT = ("id", "sample_id"), ("image", "image_path"), ("text", "tokens")


@dataclass(frozen=True)
class Request:
    """One image and one text; `where` says for messages which line or file it came from."""

    name: str
    image: Path
    tokens: tuple[str, ...]
    where: str


def read_requests(source: str) -> list[Request]:
    """Read a `.jsonl`, `.csv` or `.parquet` table, a folder of images with a `.txt` beside each, or `-`: JSONL.

    Images are named relative to the table's folder (standard input: to the working directory). Raises DataError
    naming the row, and MissingInputError if the source is not there.
    """
    if source == "-":
        return _unique([_of_row(row, where, Path(), "") for where, row in _json_lines(sys.stdin, "standard input")])
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    if not path.exists():
        raise MissingInputError(f"{path}: no such file; expected a .jsonl, .csv or .parquet table, or a folder")
    return _unique([_of_row(row, where, path.parent, "") for where, row in _rows(path)])


def clean_text(text: str) -> str:
    """Return a text as the datasets have theirs: html escapes decoded, blanks single, nothing that is no character."""
    return " ".join(html.unescape(text).encode("utf-8", "replace").decode("utf-8").split())


def sample_of(request: Request) -> Sample:
    """Return a request as the encoder takes it. Raises as `open_image` does if the image cannot be read."""
    return Sample(
        sample_id=request.name,
        dataset="",
        split="",
        image_id=request.image.name,
        image_path=str(request.image),
        size_wh=open_image(request.image).size,
        tokens=request.tokens,
        text=" ".join(request.tokens),
        entities=(),
    )


def readable(requests: Sequence[Request]) -> tuple[list[Sample], dict[str, str]]:
    """Return the samples whose images can be read, and for each other request why not."""
    samples: list[Sample] = []
    broken: dict[str, str] = {}
    for request in requests:
        try:
            samples.append(sample_of(request))
        except GmnerError as error:
            broken[request.name] = str(error)
    return samples, broken


def _rows(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".json", ".ndjson"):
        with path.open(encoding="utf-8-sig") as stream:
            yield from _json_lines(stream, str(path))
        return
    if suffix not in (".csv", ".parquet"):
        raise DataError(f"{path}: expected a table that ends in .jsonl, .csv or .parquet, or a folder")
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False) if suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a {suffix} table ({error})") from error
    for number, row in enumerate(frame.to_dict("records"), start=2 if suffix == ".csv" else 1):
        yield f"{path}:{number}", {str(name): value for name, value in row.items()}


def _json_lines(lines: Iterable[str], name: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{where}: not JSON ({error}); expected one object per line with {COLUMNS}") from error
        if not isinstance(row, dict):
            raise DataError(f"{where}: found {type(row).__name__}, expected an object with {COLUMNS}")
        yield where, row


def _of_row(row: Mapping[str, Any], where: str, base: Path, default: str) -> Request:
    image, text, name = (_first(row, keys) for keys in (_IMAGE, _TEXT, _ID))
    if not isinstance(image, str) or not image:
        raise DataError(f"{where}: no image; found the keys {', '.join(row) or 'none'}, expected {COLUMNS}")
    if text is None:
        raise DataError(f"{where}: no text; found the keys {', '.join(row)}, expected {COLUMNS}")
    tokens = _tokens(text, where)
    return Request(str(name) if name not in (None, "") else where.rsplit(":", 1)[-1], base / image, tokens, where)


def _first(row: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((row[key] for key in keys if row.get(key) is not None), None)


def _tokens(text: Any, where: str) -> tuple[str, ...]:
    if not isinstance(text, str):
        text = " ".join(str(token) for token in text)
    found = tuple(clean_text(text).split(" "))
    if found == ("",):
        raise DataError(f"{where}: the text is empty; give the words that come with the image")
    return found


def _of_folder(folder: Path) -> list[Request]:
    found = []
    for image in sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES):
        text = image.with_suffix(".txt")
        if not text.exists():
            raise DataError(f"{image}: no text beside it; expected {text.name} with the words that come with the image")
        tokens = _tokens(text.read_text(encoding="utf-8", errors="replace"), str(text))
        found.append(Request(image.relative_to(folder).as_posix(), image, tokens, str(image)))
    if not found:
        raise DataError(f"{folder}: no image in it; expected images, each with a .txt of the same name beside it")
    return found


def _unique(requests: list[Request]) -> list[Request]:
    seen: dict[str, str] = {}
    for one in requests:
        if one.name in seen:
            raise DataError(f"{one.where}: the id '{one.name}' is that of {seen[one.name]} too; ids must be unique")
        seen[one.name] = one.where
    if not requests:
        raise DataError("nothing to annotate: the source has no rows")
    return requests
