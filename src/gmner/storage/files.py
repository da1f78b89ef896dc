"""Files that are whole or not there: written beside their name, synced to disk, then renamed; and what kills left."""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from gmner.errors import DataError
from gmner.runtime.system_errors import name_path

CHUNK_BYTES = 1 << 20
# Some file systems cannot sync a folder; there the rename is as durable as they make it.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
# `.<name>.<eight hex digits><suffix of the name>`, beside the file that it is to become.
_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(?P<suffix>\.[^.]+)")
_NO_FILES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any error it is removed.

    Durable: the file's bytes are synced before the rename, and the folder after it, so that a crash leaves either the
    old file or the new one, and a file written later is never there without one written earlier. The rename is atomic
    because both names are in one folder (POSIX `rename`). The file's mode is what the umask leaves of 0666.
    """
    target = Path(path)
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}{target.suffix}"
    with _named(target, temporary):
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = stat.S_IMODE(os.fstat(handle).st_mode)  # what the umask leaves; asking for the umask would change it
        os.fchmod(handle, 0o600)
        os.close(handle)
    try:
        with _named(target, temporary):
            yield temporary
            temporary.chmod(mode)  # no sooner: half a file is for nobody else
            sync_path(temporary)
            temporary.replace(target)
            sync_path(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _named(target: Path, temporary: Path) -> Iterator[None]:
    """Let what the system refuses name the file that was to be written: it says the temporary one's name, or none."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, str(temporary)):
            name_path(error, target)
        raise


def sync_path(path: Path | str) -> None:
    """Wait until a file's bytes, or a folder's list of names, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC or not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path | str) -> None:
    """Wait until all files below `folder`, and all names down to its own, are on the disk.

    To be called before the mark that says the folder is complete: after a power cut, a mark without its payload would
    make half a folder look whole.
    """
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(place, name)
            if path.is_file():
                sync_path(path)
        sync_path(place)
    sync_path(Path(folder).parent)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with the newlines it has."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON with sorted keys; NaN is refused (ValueError)."""
    encoder = json.JSONEncoder(indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(encoder.iterencode(value))  # part by part: a large value as one text takes much memory
        stream.write("\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def files_below(folder: Path | str) -> Iterator[Path]:
    """Yield whatever lies below a folder and is no folder; links are followed, a circle of them once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        state = Path(place).stat()
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        yield from (Path(place, name) for name in sorted(files))


def refuse_special(path: Path | str) -> None:
    """Raise DataError if `path` is a named pipe, a socket or a device: reading one may wait for ever, or never end.

    A missing file and a folder pass: opening them says what they are.
    """
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return
    if kind in _NO_FILES:
        raise DataError(f"{path}: is {_NO_FILES[kind]}, expected a file; put its contents into a file")


def read_text(path: Path | str, expected: str) -> str:
    """Return a file of somebody's as text: UTF-8, with or without a byte order mark, line ends as they are.

    `expected` says in words what the file should hold. Raises DataError, naming file and line, if it is missing, no
    file, unreadable, or not UTF-8.
    """
    refuse_special(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: the file is missing; expected {expected} there") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected {expected} there") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x}); convert the file") from error


def sha256_of_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_json(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON (sorted keys, no spaces), in hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def is_half_written(name: str) -> bool:
    """Say whether a file's name is that of a file that `atomic_path` never finished, because its process was killed."""
    found = _HALF_WRITTEN.fullmatch(name)
    return found is not None and found["name"].endswith(found["suffix"])


def half_written(folder: Path, without: Collection[str] = ()) -> Iterator[Path]:
    """Yield the half-written files below `folder`; links and folders named in `without` are not followed."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
        yield from (Path(place, name) for name in files if is_half_written(name))


def remove_half_written(folder: Path, without: Collection[str] = ()) -> int:
    """Remove the half-written files below `folder`; nobody may be writing there. Return how many there were."""
    found = list(half_written(folder, without))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)
