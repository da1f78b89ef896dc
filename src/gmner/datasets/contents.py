"""A hash that stands for what a user's folders hold: two different contents never give the same samples by mistake."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

from gmner.errors import ConfigError
from gmner.storage.files import files_below

RESULT_NEUTRAL = True  # says what changed, not what comes of it

ANNOTATION_SUFFIXES = frozenset({".txt", ".xml", ".jsonl", ".json", ".conll"})
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def contents_hash(folders: Mapping[str, str]) -> str | None:
    """Return a hash over folders by what they hold (`annotations`, `images`), 16 hex digits; None if there are none.

    Annotation files count by their bytes, images by size and time of change: hashing gigabytes before each plan would
    take minutes. A folder that is a link, or that holds links, counts by what the links lead to. Raises ConfigError if
    a folder of annotations is missing; a missing folder of images is an empty one: the samples stage refuses it.
    """
    if not folders:
        return None
    return _hash(tuple(sorted(folders.items())))


@functools.cache
def _hash(folders: tuple[tuple[str, str], ...]) -> str:
    digest = hashlib.sha256()
    for holds, name in folders:
        if holds == "annotations" and not Path(name).is_dir():
            raise ConfigError(f"datasets: no folder at '{name}'; the path is relative to the working directory")
        for path in sorted(path for path in files_below(name) if path.is_file()):  # no pipe, no broken link
            suffix, below = path.suffix.lower(), path.relative_to(name).as_posix()
            if suffix in IMAGE_SUFFIXES:
                state = path.stat()
                digest.update(
                    f"{holds}\0{below}\0{state.st_size}\0{state.st_mtime_ns}\0".encode("utf-8", "surrogateescape")
                )
            elif holds == "annotations" and suffix in ANNOTATION_SUFFIXES:
                digest.update(f"{below}\0".encode("utf-8", "surrogateescape"))
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
