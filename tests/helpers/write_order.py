"""What is synced and renamed, in its order: a mark of completeness must come after the bytes it vouches for."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def write_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Path]]]:
    """Yield the list that `os.fsync` and renames are noted in, as ("sync", path) and ("rename", new path)."""
    events: list[tuple[str, Path]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def noted_fsync(handle: int) -> None:
        fsync(handle)
        events.append(("sync", Path(f"/proc/self/fd/{handle}").readlink()))

    def noted_rename(old: object, new: object, **options: object) -> None:
        rename(old, new, **options)  # type: ignore[arg-type]
        events.append(("rename", Path(str(new))))

    def noted_replace(old: object, new: object, **options: object) -> None:
        replace(old, new, **options)  # type: ignore[arg-type]
        events.append(("rename", Path(str(new))))

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", noted_fsync)
        patched.setattr("os.rename", noted_rename)
        patched.setattr("os.replace", noted_replace)
        yield events
