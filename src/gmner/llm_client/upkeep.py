"""Looking after the store: what is there, what it cost, what to ask again, and exchange with other projects."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.core.records import Sample
from gmner.errors import DataError, MissingInputError
from gmner.llm_client.answer_store import AnswerStore, StoredAnswer, lock_of, read_unlocked
from gmner.llm_client.ledger import Sums, read_sums
from gmner.llm_client.types import Answer, Request
from gmner.storage.files import write_text
from gmner.storage.tables import RATIONALES, iterate_samples, read_table

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """What one model's folder of the store holds."""

    name: str
    answers: int
    by_finish: dict[str, int]
    empty: int
    tokens_in: int
    tokens_out: int
    usd: float | None
    damaged_lines: int
    sums: Sums
    open_batches: int


def folders_of(store: Path) -> list[Path]:
    """Return the folders of a store, one a model. Raises MissingInputError where there is no store."""
    if not store.is_dir():
        raise MissingInputError(f"{store}: there is no store of answers here yet; the rationales stage makes it")
    return sorted(path for path in store.iterdir() if path.is_dir() and "--" in path.name)


def status_of(folder: Path) -> FolderStatus:
    """Count what a model's folder holds, without holding it."""
    return read_unlocked(folder, lambda store: _count(folder, store))


def _count(folder: Path, store: AnswerStore) -> FolderStatus:
    finish: Counter[str] = Counter()
    empty = tokens_in = tokens_out = 0
    usd: float | None = None
    for stored in store:
        answer = stored.answer
        finish[answer.finish_reason] += 1
        empty += not answer.text.strip()
        tokens_in += answer.usage.tokens_in
        tokens_out += answer.usage.tokens_out
        if answer.cost_usd is not None:
            usd = (usd or 0.0) + answer.cost_usd
    sums, batches = read_sums(folder)
    return FolderStatus(
        folder.name,
        sum(finish.values()),
        dict(sorted(finish.items())),
        empty,
        tokens_in,
        tokens_out,
        usd,
        store.damaged_lines(),
        sums,
        len(batches),
    )


def failures_of(folder: Path) -> Counter[str]:
    """Count the answers that no rationale can be made of, by why; the provider's own words where it gave some."""

    def count(store: AnswerStore) -> Counter[str]:
        return Counter(reason for stored in store if (reason := _failure(stored.answer)))

    return read_unlocked(folder, count)


def _failure(answer: Answer) -> str | None:
    if answer.finish_reason == "refused":
        return f"refused: {answer.text[:100]}"
    if answer.finish_reason == "length":
        return "cut at the token limit"
    return None if answer.text.strip() else "empty"


def forget_failures(folder: Path) -> int:
    """Remove the answers that are refused, cut or empty, so that the next run asks again; return how many."""

    def failed(store: AnswerStore) -> set[str]:
        return {stored.key for stored in store if _failure(stored.answer)}

    return _forget(folder, failed)


def forget_unaccepted(folder: Path, rationales: Path, reason: str | None) -> int:
    """Remove the last answer of each rationale that was not accepted (for `reason`); return how many."""
    keys = {
        row["key"]
        for row in read_table(rationales, RATIONALES).to_pylist()
        if not row["accepted"] and (reason is None or row["reason"].split(":")[0] == reason)
    }
    return _forget(folder, lambda store: keys)


def _forget(folder: Path, choose: Callable[[AnswerStore], set[str]]) -> int:
    with lock_of(folder):
        store = AnswerStore(folder)
        try:
            return store.forget(choose(store))
        finally:
            store.close()


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
    path: Path, samples: Path, folder: Path, first_question: Callable[[Sample], Request]
) -> tuple[int, int]:
    """Put the reasoning of a JSONL of `image_path` and `think` into the store, as answers to first questions.

    Lines are matched to training samples by `sample_id` where they have it, else by the file name of the
    image. Returns how many were put there and how many training samples have none. Raises DataError naming
    the line that is malformed or fits no sample.
    """
    found = dict(_read_imported(path))
    used: set[str] = set()
    missing = 0
    with lock_of(folder):
        store = AnswerStore(folder)
        try:
            for sample in iterate_samples(samples, "train"):
                name = next((key for key in _names_of(sample) if key in found), None)
                if name is None:
                    missing += 1
                    continue
                used.add(name)
                answer = Answer(found[name][1], raw={"imported_from": path.name, "line": found[name][0]})
                store.add([StoredAnswer(first_question(sample).key, sample.sample_id, answer)])
            store.compact()
        finally:
            store.close()
    if not used:
        names = ", ".join(list(found)[:_NAMES_SHOWN])
        raise DataError(f"{path}: none of its images ({names} …) is one of a training sample in {samples}")
    return len(used), missing


def _names_of(sample: Sample) -> tuple[str, ...]:
    return sample.sample_id, Path(sample.image_path).name, sample.image_id


def _read_imported(path: Path) -> Iterator[tuple[str, tuple[int, str]]]:
    if not path.exists():
        raise MissingInputError(f"{path}: the file to import is missing")
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                value: Any = json.loads(line)
                think = value["think"]
                name = value.get("sample_id") or Path(value["image_path"]).name
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path}, line {number}: expected an object with 'image_path' and 'think', found {line[:80]!r}"
                ) from error
            if not isinstance(think, str):
                raise DataError(f"{path}, line {number}: 'think' is not text")
            yield str(name), (number, think.strip())
