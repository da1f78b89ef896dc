"""What a trained run's folder says about itself: everything inference must know to ask the same question."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.core.frame import Frame
from gmner.errors import DataError
from gmner.prompts.model import prompt_version
from gmner.storage.files import read_json, sha256_of_file, sync_tree, write_json

RUN_FILE = "run.json"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class RunInfo:
    """The frame, the prompt and the backbone a run was trained with.

    `backbone` has its id, revision and the digest of its manifest; `prompt` is the version's name and
    `prompt_version` the name with the hash of its wording. `details` is for readers: settings, rows, scores.
    """

    frame: Frame
    prompt: str
    prompt_version: str
    types: tuple[str, ...]
    cot: bool
    backbone: dict[str, Any]
    details: dict[str, Any]

    def write(self, folder: Path) -> None:
        """Write run.json into `folder`."""
        write_json(
            folder / RUN_FILE,
            {
                "frame": self.frame.to_json(),
                "prompt": self.prompt,
                "prompt_version": self.prompt_version,
                "types": list(self.types),
                "cot": self.cot,
                "backbone": self.backbone,
                "details": self.details,
            },
        )


def read_run(folder: Path | str) -> RunInfo:
    """Read run.json of a finished run.

    Raises DataError if the folder is not a finished run, and where the prompt's wording has changed since.
    """
    place = Path(folder)
    for name in (RUN_FILE, MANIFEST_FILE):
        if not (place / name).exists():
            raise DataError(f"{place / name}: missing; expected the folder of a finished run: run the train stage")
    try:
        found = read_json(place / RUN_FILE)
        run = RunInfo(
            frame=Frame.from_json(found["frame"]),
            prompt=found["prompt"],
            prompt_version=found["prompt_version"],
            types=tuple(found["types"]),
            cot=found["cot"],
            backbone=found["backbone"],
            details=found["details"],
        )
    except KeyError as error:
        raise DataError(
            f"{place / RUN_FILE}: no {error}; an older version wrote it: run the train stage again"
        ) from error
    except (ValueError, TypeError) as error:
        raise DataError(f"{place / RUN_FILE}: damaged ({error}); run the train stage again") from error
    if prompt_version(run.prompt) != run.prompt_version:
        raise DataError(
            f"{place}: trained with prompt {run.prompt_version}, but its wording is {prompt_version(run.prompt)} now; "
            "run the train stage again"
        )
    return run


def write_manifest(folder: Path, about: dict[str, Any] | None = None) -> None:
    """Write manifest.json, the last file of a finished folder: the SHA-256 and size of every other file.

    All of them are flushed to the disk before.
    """
    sync_tree(folder)
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_of_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_FILE and not path.name.startswith(".")
    }
    write_json(folder / MANIFEST_FILE, {**(about or {}), "files": files})


def is_whole(folder: Path) -> bool:
    """Say whether a folder has a manifest and every file that it lists, with the bytes that it lists."""
    try:
        listed = read_json(folder / MANIFEST_FILE)["files"]
        return all(sha256_of_file(folder / name) == known["sha256"] for name, known in listed.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
