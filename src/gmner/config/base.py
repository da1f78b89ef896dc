"""What all settings models have in common: unknown keys are refused by name, values never change."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

NAME_PATTERN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN.pattern)]
"""A name that the configuration gives to something; it becomes a folder's name."""


# What other tools call our keys.
_MEANT = {
    "rank": "r",
    "lora_alpha": "alpha",
    "lr": "learning_rate",
    "num_epochs": "epochs",
    "gradient_accumulation_steps": "accumulation",
    "seed": "seeds",
    "dataset": "datasets",
    "model": "backbone",
}


class Settings(BaseModel):
    """Base of every settings model."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    operational: ClassVar[Mapping[str, Any]] = {}
    """Keys that decide how something is done and not what comes out, in the form of pydantic's `exclude`."""

    seen_in_result: ClassVar[Mapping[str, Any]] = {}
    """Keys whose effect on later stages shows in the result's content alone, in the same form. A change of them does
    this stage again, and the later ones only if its result is another."""

    def passed_on(self) -> dict[str, Any]:
        """Return the settings that decide what later stages have to do again."""
        found = self.decisive()
        for name, part in self.seen_in_result.items():
            if part is True:
                found.pop(name, None)
            elif isinstance(found.get(name), dict):
                found[name] = {key: value for key, value in found[name].items() if key not in part}
        return found

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide what comes out, as JSON values. A change of the others reruns nothing."""
        return self.model_dump(mode="json", exclude=dict(self.operational))

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise PydanticCustomError(
                        "unknown_key", "{hint}", {"key": str(key), "hint": suggest(str(key), known)}
                    )
        return data


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'? (known: …)` for a name that is none of `known`."""
    names = sorted(known)
    near = [_MEANT[name]] if _MEANT.get(name) in names else difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    meant = f"did you mean '{near[0]}'? " if near else ""
    return f"{meant}(known: {', '.join(names) if names else 'none'})"
