"""Backbones and the frame in which each of them says its coordinates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gmner.config.base import Settings
from gmner.errors import GmnerError
from gmner.models.families import (
    BACKBONE_FAMILIES,
    DEFAULT_FAMILY,
    check_family,
    family_named,
    family_of_folder,
    suggested_family,
)

_AUTHORS_FRAME = BACKBONE_FAMILIES[DEFAULT_FAMILY].frame


class FrameSettings(Settings):
    """Coordinates and pixel limits of the model's view of an image (see gmner.core.frame)."""

    coordinates: Literal["absolute", "norm1000"] = _AUTHORS_FRAME["coordinates"]
    min_pixels: int = Field(_AUTHORS_FRAME["min_pixels"], ge=1)
    max_pixels: int = Field(_AUTHORS_FRAME["max_pixels"], ge=1)
    factor: int = Field(_AUTHORS_FRAME["factor"], ge=1)  # sides of the resized image are multiples of this, in pixels

    @model_validator(mode="after")
    def _check_limits(self) -> "FrameSettings":
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels is {self.min_pixels}, more than max_pixels {self.max_pixels}")
        if self.max_pixels < self.factor**2:
            raise ValueError(f"max_pixels is {self.max_pixels}, less than one cell of {self.factor} x {self.factor}")
        return self


TINY_FRAME = {"coordinates": "absolute", "min_pixels": 14000, "max_pixels": 19600, "factor": 28}
"""A 280 x 280 image is seen as 140 x 140."""


class _Backbone(Settings):
    frame: FrameSettings = FrameSettings()

    @model_validator(mode="before")
    @classmethod
    def _family_decides_frame(cls, data: Any) -> Any:
        """Complete `family`, and `frame` from it; what the configuration says of the frame counts before."""
        if not isinstance(data, Mapping) or not isinstance(data.get("frame", {}), Mapping):
            return data
        try:
            known = cls._known(data)
        except GmnerError as error:
            raise ValueError(str(error)) from error
        return {**data, **known, "frame": {**known.get("frame", {}), **data.get("frame", {})}}

    @classmethod
    def _known(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError


def _of_family(name: str) -> dict[str, Any]:
    return {"family": name, "frame": family_named(name).frame}


class TinyBackbone(_Backbone):
    """The small backbone that ships with the project; `rebuild` trains it again from its tasks."""

    kind: Literal["tiny"] = "tiny"
    rebuild: bool = False
    seed: int = Field(0, ge=0)

    @classmethod
    def _known(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        return {"frame": TINY_FRAME}


class HubBackbone(_Backbone):
    """A model of the Hugging Face hub at a pinned revision; `mirror` is another endpoint or a local folder.

    `family` says how the model is asked; the backbone stage compares it with the model's config.json.
    """

    kind: Literal["hub"] = "hub"
    id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    mirror: str | None = None
    family: str = DEFAULT_FAMILY

    @classmethod
    def _known(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        if "family" in data:
            return _of_family(str(data["family"]))
        # Nothing is fetched to check a configuration, so a name may warn of a wrong family; it never chooses one.
        likely = suggested_family(str(data.get("id", ""))) or DEFAULT_FAMILY
        if likely != DEFAULT_FAMILY:
            raise ValueError(
                f"'{data['id']}' looks like a model of the family {likely}, and no family is given, which means "
                f"{DEFAULT_FAMILY}; say family: {likely} (known: {', '.join(sorted(BACKBONE_FAMILIES))})"
            )
        return _of_family(DEFAULT_FAMILY)


class LocalBackbone(_Backbone):
    """A folder that `from_pretrained` loads; its config.json says which `family` it is."""

    kind: Literal["local"] = "local"
    path: str = Field(min_length=1)
    family: str = DEFAULT_FAMILY

    @classmethod
    def _known(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        folder = Path(str(data.get("path", "")))
        there = (folder / "config.json").is_file()  # a rule or another machine may fill the folder later
        if "family" not in data:
            return _of_family(family_of_folder(folder) if there else DEFAULT_FAMILY)
        known = _of_family(str(data["family"]))
        if there:
            check_family(folder, known["family"])
        return known


BackboneSettings = Annotated[TinyBackbone | HubBackbone | LocalBackbone, Field(discriminator="kind")]
