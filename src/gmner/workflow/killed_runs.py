"""Runs of the workflow that were killed: known at the next start, their jobs ended, their leavings cleared away.

While Snakemake runs, it holds a file of its own in `.snakemake/gmner`; each of its jobs holds another one. The system
gives both back however a process ends, `kill -9` included. So the next start can tell a run that lives from one that
was killed, and makes good what the dead one could not: it waits until its last job has ended, removes its lock, and
removes the files that were never finished. A job whose Snakemake or whose shell is gone asks itself to stop, as the
scheduler of a cluster would: training keeps a checkpoint, a teacher's answers in flight are taken in.

A lock is left alone where its owner lives, where it came from another machine, and where it had handed its jobs to a
cluster, which may still be working on them.
"""

import atexit
import contextlib
import fcntl
import json
import logging
import os
import select
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gmner.storage.files import remove_half_written

LOGGER = logging.getLogger(__name__)
PLACE = Path(".snakemake", "gmner")
JOBS_VARIABLE = "GMNER_JOBS"  # the file that a run's jobs hold
OWNER_VARIABLE = "GMNER_OWNER"  # the process that started them: its number, its birth, its machine
ERRORS_VARIABLE = "GMNER_ERRORS"  # the file in which failed jobs say why
SHELL_VARIABLE = "GMNER_SHELL"  # the number of a job's shell
_LOCKS = Path(".snakemake", "locks")
# What the workflow writes. The teachers' store may be shared with others and clears up after itself.
_WRITTEN, _SHARED = ("results", "resources"), ("teacher-store",)
_RUN, _JOBS, _ERRORS = ".run", ".jobs", ".errors"
# What a run's own file says: its machine, then, each on a line, its temporary folders and whether it uses a cluster.
_TEMPORARY, _CLUSTER = "temporary ", "cluster"
_POLL_SECONDS = 0.1


@dataclass
class Session:
    """This run of Snakemake, until the process ends."""

    path: Path
    held: IO[bytes]
    process: int
    ended_well: bool = True

    @property
    def jobs(self) -> Path:
        """The file that this run's jobs hold."""
        return self.path.with_suffix(_JOBS)

    @property
    def errors(self) -> Path:
        """The file in which this run's failed jobs say why."""
        return self.path.with_suffix(_ERRORS)

    def said(self) -> list[str]:
        """Return what failed jobs said, each line once."""
        with contextlib.suppress(OSError):
            return list(dict.fromkeys(self.errors.read_text(encoding="utf-8").splitlines()))
        return []

    def hands_out_jobs(self) -> None:
        """Note that jobs run elsewhere: they may outlive this process, and then its lock must stay."""
        self.held.write(f"{_CLUSTER}\n".encode())
        self.held.flush()

    def failed(self) -> None:
        """Note that a job failed: it may have been killed, and the next run clears up after it."""
        self.ended_well = False

    def end(self) -> None:
        """Leave nothing behind, unless a job failed or still runs: then the next run looks after it."""
        if self.process != os.getpid():
            return
        with contextlib.suppress(OSError):
            if self.ended_well and _forget_jobs(self.jobs):
                self.path.unlink(missing_ok=True)
        self.errors.unlink(missing_ok=True)
        self.held.close()


def begin(say: Callable[[str], None], unlock: bool = False, temporary: Collection[Path] = ()) -> Session | None:
    """Begin a run in the current folder and make good what killed ones left; `say` tells the user of it.

    `unlock`: the user says that no cluster works for a killed run any more. `temporary`: folders that nobody needs
    when this run has ended. Returns None where the file system knows no locks or cannot be written: then Snakemake's
    own `--unlock` is needed after a kill.
    """
    try:
        PLACE.mkdir(parents=True, exist_ok=True)
        with (PLACE / "door").open("ab") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            _clear_up(say, unlock)
            path = PLACE.absolute() / f"{uuid.uuid4().hex}{_RUN}"
            path.with_suffix(_JOBS).touch()
            held = path.open("xb")
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lines = [socket.gethostname(), *(f"{_TEMPORARY}{folder.absolute()}" for folder in temporary)]
            held.write("".join(f"{line}\n" for line in lines).encode())
            held.flush()
    except OSError as error:
        LOGGER.debug("no session is kept: %s", error)
        return None
    session = Session(path, held, os.getpid())
    atexit.register(session.end)
    return session


