"""A machine that refuses: a disk without room, a file system for reading only, permissions, limits, signals."""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PAGE = 4096


@contextlib.contextmanager
def small_disk(place: Path, megabytes: int = 16) -> Iterator[None]:
    """Mount a small disk in memory at `place`; skips where this user may not."""
    place.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(place)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextlib.contextmanager
def full(place: Path, left: int = 0) -> Iterator[None]:
    """Fill the disk that `place` is on, but for some bytes; then empty it again."""
    ballast = place / "ballast"
    free = os.statvfs(place).f_bavail * PAGE
    with ballast.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, max(free - left, 1))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Let nothing be written to the disk mounted at `place`."""
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)


@contextlib.contextmanager
def denied(place: Path) -> Iterator[None]:
    """Be a user who may look into `place` and write nothing there; root gives up what passes by that."""
    folders = [place, *(path for path in place.rglob("*") if path.is_dir())]
    for path in (*folders, *(path for path in place.rglob("*") if path.is_file())):
        path.chmod(0o555 if path.is_dir() else 0o444)
    with _as_owner():
        yield
    for path in folders:
        path.chmod(0o755)


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    """Let a file not be read."""
    path.chmod(0o000)
    try:
        with _as_owner():
            yield
    finally:
        path.chmod(0o644)


@contextlib.contextmanager
def _as_owner() -> Iterator[None]:
    """Be somebody whom permission bits hold for, and who may read this project wherever it lies: its owner.

    Root keeps its name if the project is root's, and gives up its power to pass by the bits for the while.
    """
    owner = Path(__file__).stat().st_uid
    if os.geteuid():
        yield  # the permission bits hold for us
    elif owner:
        os.seteuid(owner)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        with _without_override():
            yield


_CAPABILITIES_3 = 0x20080522  # the version of Linux's structure (capget(2))
_OVERRIDE = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


@contextlib.contextmanager
def _without_override() -> Iterator[None]:
    library, header, sets = ctypes.CDLL(None, use_errno=True), _Header(_CAPABILITIES_3, 0), (_Sets * 2)()
    if library.capget(ctypes.byref(header), sets):
        pytest.skip("this process may not look at its capabilities")
    before = sets[0].effective
    sets[0].effective = before & ~_OVERRIDE
    assert library.capset(ctypes.byref(header), sets) == 0
    try:
        yield
    finally:
        sets[0].effective = before
        assert library.capset(ctypes.byref(header), sets) == 0


@contextlib.contextmanager
def short_files(most: int = 64) -> Iterator[None]:
    """Let no file grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def signalled(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> Iterator[None]:
    """Get a signal at the worst moment: a file is written and has not yet its name."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals belong to the main thread")
    flush: Callable[[int], None] = os.fsync

    def and_signal(descriptor: int) -> None:
        flush(descriptor)
        signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", and_signal)
        yield


_LIMITED = """
import importlib, resource, sys
from pathlib import Path
module, most, *words = sys.argv[1:]
importlib.import_module(module)
from gmner.cli import main
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(most) * 1_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(main(words))
"""


def with_memory(megabytes: int, imported: str, *words: object) -> "subprocess.CompletedProcess[str]":
    """Run a command that may take so much memory beyond what it has once a module is imported."""
    command = [sys.executable, "-c", _LIMITED, imported, str(megabytes), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
