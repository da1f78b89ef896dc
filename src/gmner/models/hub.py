"""Backbones of the Hugging Face hub: one pinned revision, fetched once into a folder that works offline."""

import fnmatch
import logging
import shutil
from pathlib import Path
from typing import Any

from gmner.errors import DataError, MissingInputError
from gmner.models.adapter_folder import write_manifest
from gmner.models.folder import check_backbone, finish_backbone
from gmner.storage.files import sha256_of_file
from gmner.storage.locks import held

log = logging.getLogger(__name__)

# Weights as safetensors only: a pickle can run code when it is loaded, and code files are never run.
WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.jinja", "LICENSE*")
UNWANTED = ("*.bin", "*.py", "*.pt", "*.pth", "*.gguf", "*.onnx", "original/*", "onnx/*")


def fetch_hub(model_id: str, revision: str, mirror: str | None, out_dir: Path) -> None:
    """Fetch a model into `out_dir`; an interrupted call goes on where it stopped.

    `mirror` is another endpoint (a URL) or a local folder with the model's files. Files are gathered beside
    `out_dir`, checked (sizes and digests the hub knows, every shard of the weights) and moved there at once.
    Raises MissingInputError where the model cannot be reached and DataError where a file is not what it must be.
    """
    about = {"kind": "hub", "id": model_id, "revision": revision}
    partial = out_dir.parent / f".{out_dir.name}.partial-{revision[:12]}"
    with held(out_dir):
        if mirror and not _is_url(mirror):
            _copy_folder(Path(mirror), partial)
        elif _download(model_id, revision, mirror, partial, out_dir):
            write_manifest(out_dir, about)
            return
        check_backbone(partial)
        finish_backbone(partial, out_dir, about)


def _is_url(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _download(model_id: str, revision: str, endpoint: str | None, partial: Path, out_dir: Path) -> bool:
    """Fetch into `partial`; or return True, where `out_dir` has all files already: another run fetched them."""
    from huggingface_hub import HfApi, snapshot_download

    # HTTPError is the transport's own: huggingface_hub lets it through when a connection keeps breaking.
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, RepositoryNotFoundError  # type: ignore[attr-defined]

    log.info("backbone: fetching %s at %s into %s", model_id, revision, partial)
    try:
        known = HfApi(endpoint=endpoint).model_info(model_id, revision=revision, files_metadata=True)
        if known.sha == revision and _is_whole(out_dir, known.siblings or []):
            log.info("backbone: %s at %s is in %s already", model_id, revision, out_dir)
            return True
        snapshot_download(
            model_id,
            revision=revision,
            local_dir=partial,
            endpoint=endpoint,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    except RepositoryNotFoundError as error:
        raise MissingInputError(
            f"backbone {model_id}: no such model, or it is gated; check the id, or accept its terms on the hub and set "
            "HF_TOKEN"
        ) from error
    except (HTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MissingInputError(
            f"backbone {model_id} at {revision}: not reachable at {endpoint or 'the hub'} ({_first_line(error)}); "
            "what came is kept: run again to go on, or set the backbone's 'mirror' to another endpoint or folder"
        ) from error
    if known.sha != revision:
        raise DataError(f"backbone {model_id}: asked for revision {revision}, the hub gave {known.sha}")
    _check_digests(partial, known.siblings or [])
    return False


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _is_whole(folder: Path, files: list[Any]) -> bool:
    """Say whether every wanted file of a model is in a folder, with the size and the digest that the hub knows."""
    by_name = {file.rfilename: file for file in files}
    names = [name for name in by_name if _fits(name, WANTED) and not _fits(name, UNWANTED)]
    if not names or not all((folder / name).is_file() for name in names):
        return False
    for name in names:
        size, lfs = by_name[name].size, by_name[name].lfs
        if size is None or (folder / name).stat().st_size != size:
            return False
        if lfs and sha256_of_file(folder / name) != lfs.sha256:
            return False
    return True


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _check_digests(folder: Path, files: list[Any]) -> None:
    for file in files:
        path = folder / file.rfilename
        if not path.exists():
            continue
        expected = file.lfs.sha256 if file.lfs else None
        if expected and sha256_of_file(path) != expected:
            path.unlink()
            raise DataError(f"{path}: its SHA-256 is not the hub's {expected}; it was removed: run again")
        if file.size is not None and path.stat().st_size != file.size:
            found = path.stat().st_size
            path.unlink()
            raise DataError(f"{path}: {found} bytes, the hub says {file.size}; it was removed: run again")


def _copy_folder(source: Path, partial: Path) -> None:
    if not source.is_dir():
        raise MissingInputError(f"backbone: the mirror {source} is not a folder; give one with the model's files")
    partial.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        wanted = any(path.match(pattern) for pattern in WANTED) and not any(path.match(p) for p in UNWANTED)
        if path.is_file() and wanted and path.name != "manifest.json":
            there = partial / path.name
            if not there.exists() or there.stat().st_size != path.stat().st_size:
                shutil.copyfile(path, there)
