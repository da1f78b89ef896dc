"""Whether a local backbone's files have changed: asked while a workflow is planned, so nothing heavy is imported."""

import hashlib
from pathlib import Path

from gmner.storage.files import sha256_of_file

RESULT_NEUTRAL = True  # says that files changed, not what they hold

TIMES_FILE = ".times.json"
"""Sizes and times of a backbone's files when their digests were last known to be right; no result depends on it."""
OUR_FILES = frozenset({"manifest.json", TIMES_FILE})


def content_of_backbone(folder: Path) -> str | None:
    """Return a hash that changes if a local backbone's files do; None if the folder is not there (yet).

    Of weights the size and the time are taken, of the small files beside them the bytes.
    """
    if not folder.is_dir():
        return None
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in OUR_FILES):
        found = path.stat()
        large = path.suffix == ".safetensors"
        told = f"{found.st_size} {found.st_mtime_ns}" if large else sha256_of_file(path)
        digest.update(f"{path.relative_to(folder).as_posix()}\0{told}\0".encode())
    return digest.hexdigest()[:16]
