"""Checkpoints that can be trusted: a list of digests is written last, and one with a damaged file is never resumed."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from gmner.storage.files import read_json, sha256_of_file, sync_tree, write_json

RESULT_NEUTRAL = True  # whichever checkpoint is resumed, training ends with the same bytes

log = logging.getLogger(__name__)

COMPLETE = "complete.json"
"""Written last into a checkpoint: its step, and the SHA-256 of each of its files."""


def complete_checkpoint(folder: Path, step: int) -> None:
    """Flush a checkpoint's files to the disk, then write the mark that says that they are all there."""
    sync_tree(folder)
    write_json(folder / COMPLETE, {"step": step, "files": _digests(folder)})


def last_checkpoint(work_dir: Path, usable: Callable[[int], bool] = lambda step: True) -> Path | None:
    """Return the newest checkpoint of `work_dir` that is whole, undamaged and `usable` at its step.

    Newer ones that are not are removed, and said so: training resumes from an older one, or starts over, and ends with
    the same bytes.
    """
    for step, folder in reversed(checkpoints(work_dir)):
        problem = _problem(folder, step) or (None if usable(step) else "the adapter it needs is lost")
        if problem is None:
            return folder
        log.warning("train: %s is not used and removed: %s", folder.name, problem)
        shutil.rmtree(folder, ignore_errors=True)
    return None


def checkpoints(work_dir: Path) -> list[tuple[int, Path]]:
    """Return the steps and folders of all checkpoints, whole or not, oldest first."""
    found = ((folder.name.removeprefix("checkpoint-"), folder) for folder in work_dir.glob("checkpoint-*"))
    return sorted((int(step), folder) for step, folder in found if step.isdigit())


def _problem(folder: Path, step: int) -> str | None:
    try:
        mark = read_json(folder / COMPLETE)
        told, listed = int(mark["step"]), dict(mark["files"])
    except FileNotFoundError:
        return "it was interrupted while being written"
    except (ValueError, KeyError, TypeError):
        return f"its {COMPLETE} is damaged"
    if told != step:
        return f"its {COMPLETE} is of step {told}"
    for name, digest in sorted(listed.items()):
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_of_file(path) != digest:
            return f"{name} is damaged (its SHA-256 is not the one noted)"
    return None


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != COMPLETE
    }
