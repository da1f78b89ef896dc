"""Half-written files that a killed process left: told by their names, as `storage.files` gives them, and removed."""

import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

RESULT_NEUTRAL = True  # clears up after killed processes

# `.<name>.<eight letters of mkstemp><suffix of the name>`, beside the file that it was to become.
_HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}(?P<suffix>\.[^.]+)")


def is_half_written(name: str) -> bool:
    """Say whether a file's name is that of a file that was never finished."""
    found = _HALF_WRITTEN.fullmatch(name)
    return found is not None and found["name"].endswith(found["suffix"])


def half_written(folder: Path, without: Collection[str] = ()) -> Iterator[Path]:
    """Yield the half-written files below `folder`; links and folders named in `without` are not followed."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in without]
        yield from (Path(place, name) for name in files if is_half_written(name))


def remove_half_written(folder: Path, without: Collection[str] = ()) -> int:
    """Remove the half-written files below `folder`; nobody may be writing there. Return how many there were."""
    found = list(half_written(folder, without))
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)
