"""A backbone's folder: what must be in it, how it becomes complete, and whether it is still what it was."""

import contextlib
import filecmp
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gmner.core.frame import Frame
from gmner.errors import DataError, MissingInputError
from gmner.models.adapter_folder import MANIFEST_FILE, write_manifest
from gmner.models.content import OUR_FILES, TIMES_FILE
from gmner.models.families import check_family, seam_of_folder
from gmner.storage.files import read_json, sha256_of_file, sync_path, sync_tree, write_json
from gmner.storage.locks import held

Accept = Callable[[Path], None]
"""Raises DataError for a folder that is not the backbone it should be."""


def check_backbone(folder: Path) -> None:
    """Raise DataError if a folder lacks what a later, offline stage needs: config, tokenizer, all weights."""
    needed = {"config.json", "tokenizer.json", *_weights_of(folder)}
    missing = sorted(name for name in needed if not (folder / name).exists())
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} files of the model are missing: {', '.join(missing[:5])}; expected config.json, "
            "tokenizer.json and every safetensors file: complete the folder, or remove it and run again"
        )


def accept_backbone(folder: Path, family: str, frame: Frame) -> None:
    """Raise DataError if a folder is incomplete, of another family, or has a chat template that takes no images.

    Nobody should learn that from the first sample of a training on a rented GPU.
    """
    check_backbone(folder)
    check_family(folder, family)
    seam_of_folder(folder).load_processor(folder, frame)


def finish_backbone(partial: Path, out_dir: Path, about: dict[str, Any]) -> None:
    """Move a gathered folder to `out_dir`, replacing the backbone that is there, and write its manifest last.

    All files are flushed to the disk before the manifest says that they are complete. A backbone with the same files
    is left alone, for others may be reading it. Raises DataError if `out_dir` holds something else.
    """
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "config.json").exists():
        raise DataError(
            f"{out_dir}: holds files that are no backbone, which would be lost; remove them or choose another"
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    (partial / MANIFEST_FILE).unlink(missing_ok=True)
    old = out_dir.parent / f".{out_dir.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if same_files(partial, out_dir):
        shutil.rmtree(partial)
    else:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        sync_tree(partial)
        if out_dir.exists():
            out_dir.replace(old)  # at once: half of a folder would be none that may be replaced
        partial.replace(out_dir)
        shutil.rmtree(old, ignore_errors=True)
    mark_complete(out_dir, about)


def mark_complete(folder: Path, about: dict[str, Any]) -> None:
    """Write a backbone's manifest, and note the files' sizes and times so that loading need not read them again."""
    sync_path(folder.parent)
    write_manifest(folder, about)
    _note_times(folder, read_json(folder / MANIFEST_FILE)["files"])


def same_files(first: Path, second: Path) -> bool:
    """Say whether two folders hold the same files with the same bytes, manifests aside."""
    names = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} - _OURS for folder in (first, second)
    ]
    return names[0] == names[1] and all(_same_file(first / name, second / name) for name in names[0])


def _same_file(first: Path, second: Path) -> bool:
    return first.samefile(second) or filecmp.cmp(first, second, shallow=False)


def copy_backbone(source: Path, out_dir: Path, about: dict[str, Any], hint: str, accept: Accept | None = None) -> None:
    """Bring a backbone that is on this machine into `out_dir`; `hint` says what to do if it is not.

    Weights are linked, not copied. What the source's own manifest says (seed, scores, command) is kept under `source`.
    """
    if not (source / "config.json").exists():
        raise MissingInputError(f"backbone: {source} has no config.json, so it is not a model's folder; {hint}")
    (accept or check_backbone)(source)
    partial = out_dir.parent / f".{out_dir.name}.partial"
    with held(out_dir):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _bring_files(source, partial)
            told = source / MANIFEST_FILE
            known = {"source": json.loads(told.read_text(encoding="utf-8"))} if told.exists() else {}
            finish_backbone(partial, out_dir, {**known, **about})
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _bring_files(source: Path, target: Path) -> None:
    """Bring the files below a folder in the order of their names; what fails first is then the same everywhere."""
    for path in sorted(path for path in source.rglob("*") if path.is_file() and path.name != TIMES_FILE):
        there = target / path.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        bring_file(path, there)


def bring_file(source: Path, target: Path) -> None:
    """Link weights, which take gigabytes, and copy anything else.

    A hard link outlives the removal of the source; a symbolic one serves if the source lies on another file system.
    """
    if source.suffix != ".safetensors":
        shutil.copyfile(source, target)
        return
    real = source.resolve()
    try:
        os.link(real, target)
    except OSError:
        try:
            target.symlink_to(real)
        except OSError:
            shutil.copyfile(real, target)


_OURS = {Path(name) for name in OUR_FILES}


def verify_backbone(folder: Path) -> None:
    """Raise DataError if a file of a finished backbone is not the one that its manifest lists.

    Cheap as long as sizes and times are those noted; a file whose time has changed is read and its digest compared.
    """
    listed = read_json(folder / MANIFEST_FILE).get("files", {})
    noted = _noted_times(folder)
    if {name: _times_of(folder / name) for name in listed} == noted:
        return
    for name, known in sorted(listed.items()):
        path = folder / name
        if not path.exists():
            raise _changed(path, "it is missing")
        times = _times_of(path)
        if times is not None and times[0] != known.get("bytes", times[0]):
            raise _changed(path, f"it has {times[0]} bytes, the manifest says {known['bytes']}")
        if times != noted.get(name) and sha256_of_file(path) != known["sha256"]:
            raise _changed(path, "its SHA-256 is not the manifest's")
    _note_times(folder, listed)


def _changed(path: Path, how: str) -> DataError:
    return DataError(
        f"{path}: changed since the backbone stage finished ({how}); delete {path.parent / MANIFEST_FILE} and rerun to "
        "make the backbone again"
    )


def _times_of(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _noted_times(folder: Path) -> dict[str, list[int]]:
    with contextlib.suppress(OSError, ValueError):
        found = read_json(folder / TIMES_FILE)
        return found if isinstance(found, dict) else {}
    return {}


def _note_times(folder: Path, names: Iterable[str]) -> None:
    with contextlib.suppress(OSError):  # in a folder that may only be read, files are read again each time
        write_json(folder / TIMES_FILE, {name: _times_of(folder / name) for name in names})


def _weights_of(folder: Path) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return {"model.safetensors"}
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
