"""The frame in which a model names coordinates, and the way between it and the original image.

Qwen2.5-VL names absolute pixels of the resized image that it sees; Qwen3-VL names thousandths of each side. Which
pixels those are depends on the image processor's limits, so the frame travels with the adapter: a model that is
read with other limits than it was trained with answers in another frame and its boxes miss.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from gmner.core.boxes import Boxes, as_boxes, clip_boxes, scale_boxes
from gmner.errors import DataError

Coordinates = Literal["absolute", "norm1000"]
LARGEST_ASPECT_RATIO = 200


@dataclass(frozen=True, slots=True)
class Frame:
    """The coordinates a model uses and the limits that its image processor resizes within.

    `factor` is the side in pixels of one visual token (patch size times merge size).
    """

    coordinates: Coordinates
    min_pixels: int
    max_pixels: int
    factor: int = 28

    def model_size(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) in pixels of the image as the model sees it, for an original (width, height).

        The rule is `smart_resize` of transformers' Qwen2-VL image processor: both sides multiples of `factor`, the
        area within the limits, the aspect ratio kept as closely as that allows. Raises DataError for an empty
        image or one more than 200 times as long as it is wide.
        """
        width, height = int(size_wh[0]), int(size_wh[1])
        if width < 1 or height < 1:
            raise DataError(f"an image of {width} x {height} pixels cannot be resized; expected at least 1 x 1")
        if max(width, height) > LARGEST_ASPECT_RATIO * min(width, height):
            raise DataError(
                f"an image of {width} x {height} pixels is too elongated: its sides may differ by a factor of "
                f"{LARGEST_ASPECT_RATIO} at most; crop it or leave the sample out"
            )
        new_width, new_height = (round(side / self.factor) * self.factor for side in (width, height))
        if new_width * new_height > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            new_width, new_height = (
                max(self.factor, math.floor(side / shrink / self.factor) * self.factor) for side in (width, height)
            )
        elif new_width * new_height < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            new_width, new_height = (math.ceil(side * grow / self.factor) * self.factor for side in (width, height))
        return new_width, new_height

    def coordinate_size(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Return the width and height of the coordinate system: the resized image's pixels, or 1000 x 1000."""
        return (1000, 1000) if self.coordinates == "norm1000" else self.model_size(size_wh)

    def to_model(self, boxes: ArrayLike, size_wh: tuple[int, int]) -> Boxes:
        """Return (N, 4) boxes in pixels of an original image as (unrounded) coordinates of the model."""
        size = np.asarray(self.coordinate_size(size_wh), dtype=np.float64)
        return scale_boxes(as_boxes(boxes), size / np.asarray(size_wh, dtype=np.float64))

    def to_original(self, boxes: ArrayLike, size_wh: tuple[int, int]) -> Boxes:
        """Return (N, 4) boxes in the model's coordinates as pixels of the original image, clipped to it."""
        size = np.asarray(self.coordinate_size(size_wh), dtype=np.float64)
        original = np.asarray(size_wh, dtype=np.float64)
        return clip_boxes(scale_boxes(as_boxes(boxes), original / size), original)

    def to_json(self) -> dict[str, Any]:
        """Return the frame as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Frame":
        """Return the frame that `to_json` made. Raises DataError on unknown or missing keys."""
        try:
            return cls(**value)
        except TypeError as error:
            raise DataError(f"not a frame: {value} ({error}); expected the keys of gmner.core.frame.Frame") from error
