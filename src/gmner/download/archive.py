"""Unpacking archives that others made: only wanted files, never outside the folder, never without bound."""

import fnmatch
import lzma
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from gmner.errors import DataError
from gmner.storage.files import CHUNK_BYTES

_HTML = (b"<!doctype html", b"<html")
# Text compresses at most about a hundredfold; more than this on a large file is a decompression bomb.
_HIGHEST_RATIO = 1000
_RATIO_COUNTS_FROM = 10_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """The most files and unpacked bytes that an archive may hold."""

    max_files: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    packed: int | None
    is_folder: bool
    is_file: bool
    handle: zipfile.ZipInfo | tarfile.TarInfo


def looks_like_html(path: Path) -> bool:
    """Say whether a file begins like a web page, which some servers send in place of what was asked for."""
    with path.open("rb") as stream:
        return stream.read(512).lstrip().lower().startswith(_HTML)


def wanted_path(name: str, keep: tuple[str, ...]) -> str | None:
    """Return the path below the wrapping folders if the end of `name` matches a pattern, else None.

    A pattern has as many parts as the path it keeps: `a/*.txt` keeps `x/y/a/b.txt` as `a/b.txt`. What macOS
    adds to archives is never wanted.
    """
    parts = PurePosixPath(name).parts
    if not parts or "__MACOSX" in parts or parts[-1].startswith("._"):
        return None
    for pattern in keep:
        wanted = pattern.split("/")
        tail = parts[-len(wanted) :]
        if len(tail) == len(wanted) and all(map(fnmatch.fnmatchcase, tail, wanted)):
            return "/".join(tail)
    return None


def unpack(archive: Path, folder: Path, keep: tuple[str, ...], limits: Limits) -> list[str]:
    """Unpack the wanted files of a zip or tar archive into `folder`; return their paths in it, sorted.

    Refused with DataError, naming the archive and the member: names that are absolute, hold '..' or a
    backslash; wanted members that are links, devices or encrypted, or that come twice; more files or bytes
    than `limits` allow, by what the archive says and by what really comes out; damaged contents.
    """
    with ExitStack() as stack:
        opened = _open(archive, stack)
        try:
            members = list(_members(opened))
            chosen = _choose(archive, members, keep, limits)
            _check_space(archive, folder, sum(member.size for member in chosen.values()))
            left = limits.max_bytes
            for path, member in chosen.items():
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= _write(opened, member, target, left, archive)
        except (
            zipfile.BadZipFile,
            tarfile.TarError,
            zlib.error,
            lzma.LZMAError,
            EOFError,
            NotImplementedError,
        ) as error:
            raise DataError(f"{archive}: the archive is damaged ({error}); delete it and fetch it again") from error
    return sorted(chosen)


def _open(archive: Path, stack: ExitStack) -> zipfile.ZipFile | tarfile.TarFile:
    try:
        if zipfile.is_zipfile(archive):
            return stack.enter_context(zipfile.ZipFile(archive))
        return stack.enter_context(tarfile.open(archive, mode="r:*"))
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        with archive.open("rb") as stream:
            begin = stream.read(16)
        raise DataError(
            f"{archive}: expected a zip or tar archive, found {archive.stat().st_size} bytes that begin with "
            f"{begin!r}; it may be cut off, or of another format: delete it and fetch it again, or unpack it by "
            "hand and name the folder as mirror"
        ) from error


def _members(opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[_Member]:
    if isinstance(opened, zipfile.ZipFile):
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            plain = kind in (0, stat.S_IFREG) and not info.flag_bits & 0x1
            # ZipInfo.filename has been changed by the library; the name as stored is what must be judged.
            is_folder = info.orig_filename.endswith("/")
            yield _Member(info.orig_filename, info.file_size, info.compress_size, is_folder, plain, info)
    else:
        for member in opened:
            yield _Member(member.name, member.size, None, member.isdir(), member.isreg(), member)


def _choose(archive: Path, members: list[_Member], keep: tuple[str, ...], limits: Limits) -> dict[str, _Member]:
    if len(members) > limits.max_files:
        raise DataError(f"{archive}: holds {len(members)} files, more than max_files {limits.max_files}")
    chosen: dict[str, _Member] = {}
    for member in members:
        _check_name(archive, member.name)
        path = None if member.is_folder else wanted_path(member.name, keep)
        if path is None:
            continue
        if not member.is_file:
            raise DataError(f"{archive}: '{member.name}' is a link, a device or encrypted, which is refused")
        if path in chosen:
            raise DataError(f"{archive}: '{path}' is in it twice ('{chosen[path].name}' and '{member.name}')")
        if member.packed is not None and member.size > max(_RATIO_COUNTS_FROM, _HIGHEST_RATIO * member.packed):
            raise DataError(
                f"{archive}: '{member.name}' unpacks {member.packed} to {member.size} bytes: a decompression bomb?"
            )
        chosen[path] = member
    if not chosen:
        raise DataError(f"{archive}: holds none of the wanted files ({', '.join(keep)}); is it the right archive?")
    total = sum(member.size for member in chosen.values())
    if total > limits.max_bytes:
        raise DataError(f"{archive}: unpacks to {total} bytes, more than max_bytes {limits.max_bytes}")
    return chosen


def _check_name(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:|.*[\\\0]", name, re.DOTALL):
        raise DataError(f"{archive}: member {name!r} points outside the folder; the archive is refused")


def _check_space(archive: Path, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{archive}: unpacks to {needed} bytes, but {folder} has {free} left; make room")


def _write(opened: zipfile.ZipFile | tarfile.TarFile, member: _Member, target: Path, left: int, archive: Path) -> int:
    written = 0
    with _stream(opened, member) as source, target.open("wb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            written += len(chunk)
            if written > min(left, member.size):
                raise DataError(f"{archive}: '{member.name}' holds more bytes than it says ({member.size})")
            sink.write(chunk)
    if written != member.size:
        raise DataError(f"{archive}: '{member.name}' ends after {written} of {member.size} bytes; fetch it again")
    return written


def _stream(opened: zipfile.ZipFile | tarfile.TarFile, member: _Member) -> IO[bytes]:
    if isinstance(opened, zipfile.ZipFile):
        assert isinstance(member.handle, zipfile.ZipInfo)
        return opened.open(member.handle)
    assert isinstance(member.handle, tarfile.TarInfo)
    stream = opened.extractfile(member.handle)
    if stream is None:
        raise DataError(f"'{member.name}' is not a file")
    return stream
