"""Getting a source into its folder: from its address or a mirror, checked, its manifest written last."""

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from gmner.config.sources import Source
from gmner.download.archive import Limits, unpack, wanted_path
from gmner.errors import DataError, MissingInputError
from gmner.storage.files import files_below, read_json, refuse_special, sha256_of_file, sync_path, sync_tree, write_json
from gmner.storage.locks import held

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
# Both lie in the source's own folder, so that the last step is a rename and a broken transfer can go on.
_PARTIAL, _INCOMING = ".partial", ".incoming"
# The same as the manifest. Snakemake removes the manifest of a job that was killed behind its last step; what was
# fetched is complete all the same.
_KEPT_MANIFEST = ".manifest.json"


def download(name: str, source: Source, out_dir: Path) -> dict[str, Any]:
    """Fill `out_dir` with the source's files and write its `manifest.json` last; return the manifest.

    A complete folder is left as it is. What was fetched before an interruption is used. Raises
    MissingInputError if something cannot be had and DataError if it is not what it should be.
    """
    try:
        with held(out_dir) if _complete(source, out_dir) is None else contextlib.nullcontext():
            done = _complete(source, out_dir)  # perhaps by the one that held it
            if done is None and (done := _complete(source, out_dir, _KEPT_MANIFEST)) is not None:
                shutil.rmtree(out_dir / _PARTIAL, ignore_errors=True)
                write_json(out_dir / MANIFEST, done)
            if done is not None:
                log.info("%s: complete in %s, nothing to do", name, out_dir)
                return done
            try:
                return _download(name, source, out_dir)
            finally:
                shutil.rmtree(out_dir / _INCOMING, ignore_errors=True)
    except OSError as error:
        raise DataError(f"{name}: cannot be put into {out_dir} ({error}); fix this and rerun") from error


def _download(name: str, source: Source, out_dir: Path) -> dict[str, Any]:
    incoming, partial = out_dir / _INCOMING, out_dir / _PARTIAL
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    (out_dir / MANIFEST).unlink(missing_ok=True)
    paths = _fill(name, source, incoming, partial)
    files = [_describe(incoming, path) for path in paths]
    _check_files(name, source, files, partial)
    digest = tree_digest(files)
    if source.tree_sha256 is not None and digest != source.tree_sha256:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataError(
            f"{name}: the {len(files)} files do not have the known contents: expected tree_sha256 "
            f"{source.tree_sha256}, found {digest}; another version? Check the mirror, or set "
            f"sources.{name}.tree_sha256 to null to take the files as they are"
        )
    manifest = {
        "name": name,
        "url": source.url,
        "taken_from": source.mirror or source.url,
        "keep": list(source.keep),
        "tree_sha256": digest,
        "files": files,
    }
    (out_dir / _KEPT_MANIFEST).unlink(missing_ok=True)
    sync_tree(incoming)  # the bytes before the names that say they are there, the names before the manifest
    _move_in(incoming, out_dir)
    sync_path(out_dir)
    write_json(out_dir / _KEPT_MANIFEST, manifest)
    shutil.rmtree(partial, ignore_errors=True)
    write_json(out_dir / MANIFEST, manifest)
    log.info("%s: %d files in %s", name, len(files), out_dir)
    return manifest


def tree_digest(files: list[dict[str, Any]]) -> str:
    """Return the SHA-256 over the lines `<sha256>  <path>` of all files, in the order of their paths."""
    digest = hashlib.sha256()
    for entry in sorted(files, key=lambda entry: entry["path"]):
        digest.update(f"{entry['sha256']}  {entry['path']}\n".encode())
    return digest.hexdigest()


