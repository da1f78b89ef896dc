"""A hash that stands for what a user's folders hold: two different contents never give the same samples by mistake."""

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from gmner.errors import ConfigError

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
        for path, below in sorted(_files(Path(name)), key=lambda found: found[1]):
            suffix = path.suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                state = path.stat()
                digest.update(
                    f"{holds}\0{below}\0{state.st_size}\0{state.st_mtime_ns}\0".encode("utf-8", "surrogateescape")
                )
            elif holds == "annotations" and suffix in ANNOTATION_SUFFIXES:
                digest.update(f"{below}\0".encode("utf-8", "surrogateescape"))
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the plain files below a folder with their paths in it; links are followed, a circle of them once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(root, followlinks=True):
        state = Path(place).stat()
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders.sort()
        for name in files:
            path = Path(place, name)
            if path.is_file():  # no pipe, no device, no broken link
                yield path, path.relative_to(root).as_posix()
