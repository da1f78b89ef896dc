"""Reading what a rule passes to its stage."""

import argparse
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from gmner.errors import ConfigError

SettingsModel = TypeVar("SettingsModel", bound=BaseModel)


def parse_settings(model: type[SettingsModel], text: str) -> SettingsModel:
    """Return the settings in a JSON text; raises ConfigError naming each key that does not fit."""
    try:
        return model.model_validate_json(text)
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
