"""What the machine refuses, in one line for the user: disk, permissions, memory; and requests to stop.

Libraries say the same fault in their own ways: as an OSError with its number, or as a text of a compiled part.
"""

import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from typing import Any

from gmner.core.visible import visible

_SHOWN = 100  # characters of what a library says about memory
_AT = "at "  # begins the note that says which file an error is about
_ROOM = "make room"
_MEMORY = "close other programs, give the job more memory, or lower the batch size"
# errno: what is wrong, what to do.
_FAULTS = {
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("the disk quota is used up", _ROOM),
    errno.EFBIG: ("larger than this process may write", "raise the limit of a file's size (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "mount it for writing, or choose another folder"),
    errno.EACCES: ("permission denied", "allow this user to read and write there, or choose another folder"),
    errno.EPERM: ("not permitted", "allow this user to read and write there, or choose another folder"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("too many open files on this machine", "close other programs"),
    errno.EIO: ("the disk cannot be read or written (input/output error)", "check the disk"),
    errno.ENOMEM: ("not enough memory", _MEMORY),
    errno.EAGAIN: ("no more threads or processes", "close other programs, or raise the limit (ulimit -u)"),
}
_OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
# What compiled libraries say where they have no number.
_SAID = (
    (re.compile(r"os error 28|code: 28|StorageFull|No space left"), errno.ENOSPC),
    (re.compile(r"os error 27|code: 27|File too large"), errno.EFBIG),
    (re.compile(r"os error 30|code: 30|Read-only file system"), errno.EROFS),
    (re.compile(r"os error 13|code: 13|Permission denied"), errno.EACCES),
    (re.compile(r"file write failed|unexpected pos|encoder error -2"), errno.ENOSPC),  # torch, Pillow
    (
        re.compile(
            r"can't allocate memory|Cannot allocate memory|bad_alloc|out of memory|failed to map segment|"
            r"[Uu]nable to allocate|memory allocation of \d+ bytes|enforce fail at? ?\Z|could not create a primitive",
        ),
        errno.ENOMEM,
    ),
    (re.compile(r"can't start new thread|Resource temporarily unavailable"), errno.EAGAIN),
)
# Errors of compiled libraries that are none of Python's own kinds; the libraries need not be there.
_COMPILED = frozenset({"ArrowException", "SafetensorError"})


def explain(error: BaseException | None) -> str | None:
    """Return what the system refused, as `<path>: <what>; <what to do>, …`, or None for an error of another kind.

    A fault of the machine (`fault_of`), or an OSError of any other kind that names its file.
    """
    if (fault := fault_of(error)) is not None:
        return fault
    if isinstance(error, OSError) and error.strerror and names_a_path(error):
        return _line(_place(error), error.strerror.lower(), "fix this")
    return None


def fault_of(error: BaseException | None) -> str | None:
    """Return the fault of disk, permissions or memory behind an error, in the same form, or None.

    Looked for in the error and in what it was raised from.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if (number := _number(error)) is not None:
            what, remedy = _FAULTS[number]
            if number == errno.ENOMEM:  # wherever it was asked for
                said = " ".join(str(error).split())[:_SHOWN]
                return _line("", f"{what} ({said})" if said else what, remedy)
            return _line(_place(error), what, remedy)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def names_a_path(error: BaseException | None) -> bool:
    """Say whether an error says itself which file it is about."""
    return isinstance(error, OSError) and isinstance(error.filename, str | bytes)


def name_path(error: OSError, path: object) -> None:
    """Let an error of reading or writing say which file it is about: the system knows an open file's number alone."""
    error.filename = str(path)


@contextlib.contextmanager
def at(path: object) -> Iterator[None]:
    """Let a fault in here that names no file be about `path`."""
    try:
        yield
    except OSError as error:
        if not names_a_path(error):
            name_path(error, path)
        raise
    except Exception as error:
        error.add_note(f"{_AT}{path}")
        raise


def _number(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _FAULTS else None
    if isinstance(error, OSError | RuntimeError | ImportError) or type(error).__name__ in _COMPILED:
        text = str(error)
        return next((number for pattern, number in _SAID if pattern.search(text)), None)
    return None


def _place(error: BaseException) -> str:
    if isinstance(error, OSError) and names_a_path(error):
        # Of two, as in copying, the second is the one that is written.
        second = error.filename2 if error.errno in _OF_WRITING else None
        return os.fsdecode(second or error.filename)
    notes = [note.removeprefix(_AT) for note in getattr(error, "__notes__", ()) if note.startswith(_AT)]
    return notes[0] if notes else ""


def _line(place: str, what: str, remedy: str) -> str:
    return f"{f'{place}: ' if place else ''}{what}; {remedy}, then rerun the same command"


class StopRequested(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: with what is open closed and what is half-written removed.

    One that the process was started to ignore (nohup) stays ignored. A second one ends it at once.
    """

    def stop(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise StopRequested(number)

    kept = {}
    with contextlib.suppress(ValueError):  # signals belong to the main thread alone
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                kept[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    """Write a line to standard error, if anybody still listens; what is in it cannot steer the terminal."""
    with contextlib.suppress(OSError, ValueError):
        print(visible(line), file=sys.stderr, flush=True)  # noqa: T201


def close_output() -> None:
    """Let nothing more go to a standard output that cannot take it: Python would try once more at its end."""
    _to_nowhere(sys.stdout)


def close_errors() -> None:
    """Let nothing follow the last line: without memory, what libraries do at Python's end fails too, and says so."""
    stream = sys.stderr
    if stream is sys.__stderr__:
        _to_nowhere(stream)


def _to_nowhere(stream: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
