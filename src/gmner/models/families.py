"""The model families that can be a backbone: how each is told apart, its frame, and where its code lies.

A family is one package that satisfies `gmner.models.seam.Seam` and one entry here; nothing else in gmner knows its
name. This module is light: the configuration reads it to give a backbone its frame.
"""

import difflib
import functools
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from gmner.errors import ConfigError, DataError

if TYPE_CHECKING:
    from gmner.core.frame import Coordinates
    from gmner.models.seam import Seam

DEFAULT_FAMILY = "qwen2.5-vl"
# Visual tokens of the smallest and the largest image, as the authors set them.
_FEWEST_TOKENS, _MOST_TOKENS = 256, 1024
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class BackboneFamily:
    """One family: the `model_type`s of config.json that belong to it, its frame, and its code.

    `coordinates` are `absolute` (pixels of the resized image) or `norm1000` (thousandths of each side); `factor` is
    the side in pixels of one visual token. `lora_targets` are the linear layers of the language model that an adapter
    changes unless a run says otherwise. `hub_names` matches ids of the hub that look like this family: it only ever
    suggests a name in an error. `seam` is the module that satisfies `gmner.models.seam.Seam`.
    """

    model_types: tuple[str, ...]
    coordinates: "Coordinates"
    factor: int
    seam: str
    hub_names: str
    lora_targets: tuple[str, ...] = _PROJECTIONS

    @property
    def frame(self) -> dict[str, Any]:
        """The family's frame at the authors' 256 to 1024 visual tokens, as the configuration writes one."""
        cell = self.factor**2
        return {
            "coordinates": self.coordinates,
            "min_pixels": _FEWEST_TOKENS * cell,
            "max_pixels": _MOST_TOKENS * cell,
            "factor": self.factor,
        }


BACKBONE_FAMILIES: dict[str, BackboneFamily] = {
    "qwen2.5-vl": BackboneFamily(("qwen2_5_vl",), "absolute", 28, "gmner.models.qwen_vl.seam", r"qwen2[._]5-?vl"),
    "qwen3-vl": BackboneFamily(("qwen3_vl",), "norm1000", 32, "gmner.models.qwen_vl.seam", r"qwen3-?vl"),
    # Three of four layers are linear attention, whose projections have names of their own.
    "qwen3.5": BackboneFamily(
        ("qwen3_5",),
        "norm1000",
        32,
        "gmner.models.qwen_vl.seam",
        r"qwen3[._]5",
        (*_PROJECTIONS, "in_proj_qkv", "in_proj_z", "out_proj"),
    ),
}


def family_named(name: str) -> BackboneFamily:
    """Return a family by its name. Raises ConfigError with the known names if there is none."""
    if name not in BACKBONE_FAMILIES:
        near = difflib.get_close_matches(name, BACKBONE_FAMILIES, n=1, cutoff=0.5)
        meant = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"family '{name}' is not known; {meant}(known: {known_families()})")
    return BACKBONE_FAMILIES[name]


def known_families() -> str:
    """Return the names of all families, for messages."""
    return ", ".join(sorted(BACKBONE_FAMILIES))


def suggested_family(hub_id: str) -> str | None:
    """Return the family that an id of the hub looks like, for an error's suggestion; None if it looks like none."""
    for name, family in BACKBONE_FAMILIES.items():
        if re.search(family.hub_names, hub_id, re.IGNORECASE):
            return name
    return None


def family_of_type(model_type: str) -> str | None:
    """Return the name of the family that a `model_type` of config.json belongs to, or None."""
    return next((name for name, family in BACKBONE_FAMILIES.items() if model_type in family.model_types), None)


def family_of_folder(folder: Path | str) -> str:
    """Return the name of the family of a backbone's folder, by the `model_type` of its config.json.

    Raises DataError if the file cannot be read or its model belongs to no known family.
    """
    path = Path(folder) / "config.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; expected the folder of a backbone: run the backbone stage again") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); fetch the model again") from error
    model_type = found.get("model_type") if isinstance(found, Mapping) else None
    name = family_of_type(model_type) if isinstance(model_type, str) else None
    if name is None:
        raise DataError(
            f"{path}: model_type '{model_type}' belongs to no family that gmner knows (known: {known_families()}); "
            "choose another backbone, or add its family as docs/extending.md says"
        )
    return name


def check_family(folder: Path | str, wanted: str) -> None:
    """Raise DataError if a backbone's folder is of another family than `wanted`, whose frame the runs would use."""
    found = family_of_folder(folder)
    if found != wanted:
        raise DataError(
            f"{Path(folder) / 'config.json'}: a model of the family '{found}', but the configuration says '{wanted}', "
            f"whose coordinates and image sizes differ; set the backbone's family: {found}"
        )


@functools.cache
def _seam(module: str) -> Any:
    return importlib.import_module(module)


def seam_of(model_type: str) -> "Seam":
    """Return the code of the family that a `model_type` belongs to. Raises DataError if there is none."""
    name = family_of_type(model_type)
    if name is None:
        raise DataError(f"model_type '{model_type}' belongs to no family that gmner knows (known: {known_families()})")
    return cast("Seam", _seam(BACKBONE_FAMILIES[name].seam))


def seam_of_folder(folder: Path | str) -> "Seam":
    """Return the code of the family of a backbone's folder; raises DataError as `family_of_folder` does."""
    return cast("Seam", _seam(BACKBONE_FAMILIES[family_of_folder(folder)].seam))
