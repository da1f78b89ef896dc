"""Looking after the store: what is there, what it cost, what to ask again, and exchange with other projects."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gmner.errors import MissingInputError
from gmner.llm_client.answer_store import FILE, AnswerStore, Spending, read_store
from gmner.llm_client.folders import lock_of
from gmner.llm_client.types import Answer
from gmner.storage.tables import RATIONALES, read_table

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """What one model's folder of the store holds."""

    name: str
    answers: int
    by_finish: dict[str, int]
    failures: Counter[str]  # answers that no rationale can be made of, by why; the provider's own words if it gave some
    damage: tuple[str, ...]
    spending: Spending
    open_batches: int


def folders_of(store: Path) -> list[Path]:
    """Return the folders of a store, one per model. Raises MissingInputError if there is no store."""
    if not store.is_dir():
        raise MissingInputError(f"{store}: there is no store of answers here yet; the rationales stage makes it")
    return sorted(path.parent for path in store.glob(f"*--*/{FILE}"))


def status_of(folder: Path) -> FolderStatus:
    """Count what a model's folder holds, without holding it."""
    with contextlib.closing(read_store(folder)) as store:
        answers = [stored.answer for stored in store]
        finish = Counter(answer.finish_reason for answer in answers)
        failures = Counter(reason for answer in answers if (reason := _failure(answer)))
        return FolderStatus(
            folder.name,
            len(answers),
            dict(sorted(finish.items())),
            failures,
            tuple(store.damage),
            store.spending(),
            len(store.open_batches()),
        )


def _failure(answer: Answer) -> str | None:
    if answer.finish_reason == "refused":
        return f"refused: {answer.text[:100]}"
    if answer.finish_reason == "length":
        return "cut at the token limit"
    return None if answer.text.strip() else "empty"


def forget_failures(folder: Path) -> int:
    """Remove the answers that are refused, cut, empty or damaged, so that the next run asks again; return how many."""

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
    with lock_of(folder), contextlib.closing(read_store(folder)) as store:
        count = store.forget(choose(store))
        store.export()
        return count
