"""How libraries say what the machine refuses, and how gmner does."""

import argparse
import errno
import logging
from pathlib import Path

import pytest

from gmner.errors import DataError
from gmner.runtime.system_errors import at, explain, fault_of
from gmner.storage.locks import held
from tests.helpers.pipeline import command


class SafetensorError(Exception):
    """As the library's: no kind of OSError."""


FULL, MEMORY = "the disk is full; make room", "not enough memory"
SAID = {
    "errno without a file": (OSError(errno.ENOSPC, "No space left on device"), FULL),
    "a quota": (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b.json"), "/a/b.json: the disk quota is used up"),
    "two files": (OSError(errno.ENOSPC, "No space", "/from/a", None, "/to/a"), "/to/a: the disk is full"),
    "too many files": (OSError(errno.EMFILE, "Too many open files", "x"), "x: too many open files; raise the limit"),
    "safetensors": (SafetensorError('I/O error: Os { code: 28, kind: StorageFull, message: "No space" }'), FULL),
    "torch.save": (RuntimeError("[enforce fail at inline_container.cc:659] . unexpected pos 64 vs 0"), FULL),
    "Pillow": (OSError("encoder error -2 when writing image file"), FULL),
    "torch": (RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"), MEMORY),
    "CUDA": (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."), f"{MEMORY} (CUDA out of memory."),
    "Python": (MemoryError(), f"{MEMORY}; close other programs"),
    "a library that cannot be mapped": (ImportError("x.so: failed to map segment from shared object"), MEMORY),
    "threads": (RuntimeError("can't start new thread"), "no more threads or processes"),
    "another error of the system": (IsADirectoryError(errno.EISDIR, "Is a directory", "x"), "x: is a directory; fix"),
}


@pytest.mark.parametrize("what", SAID)
def test_each_has_its_line(what: str) -> None:
    error, line = SAID[what]
    assert (explain(error) or "").startswith(line)
    assert (explain(error) or "").endswith("then rerun the same command")


def test_what_is_no_fault_of_the_machine_has_none() -> None:
    for error in (ValueError("No space left"), KeyError("x"), RuntimeError("a bug"), FileNotFoundError("x"), None):
        assert explain(error) is None and fault_of(error) is None
    assert fault_of(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None


def test_the_place_is_named() -> None:
    for error in (SafetensorError("StorageFull"), OSError(errno.ENOSPC, "No space left on device")):
        with pytest.raises(type(error)) as found, at("results/work"):
            raise error
        assert (explain(found.value) or "").startswith("results/work: the disk is full")


def raising(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(args: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr("gmner.commands.config.run", run)


def test_an_error_in_words_gets_the_fault_behind_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = DataError("x.parquet: not readable; delete it")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied", "x.parquet")
    raising(monkeypatch, error)
    assert command("config", "check", tmp_path).error.startswith("x.parquet: permission denied; allow this user")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert command("config", "check", tmp_path).error.startswith("x.parquet: not readable; delete it (the disk is full")
    error.__cause__ = FileNotFoundError(errno.ENOENT, "No such file", "x.parquet")
    assert command("config", "check", tmp_path).error == "x.parquet: not readable; delete it"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    raising(monkeypatch, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        command("config", "check", tmp_path)


def test_the_log_can_tell_where_a_fault_came_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raising(monkeypatch, MemoryError("too much"))
    with caplog.at_level(logging.DEBUG):
        assert command("config", "check", tmp_path).error.startswith("not enough memory (too much)")
    assert "Traceback" in caplog.text


def test_a_file_system_without_locks_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(file: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with held(tmp_path / "a"):
        assert "no locks on this file system" in caplog.text
