"""One GPU for each job on a machine with several.

A workflow runs as many jobs at a time as there are GPUs, but nothing tells these jobs apart: each would take the
first one. So a job takes the first GPU that no other job of ours holds, by a lock on a file, and shows itself no
other. To be called before torch is imported.
"""

import contextlib
import fcntl
import logging
import os
import tempfile
from pathlib import Path
from typing import IO

from gmner.errors import ConfigError

RESULT_NEUTRAL = True  # which GPU, not what comes of it

log = logging.getLogger(__name__)

VARIABLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")
_held: list[IO[str]] = []  # a lock lasts as long as its file is open: until the process ends


def claim_gpu(locks: Path | None = None) -> str | None:
    """Hold one of the visible GPUs for this process and hide the others; return its number, or None.

    Nothing is done where at most one is visible (none at all, or one that a cluster's scheduler gave). Where
    all are held, the first is shared.
    """
    visible = visible_gpus()
    if len(visible) < 2:
        return None
    folder = _lock_folder(locks)
    for name in visible:
        if _lock(folder / f"{name.replace('/', '_')}.lock"):
            break
    else:
        name = visible[0]
        log.warning("all %d GPUs are held by other jobs: sharing GPU %s", len(visible), name)
    os.environ[VARIABLE] = name
    return name


def _lock_folder(given: Path | None) -> Path:
    """Return the folder of this user's locks; one that somebody else made in its place is refused."""
    folder = given or Path(tempfile.gettempdir()) / f"gmner-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise ConfigError(f"{folder}: belongs to another user; set TMPDIR to a folder of your own")
    return folder


def claim_gpus(count: int, locks: Path | None = None) -> list[str]:
    """Hold `count` of the visible GPUs for the processes that this one starts, hide the others; return their names.

    Nothing is done where no more than `count` are visible. Where too few are free, held ones are shared.
    """
    visible = visible_gpus()
    if len(visible) <= count:
        return visible
    folder = _lock_folder(locks)
    free: list[str] = []
    for name in visible:
        if len(free) < count and _lock(folder / f"{name.replace('/', '_')}.lock"):
            free.append(name)
    if len(free) < count:
        log.warning("%d GPUs are wanted, %d are free: sharing the others", count, len(free))
        free += [name for name in visible if name not in free][: count - len(free)]
    os.environ[VARIABLE] = ",".join(free)
    return free


def visible_gpus() -> list[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES knows the GPUs that this process may use."""
    told = os.environ.get(VARIABLE)
    if told is not None:
        return [name.strip() for name in told.split(",") if name.strip() and name.strip() != "-1"]
    if not _DRIVER.is_dir():
        return []
    return [str(number) for number, _ in enumerate(_DRIVER.iterdir())]


def _lock(path: Path) -> bool:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        stack.pop_all()
        _held.append(file)
        return True
