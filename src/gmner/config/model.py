"""Backbones and the frame in which each of them says its coordinates."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gmner.config.base import Settings

QWEN_TOKENS = (256, 1024)
"""Visual tokens of the smallest and the largest image, as the authors set them."""


class FrameSettings(Settings):
    """Coordinates and pixel limits of the model's view of an image (see gmner.core.frame)."""

    coordinates: Literal["absolute", "norm1000"] = "absolute"
    min_pixels: int = Field(QWEN_TOKENS[0] * 28 * 28, ge=1)
    max_pixels: int = Field(QWEN_TOKENS[1] * 28 * 28, ge=1)
    factor: int = Field(28, ge=1)  # sides of the resized image are multiples of this, in pixels

    @model_validator(mode="after")
    def _check_limits(self) -> "FrameSettings":
        if self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels is {self.min_pixels}, more than max_pixels {self.max_pixels}")
        if self.max_pixels < self.factor**2:
            raise ValueError(f"max_pixels is {self.max_pixels}, less than one cell of {self.factor} x {self.factor}")
        return self


TINY_FRAME = {"coordinates": "absolute", "min_pixels": 14000, "max_pixels": 19600, "factor": 28}
"""A 280 x 280 image is seen as 140 x 140."""

QWEN3_FRAME = {
    "coordinates": "norm1000",
    "min_pixels": QWEN_TOKENS[0] * 32 * 32,
    "max_pixels": QWEN_TOKENS[1] * 32 * 32,
    "factor": 32,
}


class _Backbone(Settings):
    frame: FrameSettings = FrameSettings()

    @model_validator(mode="before")
    @classmethod
    def _family_frame(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(data.get("frame", {}), Mapping):
            return data
        return {**data, "frame": {**_frame_of_family(data), **data.get("frame", {})}}


def _frame_of_family(data: Mapping[str, Any]) -> Mapping[str, Any]:
    if data.get("kind") == "tiny":
        return TINY_FRAME
    name = f"{data.get('id', '')}{data.get('path', '')}".lower()
    return QWEN3_FRAME if "qwen3-vl" in name else {}


class TinyBackbone(_Backbone):
    """The small Qwen2.5-VL that ships with the project; `rebuild` trains it anew from its tasks."""

    kind: Literal["tiny"] = "tiny"
    rebuild: bool = False
    seed: int = Field(0, ge=0)


class HubBackbone(_Backbone):
    """A model of the Hugging Face hub at a pinned revision; `mirror` is another endpoint or a local folder."""

    kind: Literal["hub"] = "hub"
    id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    mirror: str | None = None


class LocalBackbone(_Backbone):
    """A folder that `from_pretrained` loads."""

    kind: Literal["local"] = "local"
    path: str = Field(min_length=1)


BackboneSettings = Annotated[TinyBackbone | HubBackbone | LocalBackbone, Field(discriminator="kind")]
