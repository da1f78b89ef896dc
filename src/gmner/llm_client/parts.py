"""A teacher asked by several jobs at once: each has a store of its own, and the main one takes them all in.

Part `k` of `n` asks about every n-th training sample, from the k-th on. Its answers and its ledger lie in
`<store>/<provider>--<model>/parts/<k>-of-<n>/`, held alone like the main store's. Nothing is asked that the main
store or another part has answered. The budget is one for the main store and all parts (`grants`).
"""

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from gmner.core.records import Sample
from gmner.generation.shares import Shard
from gmner.llm_client.answer_store import AnswerStore, StoredAnswer, lock_of, read_unlocked
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.grants import LOCK, grant_sum_of, ledgers_held
from gmner.llm_client.ledger import spent_of
from gmner.llm_client.types import Answer, Request

_ANSWERS_AT_ONCE = 1000


def part_folder(folder: Path, shard: Shard) -> Path:
    """Return the folder of one part below a model's folder of the store."""
    return folder / "parts" / str(shard)


def take_known(teaching: Teaching, samples: Iterable[Sample], store: AnswerStore, folder: Path) -> list[Sample]:
    """Return the samples that nobody has answered to the end; what is answered of them is copied into `store`.

    `folder` is the model's; its own store and the other parts' are looked at without being held.
    """
    others = [folder, *sorted(path for path in (folder / "parts").glob("*-of-*") if path != store.folder)]
    known: dict[str, Answer] = {}
    open_samples = list(samples)
    for other in others:
        read_unlocked(other, lambda found: _look(teaching, open_samples, store, found, known))
    left = []
    for sample in open_samples:
        used: list[StoredAnswer] = []

        def lookup(request: Request, sample: Sample = sample, used: list[StoredAnswer] = used) -> Answer | None:
            if (own := store.get(request.key)) is not None:
                return own
            if (answer := known.get(request.key)) is not None:
                used.append(StoredAnswer(request.key, sample.sample_id, answer))
            return answer

        if not isinstance(resolve(teaching, sample, lookup), Outcome):
            left.append(sample)
            store.add(used)
    return left


def _look(
    teaching: Teaching, samples: Iterable[Sample], own: AnswerStore, other: AnswerStore, known: dict[str, Answer]
) -> None:
    """Collect from `other` every answer on the way of the samples' questions."""

    def lookup(request: Request) -> Answer | None:
        answer = known.get(request.key) or own.get(request.key)
        if answer is None and (answer := other.get(request.key)) is not None:
            known[request.key] = answer
        return answer

    for sample in samples:
        resolve(teaching, sample, lookup)


def take_in_parts(folder: Path) -> int:
    """Move the answers and ledgers of all parts into the main store, which must be held; return how many answers.

    A crash on the way loses nothing and counts nothing twice: answers are told apart by their keys, and each of a
    ledger's files is in one place at any time.
    """
    taken = 0
    for part in sorted((folder / "parts").glob("*-of-*")):
        with lock_of(part):
            taken += _take_answers(folder, part)
            with ledgers_held(folder):
                grant_sum_of(part, spent_of)
                (folder / "ledger").mkdir(parents=True, exist_ok=True)
                for path in sorted((part / "ledger").glob("*")):
                    path.replace(folder / "ledger" / path.name)
            _remove(part)
    with contextlib.suppress(OSError):
        (folder / "parts").rmdir()
    return taken


def _remove(part: Path) -> None:
    """Remove a part that is held: its lock last, so that nobody has begun anew in it before it is empty."""
    for path in part.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    (part / LOCK).unlink()
    with contextlib.suppress(OSError):  # somebody has begun anew
        part.rmdir()


def _take_answers(folder: Path, part: Path) -> int:
    main, found = AnswerStore(folder), AnswerStore(part)
    before = len(main)
    try:
        waiting: list[StoredAnswer] = []
        for stored in found:
            waiting.append(stored)
            if len(waiting) == _ANSWERS_AT_ONCE:
                main.add(waiting)
                waiting = []
        main.add(waiting)
        return len(main) - before
    finally:
        found.close()
        main.close()
