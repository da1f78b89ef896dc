"""Backbones of the Hugging Face hub: one pinned revision, fetched once into a folder that works offline."""

import logging
import shutil
from pathlib import Path
from typing import Any

from gmner.backbones.folder import check_backbone, finish_backbone
from gmner.errors import DataError, MissingInputError
from gmner.files import sha256_of_file

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
    partial = out_dir.parent / f".{out_dir.name}.partial-{revision[:12]}"
    if mirror and not _is_url(mirror):
        _copy_folder(Path(mirror), partial)
    else:
        _download(model_id, revision, mirror, partial)
    check_backbone(partial)
    finish_backbone(partial, out_dir, {"kind": "hub", "id": model_id, "revision": revision})


def _is_url(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _download(model_id: str, revision: str, endpoint: str | None, partial: Path) -> None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    log.info("backbone: fetching %s at %s into %s", model_id, revision, partial)
    try:
        known = HfApi(endpoint=endpoint).model_info(model_id, revision=revision, files_metadata=True)
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
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MissingInputError(
            f"backbone {model_id} at {revision}: not reachable at {endpoint or 'the hub'} ({_first_line(error)}); "
            "what came is kept: run again to go on, or set the backbone's 'mirror' to another endpoint or folder"
        ) from error
    if known.sha != revision:
        raise DataError(f"backbone {model_id}: asked for revision {revision}, the hub gave {known.sha}")
    _check_digests(partial, known.siblings or [])


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
