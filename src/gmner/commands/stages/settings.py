"""Reading what a rule passes to its stage."""

import argparse
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gmner.errors import ConfigError

SettingsModel = TypeVar("SettingsModel", bound=BaseModel)


def text_of_settings(given: str) -> str:
    """Return JSON that is given as such, or in a file. Raises ConfigError if the file cannot be read."""
    if given.lstrip().startswith(("{", "[")):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"--settings {given[:200]}: neither JSON nor a file that can be read ({error})") from error


def parse_settings(model: type[SettingsModel], given: str) -> SettingsModel:
    """Return the settings in JSON, or in a file of it; raises ConfigError naming each key that does not fit."""
    try:
        return model.model_validate_json(text_of_settings(given))
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'the JSON'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise ConfigError(f"--settings does not fit {model.__name__}: {found}") from error


def require(args: argparse.Namespace, *names: str) -> None:
    """Raise ConfigError if an argument that this kind of run needs is missing."""
    for name in names:
        if getattr(args, name) is None:
            raise ConfigError(f"--{name.replace('_', '-')} is missing; this kind of run needs it")
