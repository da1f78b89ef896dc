"""A backbone's folder: what must be in it, and how it becomes complete."""

import filecmp
import json
import shutil
from pathlib import Path
from typing import Any

from gmner.errors import DataError, MissingInputError
from gmner.models.adapter_folder import write_manifest
from gmner.storage.locks import held


def check_backbone(folder: Path) -> None:
    """Raise DataError where a folder lacks what a later, offline stage needs: config, tokenizer, all weights."""
    needed = {"config.json", "tokenizer.json", *_weights_of(folder)}
    missing = sorted(name for name in needed if not (folder / name).exists())
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} files of the model are missing: {', '.join(missing[:5])}; expected config.json, "
            "tokenizer.json and every safetensors file: complete the folder, or remove it and run again"
        )


def finish_backbone(partial: Path, out_dir: Path, about: dict[str, Any]) -> None:
    """Move a gathered folder to `out_dir`, replacing the backbone that is there, and write its manifest last.

    One with the same files is left alone, for others may be reading it. Raises DataError where `out_dir` holds
    something else.
    """
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "config.json").exists():
        raise DataError(
            f"{out_dir}: holds files that are no backbone, which would be lost; remove them or choose another"
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    (partial / "manifest.json").unlink(missing_ok=True)
    old = out_dir.parent / f".{out_dir.name}.old"
    shutil.rmtree(old, ignore_errors=True)
    if same_files(partial, out_dir):
        shutil.rmtree(partial)
    else:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        if out_dir.exists():
            out_dir.replace(old)  # at once: half of a folder would be none that may be replaced
        partial.replace(out_dir)
        shutil.rmtree(old, ignore_errors=True)
    write_manifest(out_dir, about)


def same_files(first: Path, second: Path) -> bool:
    """Say whether two folders hold the same files with the same bytes, manifests aside."""
    names = [
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} - {Path("manifest.json")}
        for folder in (first, second)
    ]
    return names[0] == names[1] and all(filecmp.cmp(first / name, second / name, shallow=False) for name in names[0])


def copy_backbone(source: Path, out_dir: Path, about: dict[str, Any], hint: str) -> None:
    """Copy a backbone that is on this machine into `out_dir`; `hint` says what to do where it is not.

    What the source's own manifest says (seed, scores, command) is kept under `source`.
    """
    if not (source / "config.json").exists():
        raise MissingInputError(f"backbone: {source} has no config.json, so it is not a model's folder; {hint}")
    check_backbone(source)
    partial = out_dir.parent / f".{out_dir.name}.partial"
    with held(out_dir):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _copy_files(source, partial)
            told = source / "manifest.json"
            known = {"source": json.loads(told.read_text(encoding="utf-8"))} if told.exists() else {}
            finish_backbone(partial, out_dir, {**known, **about})
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _copy_files(source: Path, target: Path) -> None:
    """Copy the files below a folder in the order of their names; what fails first is then the same everywhere."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        copied = target / path.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copied)


def _weights_of(folder: Path) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return {"model.safetensors"}
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
