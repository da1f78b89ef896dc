"""Patches are those of the image processor, bit for bit."""

import numpy as np
import pytest
import torch
from PIL import Image

from gmner.core.frame import Frame
from gmner.models.qwen_vl.patches import PatchReader
from gmner.models.qwen_vl.processor import image_processor_of
from tests.helpers.tiny_training import FRAME


@pytest.mark.parametrize("size", [(28, 28), (57, 199), (300, 40), (640, 480), (31, 1200)])
@pytest.mark.parametrize("frame", [FRAME, Frame("absolute", 256 * 28 * 28, 1024 * 28 * 28)])
def test_patches_are_those_of_the_processor(size: tuple[int, int], frame: Frame) -> None:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(values)
    processor = image_processor_of(frame)
    expected = processor(images=[image], return_tensors="pt")
    pixels, grid = PatchReader(processor).read(image)
    assert grid == tuple(expected["image_grid_thw"][0].tolist())
    assert pixels.dtype == torch.float32 and torch.equal(pixels, expected["pixel_values"])


def test_a_processor_with_other_steps_does_its_own_work() -> None:
    image = Image.fromarray(np.full((56, 56, 3), 200, dtype=np.uint8))
    processor = image_processor_of(FRAME)
    processor.do_normalize = False
    expected = processor(images=[image], return_tensors="pt")["pixel_values"]
    assert torch.equal(PatchReader(processor).read(image)[0], expected)
