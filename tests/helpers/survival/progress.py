"""What a stage has done so far, by the files that it keeps; and what a later start of it says that it found."""

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from gmner.llm_client.answer_store import read_store


@dataclass(frozen=True)
class Done:
    """How much, in the stage's own units; when the last of it was kept, None where nothing was."""

    amount: int = 0
    text: str = ""
    kept_at: float | None = None


def progress(root: Path, stage: str, name: str) -> Done:
    """Return what a job's kept files hold."""
    known = {"download": _download, "rationales": _rationales, "train": _train, "generate": _generate}
    return known[stage](root, name) if stage in known else Done()


def _download(root: Path, name: str) -> Done:
    parts = sorted((root / "resources" / name / ".partial").glob("GMNER-made.zip*"))
    sizes = [(path.stat().st_size, path.stat().st_mtime) for path in parts]
    if not sizes or not sizes[0][0]:
        return Done(0, "no byte kept")
    return Done(sizes[0][0], f"{sizes[0][0]} bytes kept", sizes[0][1])


def _rationales(root: Path, name: str) -> Done:
    count = len(stored_answers(root))
    newest = max((path.stat().st_mtime for path in _store(root).rglob("*") if path.is_file()), default=None)
    return Done(count, f"{count} answers kept", newest if count else None)


def _train(root: Path, name: str) -> Done:
    found = []
    for mark in (root / "results/work/train").glob(f"{name}/seed42-*/checkpoint-*/complete.json"):
        found.append((json.loads(mark.read_text(encoding="utf-8"))["step"], mark.stat().st_mtime))
    return Done(max(found)[0], f"step {max(found)[0]} kept", max(found)[1]) if found else Done(0, "no step kept")


def _generate(root: Path, name: str) -> Done:
    times = list(batches(root, name).values())
    return Done(len(times), f"{len(times)} batches kept", max(times) / 1e9 if times else None)


def batches(root: Path, name: str) -> dict[str, int]:
    """Return the batches that are kept, and when each was written (ns)."""
    found = (root / "results/work/generate").glob(f"{name}/seed42-*/batch-*.json")
    return {path.name: path.stat().st_mtime_ns for path in found}


def _store(root: Path) -> Path:
    return root / "resources/teacher-store/openai--gpt-4o"


def stored_answers(root: Path) -> set[str]:
    """Return the server's ids of the answers that the store holds."""
    if not _store(root).is_dir():
        return set()
    return {stored.answer.raw["id"] for stored in read_store(_store(root))}


def resumed(root: Path, stage: str, name: str, since: float) -> str | None:
    """Return what a job that began after `since` says it went on from; None where it has not said so yet."""
    log = root / "results/logs" / stage / f"{_log_name(stage, name)}.log"
    if not log.exists() or log.stat().st_mtime < since:
        return None
    text = log.read_text(encoding="utf-8", errors="replace")
    if stage == "rationales":
        found = re.search(r"(\d+) of them answered in the store", text)
        return f"{found[1]} answers" if found else None
    if stage == "train":
        if found := re.search(r"resuming from checkpoint-(\d+)", text):
            return f"step {found[1]}"
        return "step 0" if "epoch 0 on dev" in text or "steps, in" in text else None
    return None


def _log_name(stage: str, name: str) -> str:
    return f"{name}/seed42" if stage == "train" else name


def seconds_since(moment: float | None, began: float) -> float:
    """Return how long a job had worked on what it had not kept."""
    return time.time() - max(moment or 0.0, began)
