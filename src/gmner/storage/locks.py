"""Holding a folder alone, so that two workflows can share it: the second waits and finds what the first has made."""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

RESULT_NEUTRAL = True  # who may write, not what

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder`, which need not exist, alone; wait for another process that holds it.

    By a lock on the file `.<name>.lock` beside it, which the system gives back however a process ends, and which is
    removed when it is not needed any more. A file system without locks is warned of, and nothing is held there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.parent / f".{folder.name}.lock"
    with contextlib.ExitStack() as stack:
        while True:
            file = stack.enter_context(path.open("a+b"))
            if not _locked(file, folder):
                break
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    break  # else it was removed by the one that held it, and a third may hold its successor
            stack.pop_all().close()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(file: IO[bytes], folder: Path) -> bool:
    """Wait for the lock of an open file; False where there are no locks."""
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("%s: another process is at it; waiting until it has ended", folder)
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning("%s: no locks on this file system (%s); let one workflow at a time work there", folder, error)
        return False
    return True
