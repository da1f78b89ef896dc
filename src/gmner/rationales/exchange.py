"""Reasoning in files: what other projects have published comes in, accepted rationales go out.

Files of reasoning have many forms. A line (or an item of one JSON list) names its image and holds a text: under
`think` or a like key, as the assistant's turn of a chat, with or without `<think>` around it, or as an object of parts.
"""

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.core.records import Sample
from gmner.errors import DataError, MissingInputError
from gmner.llm_client.answer_store import AnswerStore, StoredAnswer
from gmner.llm_client.folders import lock_of
from gmner.llm_client.types import Answer, Request
from gmner.storage.files import write_text
from gmner.storage.tables import RATIONALES, iterate_samples, read_table

LOGGER = logging.getLogger(__name__)
_NAMES_SHOWN = 5
_SAMPLE_KEYS = ("sample_id",)
_IMAGE_KEYS = ("image_path", "image", "images", "img", "image_name", "file_name", "image_id", "img_id", "id")
_TEXT_KEYS = ("think", "reasoning", "rationale", "cot", "response", "output", "answer")
_CHAT_KEYS = ("messages", "conversations")
_THINK = re.compile(r"<think>(.*?)(?:</think>|$)", re.S)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """One text of a file: the line it stands on, the names of its image or sample, and the text."""

    line: int
    names: tuple[str, ...]
    text: str


def export_rationales(rationales: Path, samples: Path, out: Path) -> int:
    """Write the accepted rationales as JSONL of `image_path`, `think` and `sample_id`; return how many."""
    texts = {row["sample_id"]: row["text"] for row in read_table(rationales, RATIONALES).to_pylist() if row["accepted"]}
    lines = [
        json.dumps(
            {"image_path": sample.image_path, "think": texts[sample.sample_id], "sample_id": sample.sample_id},
            ensure_ascii=False,
        )
        for sample in iterate_samples(samples)
        if sample.sample_id in texts
    ]
    write_text(out, "".join(line + "\n" for line in lines))
    return len(lines)


def import_rationales(
    path: Path,
    samples: Path,
    folder: Path,
    first_question: Callable[[Sample], Request],
    *,
    image_key: str | None = None,
    text_key: str | None = None,
    complete: bool = False,
) -> tuple[int, int]:
    """Put the reasoning of a file into the store, as answers to first questions.

    Texts are matched to training samples by `sample_id` if they have it, else by the name of the image. With
    `complete` a sample without a text gets an empty answer, so that nobody is asked. Returns how many samples have a
    text and how many have none. Raises DataError naming the line that is malformed, or if no text fits a sample.
    """
    found: dict[str, Reasoning] = {}
    first_names = []
    for one in read_reasoning(path, image_key, text_key):
        first_names.append(one.names[0])
        for name in one.names:
            found.setdefault(name, one)
    answers: list[StoredAnswer] = []
    used = missing = 0
    for sample in iterate_samples(samples, "train"):
        names = (sample.sample_id, Path(sample.image_path).name, sample.image_id)
        match = next((found[name] for name in names if name in found), None)
        used, missing = used + (match is not None), missing + (match is None)
        if match is None and not complete:
            continue
        raw = {"imported_from": path.name, "line": match.line if match else None}
        answers.append(
            StoredAnswer(first_question(sample).key, sample.sample_id, Answer(match.text if match else "", raw=raw))
        )
    if not used:
        names_shown = ", ".join(first_names[:_NAMES_SHOWN])
        raise DataError(f"{path}: none of its images ({names_shown} …) is one of a training sample in {samples}")
    with lock_of(folder), contextlib.closing(AnswerStore(folder)) as store:
        store.add(answers)
        store.export()
    return used, missing


def read_reasoning(path: Path, image_key: str | None = None, text_key: str | None = None) -> Iterator[Reasoning]:
    """Yield the texts of a file. Raises DataError naming the first line that has no image or no text."""
    for number, value in _values(path):
        if not isinstance(value, Mapping):
            raise _unlike(path, number, value, image_key, text_key)
        image = _first(value, (image_key,) if image_key and image_key in value else (*_SAMPLE_KEYS, *_IMAGE_KEYS))
        text = _text_of(value, text_key)
        if image is None or text is None:
            raise _unlike(path, number, value, image_key, text_key)
        names = [str(value["sample_id"])] if value.get("sample_id") else []
        name = re.split(r"[\\/]", str(image[0] if isinstance(image, list) and image else image))[-1]
        yield Reasoning(number, (*names, name, name.rsplit(".", 1)[0]), text)


def _values(path: Path) -> Iterator[tuple[int, Any]]:
    if not path.is_file():
        raise MissingInputError(f"{path}: the file to import is missing")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8, found {error.reason} at byte {error.start}") from error
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), start=1)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: begins as a JSON list, but is none ({error})") from error
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, line


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if value.get(key)), None)


def _text_of(value: Mapping[str, Any], text_key: str | None) -> str | None:
    """Return a line's reasoning, empty if it says that there is none; None if it has no such key."""
    for key in (text_key, *_TEXT_KEYS):
        if key is not None and key in value:
            return _plain(value[key])
    for key in _CHAT_KEYS:
        for turn in reversed(value[key] if isinstance(value.get(key), list) else []):
            if isinstance(turn, Mapping) and turn.get("role", turn.get("from")) in ("assistant", "gpt"):
                return _plain(turn.get("content", turn.get("value")))
    return None


def _plain(value: Any) -> str | None:
    if value is None:
        return ""
    if isinstance(value, Mapping):  # parts by their headings
        return "\n".join(f"{name}: {part}" for name, part in value.items())
    if not isinstance(value, str):
        return None
    found = _THINK.search(value)
    return (found.group(1) if found else value).strip()


def _unlike(path: Path, number: int, value: Any, image_key: str | None, text_key: str | None) -> DataError:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    keys = f"'{image_key or 'image_path'}' and '{text_key or 'think'}'"
    return DataError(f"{path}, line {number}: expected an object with {keys}, found {shown[:80]!r}")
