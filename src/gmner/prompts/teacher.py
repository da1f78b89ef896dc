"""The teacher's prompts: versioned text files, and the words that stand for an annotation."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources

from gmner.core.records import Box, Entity
from gmner.errors import ConfigError

FOLDER = "texts/teacher"


@functools.cache
def prompt_text(name: str) -> str:
    """Return one text of the prompts, for instance `gold-v1-user`. Raises ConfigError if there is none."""
    try:
        path = resources.files("gmner.prompts").joinpath(FOLDER, f"{name}.txt")
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        known = ", ".join(versions())
        raise ConfigError(f"prompt_version: there is no prompt '{name}'; expected one of {known}") from error


def versions() -> list[str]:
    """Return the prompts there are, as `gold-v1`."""
    folder = resources.files("gmner.prompts").joinpath(FOLDER)
    names = sorted(path.name.removesuffix(".txt") for path in folder.iterdir() if path.name.endswith(".txt"))
    return sorted({name.rsplit("-", 1)[0] for name in names})


@functools.cache
def version_with_hash(version: str) -> str:
    """Return a version with a hash of its words, as `gold-v1-1f0c9a2b`: a changed word is another version."""
    folder = resources.files("gmner.prompts").joinpath(FOLDER)
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith(f"{version}-"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version}-{digest.hexdigest()[:8]}"


def files_of_teacher_prompt(prompt: str, version: str) -> tuple[str, ...]:
    """Return the files of a teacher prompt's wording, within the package: what its rationales depend on."""
    folder = resources.files("gmner.prompts").joinpath(FOLDER)
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith(f"{prompt}-{version}-"))
    return tuple(f"prompts/{FOLDER}/{name}" for name in names)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values in the places `{name}` of a text, all at once: braces in a value stay what they are."""
    parts = [text]
    for name, value in values.items():
        place = "{" + name + "}"
        parts = [
            piece
            for index, part in enumerate(parts)
            for piece in (_split(part, place, value) if index % 2 == 0 else [part])
        ]
    return "".join(parts)


def _split(part: str, place: str, value: str) -> list[str]:
    """Split at the places, with the values between: texts at even, values at odd positions."""
    pieces: list[str] = []
    for index, piece in enumerate(part.split(place)):
        pieces += [value, piece] if index else [piece]
    return pieces


def describe_annotation(entities: Sequence[Entity], size_wh: tuple[int, int]) -> str:
    """Return the annotation in words, one line per entity; where it is seen is said without a number."""
    lines = []
    for entity in entities:
        kinds = dict.fromkeys(kind for kind in (entity.type, entity.fine_type) if kind)  # the same word once
        seen = "absent" if not entity.boxes else "visible, " + " and ".join(_places(entity.boxes, size_wh))
        lines.append(f"- mention: {entity.mention}; type: {', '.join(kinds)}; in the picture: {seen}")
    return "\n".join(dict.fromkeys(lines))


def _places(boxes: Sequence[Box], size_wh: tuple[int, int]) -> list[str]:
    return list(dict.fromkeys(place_in_words(box, size_wh) for box in boxes))


def place_in_words(box: Box, size_wh: tuple[int, int]) -> str:
    """Say where the middle of a box is and how large it is, in words; both in pixels of the original image."""
    width, height = size_wh
    across = ("left", "middle", "right")[_third((box[0] + box[2]) / 2 / width)]
    down = ("top", "middle", "bottom")[_third((box[1] + box[3]) / 2 / height)]
    sides = [word for word in (down, across) if word != "middle"]
    where = f"at the {' '.join(sides)}" if sides else "in the middle"
    share = (box[2] - box[0]) * (box[3] - box[1]) / (width * height)
    size = "filling much of it" if share > 0.4 else "of middling size" if share > 0.08 else "small"
    return f"{where}, {size}"


def _third(position: float) -> int:
    return min(2, max(0, int(position * 3)))
