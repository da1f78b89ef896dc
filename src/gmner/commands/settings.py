"""Reading the settings that a rule passes to its stage."""

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
