"""Turning pydantic's findings into lines that name the key, the value and the nearest right one."""

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gmner.config.base import suggest

SHOWN_CHARACTERS = 60


def explain(error: ValidationError, data: Mapping[str, Any]) -> str:
    """Return one line a problem, in the order of the configuration, each once.

    What is wrong in `defaults` is wrong in every run that inherits it: it is reported for `defaults` alone.
    """
    found = [(dotted_key(details, data), details) for details in error.errors()]
    inherited = {key.removeprefix("defaults.") for key, _ in found if key.startswith("defaults.")}
    lines = []
    for key, details in found:
        if _within_run(key, data) not in inherited:
            lines.append(_line(key, details))
    return "\n".join(dict.fromkeys(lines))


def _within_run(key: str, data: Mapping[str, Any]) -> str | None:
    """Return a key without the run that it is in: `train.epochs` of `runs.strength-0.2.train.epochs`, else None."""
    runs = data.get("runs")
    for name in sorted(map(str, runs if isinstance(runs, Mapping) else ()), key=len, reverse=True):
        if key.startswith(f"runs.{name}."):
            return key.removeprefix(f"runs.{name}.")
    return None


def dotted_key(details: ErrorDetails, data: Any) -> str:
    """Return the key of a problem as the user wrote it: pydantic also names the member of a union."""
    parts: list[str] = []
    here: Any = data
    location = details["loc"]
    for index, part in enumerate(location):
        if part == "[key]":
            continue
        inside = isinstance(here, Mapping) and part in here
        if isinstance(here, list | tuple) and isinstance(part, int):
            here = here[part] if part < len(here) else None
        elif inside:
            here = here[part]
        elif index < len(location) - 1 or details["type"] not in {"missing", "extra_forbidden"}:
            continue  # the tag of a union's member
        parts.append(str(part))
    if details["type"] == "unknown_key":
        parts.append(str(details["ctx"]["key"]))
    return ".".join(parts)


def _line(key: str, details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    value = _shown(details["input"])
    if kind in {"unknown_key", "extra_forbidden"}:
        return f"{key}: unknown key; {context.get('hint', 'remove it')}".rstrip("; ")
    if kind in {"tuple_type", "list_type"}:
        return f"{key} is {value}: must be a list; write [{value}]"
    if kind in {"dict_type", "model_type", "model_attributes_type"}:
        return f"{key} is {value}: must be a mapping of keys to values, as {{key: value}}"
    if kind == "missing":
        return f"{key}: is missing"
    if kind in {"literal_error", "union_tag_invalid"}:
        known = re.findall(r"'([^']*)'", str(context.get("expected", context.get("expected_tags", ""))))
        named = context.get("tag", details["input"])
        name = f"{key}.{_bare(context['discriminator'])}" if kind == "union_tag_invalid" else key
        return f"{name} is {_shown(named)}: not one of the choices; {suggest(str(named), known)}"
    if kind == "union_tag_not_found":
        return f"{key}.{_bare(context['discriminator'])}: is missing; it says what kind of thing this is"
    if kind == "value_error":
        return f"{key}: {details['msg'].removeprefix('Value error, ')}"
    return f"{key} is {value}: {details['msg'][0].lower()}{details['msg'][1:]}"


def _bare(discriminator: Any) -> str:
    return str(discriminator).strip("'")


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."
