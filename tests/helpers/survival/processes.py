"""Who runs, told by /proc: the jobs of one start of Snakemake, and what it left behind."""

import contextlib
import itertools
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """A command of the workflow that runs: `name` is where its result goes."""

    number: int
    shell: int
    stage: str
    name: str

    @property
    def alive(self) -> bool:
        return _fields(self.number) is not None

    @property
    def worked(self) -> float:
        """How many seconds the processor has worked on it: more alike than the clock's, where others work too."""
        return worked(self.number)


def members(session: int) -> list[int]:
    """Return the processes of a session that have not ended."""
    return [number for number in _numbers() if (found := _fields(number)) is not None and found[1] == session]


def job_of(session: int) -> Job | None:
    """Return the job that runs in a session, if one does."""
    for number in members(session):
        words = _words(number)
        if words[1:4] == ["-m", "gmner", "stage"]:
            fields = _fields(number)
            if fields is not None:
                return Job(number, fields[0], words[4], _place(words))
    return None


def worked(number: int) -> float:
    """Return a process's seconds of the processor, 0 where it has ended."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def kill(number: int, *, group: bool = False) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(number, signal.SIGKILL)


def _place(words: list[str]) -> str:
    """Return the data set, run or name that a command works on."""
    given = dict(itertools.pairwise(words[5:]))
    out = Path(given.get("--out") or given["--out-dir"])
    parts = out.parts[2:] if "--out-dir" in given else out.parts[2:-1]
    return "/".join(part for part in parts if not part.startswith("seed")) or out.stem


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _words(number: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/cmdline").read_text(encoding="utf-8").split("\0")
    return []


def _fields(number: int) -> tuple[int, int] | None:
    """Return a process's parent and session; None where it has ended."""
    with contextlib.suppress(OSError):
        state, parent, _, session = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[:4]
        return None if state in "ZX" else (int(parent), int(session))
    return None