def _complete(source: Source, out_dir: Path, name: str = MANIFEST) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = read_json(out_dir / name)
        same = manifest["url"] == source.url and manifest["keep"] == list(source.keep)
        same = same and source.tree_sha256 in (None, manifest["tree_sha256"])
        whole = all((out_dir / entry["path"]).stat().st_size == entry["bytes"] for entry in manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if same and whole and manifest["files"] else None


def _fill(name: str, source: Source, incoming: Path, partial: Path) -> list[str]:
    """Put the source's files into `incoming`; return their paths in it."""
    place = source.mirror or source.url
    local = _local_path(place)
    if local is not None and not local.exists():
        raise MissingInputError(f"sources.{name}.mirror: {local} does not exist; name a file or folder that does")
    if local is not None:
        refuse_special(local)
    if source.files:
        return [_one_file(name, source, local, place, file, incoming, partial) for file in source.files]
    limits = Limits(source.max_files, source.max_bytes)
    if local is None:
        archive = partial / _archive_name(source)
        url = place + archive.name if place.endswith("/") else place
        _fetch(name, source, url, archive)
    elif local.is_dir() and not (local / _archive_name(source)).is_file():
        return list(_copy_unpacked(name, source, local, incoming))
    else:
        archive = local / _archive_name(source) if local.is_dir() else local
    _check_sum(name, source, archive, archive.name, partial)
    try:
        return unpack(archive, incoming, source.keep, limits)
    except DataError as error:
        if local is None:
            archive.unlink(missing_ok=True)  # or the next run would stumble over it again
        raise DataError(f"{name}: {error}") from error


def _one_file(
    name: str, source: Source, local: Path | None, place: str, file: str, incoming: Path, partial: Path
) -> str:
    target = incoming / file
    if local is None:
        _fetch(name, source, f"{place.rstrip('/')}/{file}", partial / file)
        shutil.copyfile(partial / file, target)
    elif (local / file).is_file():
        shutil.copyfile(local / file, target)
    else:
        raise MissingInputError(
            f"sources.{name}.mirror: {local / file} is missing; expected {', '.join(source.files)} in {local}"
        )
    return file


def _fetch(name: str, source: Source, url: str, target: Path) -> None:
    from gmner.download.http import fetch_file  # local mirrors need no network library

    remedy = (
        f"or set sources.{name}.mirror to another address or to a local copy "
        f"({', '.join(source.files) or _archive_name(source)})"
    )
    fetch_file(url, target, source.retries, source.timeout_seconds, remedy)


def _copy_unpacked(name: str, source: Source, folder: Path, incoming: Path) -> Iterator[str]:
    found = 0
    for path in sorted(files_below(folder)):
        wanted = wanted_path(path.relative_to(folder).as_posix(), source.keep)
        if wanted is None:
            continue
        refuse_special(path)
        if (incoming / wanted).exists():
            raise DataError(f"sources.{name}.mirror: '{wanted}' is in {folder} twice, once as {path}")
        (incoming / wanted).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, incoming / wanted)
        found += 1
        yield wanted
    if not found:
        raise MissingInputError(
            f"sources.{name}.mirror: {folder} holds neither {_archive_name(source)} nor files like "
            f"{', '.join(source.keep)}"
        )


def _local_path(place: str) -> Path | None:
    parts = urlsplit(place)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    return None if "://" in place else Path(place).expanduser()


def _archive_name(source: Source) -> str:
    return source.file_name or Path(unquote(urlsplit(source.url).path)).name or "archive"


def _describe(folder: Path, path: str) -> dict[str, Any]:
    return {"path": path, "bytes": (folder / path).stat().st_size, "sha256": sha256_of_file(folder / path)}


def _check_sum(name: str, source: Source, path: Path, known_as: str, partial: Path) -> None:
    expected = source.sha256.get(known_as)
    if expected is None:
        return
    found = sha256_of_file(path)
    if found != expected:
        _refuse_sum(name, known_as, expected, found, partial)


def _check_files(name: str, source: Source, files: list[dict[str, Any]], partial: Path) -> None:
    for entry in files:
        expected = source.sha256.get(entry["path"])
        if expected is not None and entry["sha256"] != expected:
            _refuse_sum(name, entry["path"], expected, entry["sha256"], partial)


def _refuse_sum(name: str, file: str, expected: str, found: str, partial: Path) -> None:
    shutil.rmtree(partial, ignore_errors=True)
    raise DataError(
        f"{name}: {file} has SHA-256 {found}, expected {expected}; what was fetched is removed: rerun, and if it "
        f"stays so, check sources.{name}.mirror and sources.{name}.sha256"
    )


def _move_in(incoming: Path, out_dir: Path) -> None:
    for child in sorted(incoming.iterdir()):
        target = out_dir / child.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        child.rename(target)
    incoming.rmdir()