def _clear_up(say: Callable[[str], None], unlock: bool) -> None:
    runs = sorted(PLACE.glob(f"*{_RUN}"))
    if not runs or not all(map(_is_free, runs)):
        return  # all is well, or somebody is at work, who may be the owner of any lock
    told = [path.read_text(encoding="utf-8").splitlines() for path in runs]
    here = socket.gethostname()
    if not unlock and any(lines[:1] != [here] for lines in told):
        say("a run on another machine did not end well; when nothing runs there any more: snakemake --unlock")
        return
    if not unlock and any(_CLUSTER in lines for lines in told):
        say("a run with jobs on a cluster did not end well; when none of them runs any more: snakemake --unlock")
        return
    for path in runs:
        _wait_for_jobs(path.with_suffix(_JOBS), say)
    locks = [path for path in _LOCKS.glob("*.lock") if path.is_file()]
    for path in locks:
        path.unlink(missing_ok=True)
    removed = sum(remove_half_written(Path(name), _SHARED) for name in _WRITTEN if not Path(name).is_symlink())
    for path, lines in zip(runs, told, strict=True):
        for line in lines:
            if line.startswith(_TEMPORARY):
                shutil.rmtree(line.removeprefix(_TEMPORARY), ignore_errors=True)
        path.with_suffix(_ERRORS).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    if locks or removed:
        what = [*(["its lock"] if locks else []), *([f"{removed} half-written files"] if removed else [])]
        say(f"the last run here was killed: {' and '.join(what)} removed; going on from what it had done")


def _is_free(path: Path) -> bool:
    """Say whether nobody holds a file."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _wait_for_jobs(path: Path, say: Callable[[str], None]) -> None:
    if not _forget_jobs(path):
        say("waiting for the jobs of a killed run: they stop as soon as what they have done is kept")
        while not _forget_jobs(path):
            time.sleep(_POLL_SECONDS)


def _forget_jobs(path: Path) -> bool:
    """Remove the file that a run's jobs hold, unless one of them still runs; say whether it is gone."""
    if path.exists() and not _is_free(path):
        return False
    path.unlink(missing_ok=True)
    return True


def owner_of_jobs() -> str:
    """Return what tells jobs who started them: this process."""
    return json.dumps([os.getpid(), _birth(os.getpid()), _namespace()])


def tell_why(line: str) -> None:
    """Let the run of the workflow that started this process, if one did, repeat why it failed."""
    place = os.environ.get(ERRORS_VARIABLE)
    if place:
        with contextlib.suppress(OSError), Path(place).open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")


@contextlib.contextmanager
def as_job() -> Iterator[bool]:
    """Be a job of the run that started this process, if one did: known to it, and stopped where it is gone.

    Gives False where it, or the job's shell, was gone before this process began: then nobody waits for what it does,
    and a result would come behind Snakemake's back.
    """
    jobs, owner, shell = (os.environ.pop(name, None) for name in (JOBS_VARIABLE, OWNER_VARIABLE, SHELL_VARIABLE))
    with contextlib.ExitStack() as stack:
        wanted = (owner is None or _watch(owner)) and _has_shell(shell)
        if jobs is not None and wanted:
            with contextlib.suppress(OSError):
                fcntl.flock(stack.enter_context(Path(jobs).open("rb")), fcntl.LOCK_SH)
        yield wanted


def _watch(owner: str) -> bool:
    """Let this process be asked to stop when its owner or its shell ends; False where the owner is gone already."""
    number, birth, namespace = json.loads(owner)
    if namespace != _namespace() or not hasattr(os, "pidfd_open"):
        return True  # in a container, or not on Linux: the number says nothing here
    try:
        watched = [os.pidfd_open(number), os.pidfd_open(os.getppid())]
    except ProcessLookupError:
        return False
    except OSError:
        return True
    if _birth(number) != birth:
        return False
    threading.Thread(target=_stop_when_alone, args=(watched,), daemon=True, name="owner").start()
    return True


def _has_shell(number: str | None) -> bool:
    """Say whether a job's shell still is its parent; a shell with one command may have become that command."""
    return number is None or number in (str(os.getppid()), str(os.getpid()))


def _stop_when_alone(watched: list[int]) -> None:
    poll = select.poll()
    for descriptor in watched:
        poll.register(descriptor, select.POLLIN)
    poll.poll()
    LOGGER.warning("the run that started this job is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)


def _birth(number: int) -> str:
    """Return when a process began, in the system's ticks; '' where that is not to be known."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return ""


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    return ""
