"""A small image file for tests of what is sent."""

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.new("RGB", (56, 56), (200, 30, 30)).save(path)
    return path
