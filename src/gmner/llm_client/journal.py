"""An append-only journal that survives being killed at any byte.

A journal is a folder of shards. Every writer has a shard of its own, so a torn last line is never written
behind; every line carries a checksum, so a damaged line is found and left out and costs no other line. A line
counts once `append` has returned: by then it is on the disk.
"""

import contextlib
import fcntl
import json
import logging
import os
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gmner.errors import GmnerError
from gmner.runtime.system_errors import name_path

LOGGER = logging.getLogger(__name__)
SUFFIX = ".shard"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: file, offset and length in bytes."""

    path: Path
    offset: int
    length: int


class ShardWriter:
    """Appends lines to a new shard of `folder`; each call of `append` is one write and one flush to disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stream: IO[bytes] | None = None
        self._path = folder / f"{uuid.uuid4().hex}{SUFFIX}"
        self._size = 0

    def append(self, values: Iterable[Mapping[str, Any]]) -> list[Place]:
        """Write values as lines; return their places. When it returns, they are on the disk."""
        stream = self._stream or self._open()
        lines = [_encode(value) for value in values]
        try:
            stream.write(b"".join(lines))
            stream.flush()
            os.fsync(stream.fileno())
        except OSError as error:  # a full disk may have torn the last line: what comes next goes to another shard
            name_path(error, self._folder)
            with contextlib.suppress(OSError):  # it tries once more to write
                self.close()
            raise
        places = []
        for line in lines:
            places.append(Place(self._path, self._size, len(line)))
            self._size += len(line)
        return places

    def close(self) -> None:
        """Close the shard."""
        stream, self._stream = self._stream, None
        if stream:
            self._path = self._folder / f"{uuid.uuid4().hex}{SUFFIX}"
            stream.close()

    def _open(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stream = self._path.open("xb")
        self._size = 0
        sync_folder(self._folder)
        return self._stream


def read_shards(folder: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield every sound line of every shard of a folder, in the order of shard names and lines."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield from _read_shard(path)


def count_damaged(folder: Path) -> int:
    """Return how many lines of a folder's shards are torn or damaged."""
    damaged = 0
    for path in folder.glob(f"*{SUFFIX}"):
        with path.open("rb") as stream:
            damaged += sum(_decode(line) is None for line in stream)
    return damaged


def read_place(place: Place) -> dict[str, Any]:
    """Read one line again. Raises GmnerError where it is no longer what it was."""
    with place.path.open("rb") as stream:
        stream.seek(place.offset)
        value = _decode(stream.read(place.length))
    if value is None:
        raise GmnerError(f"{place.path}: the line at byte {place.offset} was sound and is now damaged; check the disk")
    return value


_WAITING = "another process is asking this teacher; waiting until it has ended"


@contextlib.contextmanager
def locked(path: Path, waiting: str | None = _WAITING) -> Iterator[None]:
    """Hold the lock file `path` alone, waiting for it; the system gives it back however the process ends.

    The owner may remove the file, with its folder: who waited for it then takes the one that is there now.
    `waiting` is said when it has to be waited for.
    """
    with contextlib.ExitStack() as stack:
        while True:
            with contextlib.suppress(FileNotFoundError):  # its owner removes the folder just now
                _make_folder(path.parent)
                stream = stack.enter_context(path.open("a+b"))
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if waiting:
                        LOGGER.info("%s: %s", path, waiting)
                    fcntl.flock(stream, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                    break
            stack.pop_all().close()
        yield


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        if folder.exists() and not folder.is_dir():
            raise  # else it was there and is removed just now


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a new or renamed file survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_shard(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    offset = 0
    with path.open("rb") as stream:
        for line in stream:
            value = _decode(line)
            if value is not None:
                yield Place(path, offset, len(line)), value
            offset += len(line)


def _encode(value: Mapping[str, Any]) -> bytes:
    body = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _decode(line: bytes) -> dict[str, Any] | None:
    """Return a line's value, or None where it is torn or damaged."""
    if len(line) < 11 or line[-1:] != b"\n" or line[8:9] != b" ":
        return None
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:-1]):
            return None
        value = json.loads(line[9:-1])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
