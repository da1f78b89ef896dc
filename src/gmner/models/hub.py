"""Backbones of the Hugging Face hub: one pinned revision, fetched once into a folder that works offline."""

import fnmatch
import logging
from pathlib import Path

from gmner.errors import DataError, MissingInputError
from gmner.models.folder import Accept, bring_file, check_backbone, finish_backbone, mark_complete
from gmner.storage.files import sync_tree
from gmner.storage.locks import held

RESULT_NEUTRAL = True  # files arrive with the hub's own checksums or not at all

log = logging.getLogger(__name__)

# Weights as safetensors only: a pickle can run code when it is loaded, and code files are never run.
WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.jinja", "LICENSE*")
UNWANTED = (".*", "*.bin", "*.py", "*.pt", "*.pth", "*.gguf", "*.onnx", "original/*", "onnx/*")


def fetch_hub(model_id: str, revision: str, mirror: str | None, out_dir: Path, accept: Accept | None = None) -> None:
    """Fetch a model into `out_dir`; an interrupted call resumes where it stopped.

    `mirror` is another endpoint (a URL) or a local folder with the model's files. Files are gathered beside
    `out_dir`, compared with the hub's checksums, looked at by `accept` and moved there at once. Raises
    MissingInputError if the model cannot be reached and DataError if a file is not what it must be.
    """
    about = {"kind": "hub", "id": model_id, "revision": revision}
    partial = out_dir.parent / f".{out_dir.name}.partial-{revision[:12]}"
    with held(out_dir):
        if mirror and not _is_url(mirror):
            _gather_folder(Path(mirror), partial)
        elif _download(model_id, revision, mirror, partial, out_dir):
            (accept or check_backbone)(out_dir)
            sync_tree(out_dir)
            mark_complete(out_dir, about)
            return
        (accept or check_backbone)(partial)
        finish_backbone(partial, out_dir, about)


def _is_url(mirror: str) -> bool:
    return mirror.startswith(("http://", "https://"))


def _download(model_id: str, revision: str, endpoint: str | None, partial: Path, out_dir: Path) -> bool:
    """Fetch into `partial`; or return True if `out_dir` has all files already: another run fetched them."""
    from huggingface_hub import HfApi, snapshot_download

    # HTTPError is the transport's own: huggingface_hub lets it through when a connection keeps breaking.
    from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, RepositoryNotFoundError  # type: ignore[attr-defined]

    log.info("backbone: fetching %s at %s into %s", model_id, revision, partial)
    try:
        api = HfApi(endpoint=endpoint)
        known = api.model_info(model_id, revision=revision)
        if known.sha != revision:
            raise DataError(f"backbone {model_id}: asked for revision {revision}, the hub gave {known.sha}")
        if out_dir.is_dir():
            there = api.verify_repo_checksums(model_id, revision=revision, local_dir=out_dir)
            wrong = [*(one["path"] for one in there.mismatches), *there.missing_paths]
            if there.checked_count and not any(map(_is_wanted, wrong)):
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
        found = api.verify_repo_checksums(model_id, revision=revision, local_dir=partial)
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
    for one in found.mismatches:
        (partial / one["path"]).unlink(missing_ok=True)
    if found.mismatches:
        first = found.mismatches[0]
        raise DataError(
            f"{partial / first['path']}: its {first['algorithm']} is {first['actual']}, the hub says "
            f"{first['expected']}; {len(found.mismatches)} such files were removed: rerun to fetch them again"
        )
    return False


def _is_wanted(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in WANTED) and not any(
        fnmatch.fnmatch(name, pattern) for pattern in UNWANTED
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _gather_folder(source: Path, partial: Path) -> None:
    if not source.is_dir():
        raise MissingInputError(f"backbone: the mirror {source} is not a folder; give one with the model's files")
    partial.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and _is_wanted(path.name) and path.name not in ("manifest.json", ".times.json"):
            (partial / path.name).unlink(missing_ok=True)
            bring_file(path, partial / path.name)
