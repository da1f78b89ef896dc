"""A backbone's folder: what must be in it, and how it becomes complete."""

import json
import shutil
from pathlib import Path
from typing import Any

from gmner.errors import DataError, MissingInputError
from gmner.run_folder import write_manifest


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

    Raises DataError where `out_dir` holds something else.
    """
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "config.json").exists():
        raise DataError(
            f"{out_dir}: holds files that are no backbone, which would be lost; remove them or choose another"
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    (partial / "manifest.json").unlink(missing_ok=True)
    if out_dir.exists():
        shutil.rmtree(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    partial.replace(out_dir)
    write_manifest(out_dir, about)


def copy_backbone(source: Path, out_dir: Path, about: dict[str, Any], hint: str) -> None:
    """Copy a backbone that is on this machine into `out_dir`; `hint` says what to do where it is not.

    What the source's own manifest says (seed, scores, command) is kept under `source`.
    """
    if not (source / "config.json").exists():
        raise MissingInputError(f"backbone: {source} has no config.json, so it is not a model's folder; {hint}")
    check_backbone(source)
    partial = out_dir.parent / f".{out_dir.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, copy_function=shutil.copyfile)
    told = source / "manifest.json"
    known = {"source": json.loads(told.read_text(encoding="utf-8"))} if told.exists() else {}
    finish_backbone(partial, out_dir, {**known, **about})


def _weights_of(folder: Path) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return {"model.safetensors"}
    return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
