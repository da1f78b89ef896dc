"""Holding a folder alone, so that two workflows can share it: the second waits and finds what the first has made."""

import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

RESULT_NEUTRAL = True  # who may write, not what

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder`, which need not exist, alone; wait for another process that holds it.

    By `flock` on the file `.<name>.lock` beside it. The system gives the lock back however a process ends; the empty
    file stays, since removing a lock file lets two processes hold it. On NFS the lock holds between machines if the
    server gives locks (Linux does, since 2.6.12). If the file system has none, a warning says so and nothing is held:
    a lock that only a file's existence stands for would survive a killed process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.parent / f".{folder.name}.lock", poll_interval=0.2, fallback_to_soft=False)
    _acquire(lock, folder)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: another process is at it; waiting until it has ended", folder)
            lock.acquire()
    except OSError as error:
        if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
            raise
        log.warning("%s: no locks on this file system (%s); let one workflow at a time work there", folder, error)
