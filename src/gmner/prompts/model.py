"""What the model is asked: one function for training and inference, its wording kept in text files.

The instruction of the paper (section 3.2.1) is prepended to the image and the tweet. Three versions: `standard`
says the whole task, for instruction-tuned models; `release` has the content of the authors' released prompt, which
lists no types, in our words; `short` is one line, for a backbone trained on this task alone.
"""

import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from gmner.errors import ConfigError

VERSIONS = ("release", "short", "standard")

_FILES = {
    "standard": (
        "standard_system",
        "standard_user",
        "standard_think",
        "standard_direct",
        "standard_format_think",
        "standard_format_direct",
        "coordinates_absolute",
        "coordinates_norm1000",
        "type_definitions",
    ),
    "release": (
        "release_system",
        "release_user",
        "release_think",
        "release_direct",
        "standard_format_think",
        "standard_format_direct",
        "coordinates_absolute",
        "coordinates_norm1000",
    ),
    "short": ("short_user", "short_user_think"),
}


def build_messages(
    version: str, types: Sequence[str], text: str, cot: bool, coordinates: str = "absolute"
) -> list[dict[str, Any]]:
    """Return the chat that asks for the entities of one tweet: one image (a placeholder), then the text.

    `types` are the labels the model may use, in the order in which they are listed. `cot` asks for reasoning
    before the answer. `coordinates` is the model's frame, `absolute` or `norm1000` (see `gmner.core.frame`). Raises
    ConfigError for an unknown version.
    """
    check_version(version)
    if version == "short":
        wording = _text("short_user_think" if cot else "short_user")
        return [_user_turn(_fill(wording, {}, text))]
    how = "think" if cot else "direct"
    parts = {
        "types": "\n".join(_type_line(name) for name in types),
        "coordinates": _text(f"coordinates_{coordinates}"),
        "reasoning": _text(f"{version}_{how}"),
        "format": _text(f"standard_format_{how}"),
    }
    system = {"role": "system", "content": [{"type": "text", "text": _text(f"{version}_system")}]}
    return [system, _user_turn(_fill(_text(f"{version}_user"), parts, text))]


def prompt_version(version: str) -> str:
    """Return the version's name and a hash of its wording: `standard-1f0c…`; a changed word changes it."""
    check_version(version)
    digest = hashlib.sha256()
    for name in _FILES[version]:
        digest.update(f"{name}\n{_text(name)}\n".encode())
    return f"{version}-{digest.hexdigest()[:12]}"


def files_of_prompt(version: str) -> tuple[str, ...]:
    """Return the files of a version's wording, within the package: what its runs depend on."""
    return tuple(f"prompts/texts/model/{name}.txt" for name in _FILES.get(version, ()))


def check_version(version: str) -> None:
    """Raise ConfigError where there is no such version of the prompt."""
    if version not in VERSIONS:
        raise ConfigError(f"prompt: unknown version '{version}'; expected one of {', '.join(VERSIONS)}")


def _user_turn(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def _fill(wording: str, parts: dict[str, str], text: str) -> str:
    # The tweet goes in last, so that braces in it are never taken for a placeholder.
    for name, value in parts.items():
        wording = wording.replace("{" + name + "}", value)
    return wording.replace("{text}", text)


def _type_line(name: str) -> str:
    definition = _definitions().get(name)
    return f"- {name}: {definition}" if definition else f"- {name}"


@functools.cache
def _text(name: str) -> str:
    return resources.files("gmner.prompts").joinpath("texts/model", f"{name}.txt").read_text(encoding="utf-8").strip()


@functools.cache
def _definitions() -> dict[str, str]:
    return dict(line.split("\t", 1) for line in _text("type_definitions").splitlines())
