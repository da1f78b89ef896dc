"""A working folder of its own for a workflow: the project's files linked, a configuration, and waiting for a file."""

import json
import time
from pathlib import Path

LINKED = ("Snakefile", "rules", "profiles", "workflow", "envs", "src", "config.yaml")
LIMIT_S = 120


def folder_of(place: Path, repo: Path, config: dict[str, object]) -> Path:
    place.mkdir()
    for name in LINKED:
        (place / name).symlink_to(repo / name)
    (place / "small.yaml").write_text(json.dumps(config), encoding="utf-8")
    return place


def wait_for(pattern: str, folder: Path) -> None:
    end = time.monotonic() + LIMIT_S
    while not any(folder.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.05)
