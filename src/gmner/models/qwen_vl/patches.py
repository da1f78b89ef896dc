"""An image as the patches that a Qwen-VL model reads: what the image processor makes, bit for bit, in half the time.

The processor turns an image into an array and back, multiplies and divides every pixel in float64 and float32, and
checks its arguments again for each image. A value of a pixel is one of 256, so here each is looked up in a table that
the processor itself has filled, after the pixels have been put in the order of the patches as bytes.
"""

from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize


class PatchReader:
    """Makes patches by the settings of one image processor."""

    def __init__(self, image_processor: Any) -> None:
        self.processor = image_processor
        made = image_processor
        self._table: np.ndarray | None = None
        self._on_device: torch.Tensor | None = None
        steps = made.do_resize and made.do_rescale and made.do_normalize
        if type(made) is Qwen2VLImageProcessorPil and steps and made.resample == Image.Resampling.BICUBIC:
            values = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 1, 256))
            table = made.normalize(made.rescale(values, made.rescale_factor), made.image_mean, made.image_std)
            self._table = np.ascontiguousarray(table[:, 0], dtype=np.float32)

    @property
    def has_table(self) -> bool:
        """Whether patches can be made as bytes first."""
        return self._table is not None

    def read(self, image: Image.Image) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """Return the patches (height x width, values of a patch; float32) of an RGB image, and their grid."""
        if self._table is None:
            made = self.processor(images=[image], return_tensors="pt")
            time, height, width = (int(side) for side in made["image_grid_thw"][0])
            return made["pixel_values"], (time, height, width)
        pixels, grid = self.read_bytes(image)
        return self._looked_up(pixels.numpy()), grid

    def read_bytes(self, image: Image.Image) -> tuple[torch.Tensor, tuple[int, int, int]]:
        """Return the patches of an RGB image before normalisation, and their grid.

        Shape (height x width, colours x pixels of a patch), uint8. Needs the table (`has_table`).
        """
        patch, merge, size = self.processor.patch_size, self.processor.merge_size, self.processor.size
        height, width = smart_resize(
            image.height,
            image.width,
            factor=patch * merge,
            min_pixels=size["shortest_edge"],
            max_pixels=size["longest_edge"],
        )
        resized = np.asarray(image.resize((width, height), resample=Image.Resampling.BICUBIC))
        rows, columns = height // patch, width // patch
        parts = resized.reshape(rows // merge, merge, patch, columns // merge, merge, patch, 3)
        # Rows and columns of merged patches, of patches in them, then colours, then the pixels of a patch.
        parts = parts.transpose(0, 3, 1, 4, 6, 2, 5)
        return torch.from_numpy(parts.reshape(rows * columns, -1)), (1, rows, columns)

    def from_bytes(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the patches (patches, values of a patch; float32) that `read_bytes` gave, on the same device."""
        assert self._table is not None
        if pixels.device.type == "cpu":
            return self._looked_up(pixels.numpy())
        if self._on_device is None or self._on_device.device != pixels.device:
            self._on_device = torch.from_numpy(self._table).to(pixels.device)
        parts = pixels.view(len(pixels), 3, -1)
        values = torch.stack([self._on_device[colour][parts[:, colour].long()] for colour in range(3)], dim=1)
        repeats = self.processor.temporal_patch_size
        return values[:, :, None].expand(-1, -1, repeats, -1).reshape(len(pixels), -1)

    def _looked_up(self, pixels: np.ndarray) -> torch.Tensor:
        assert self._table is not None
        parts = pixels.reshape(len(pixels), 3, -1)
        shape = (len(pixels), 3, self.processor.temporal_patch_size, parts.shape[2])
        values = np.empty(shape, dtype=np.float32)
        for colour in range(3):
            values[:, colour] = self._table[colour][parts[:, colour]][:, None]
        return torch.from_numpy(values.reshape(len(pixels), -1))
