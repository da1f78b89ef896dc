from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gmner.errors import DataError, MissingInputError
from gmner.storage.images import open_image

ORIENTATION = 0x0112


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "I;16", "I", "F", "YCbCr", "HSV"])
def test_an_image_of_any_mode_becomes_rgb(mode: str, tmp_path: Path) -> None:
    grey = np.linspace(0, 255, 40 * 30).reshape(30, 40)
    if mode == "I;16":
        image = Image.fromarray((grey * 200).astype(np.uint16))
    elif mode in ("I", "F"):
        image = Image.fromarray(grey.astype(np.float32)).convert(mode)
    else:
        image = Image.fromarray(grey.astype(np.uint8)).convert("RGB").convert(mode)
    path = tmp_path / ("x.tif" if mode in ("CMYK", "I;16", "I", "F", "YCbCr", "HSV") else "x.png")
    if mode == "HSV":
        image = image.convert("RGB")
    image.save(path)
    found = open_image(path)
    assert found.mode == "RGB" and found.size == (40, 30)
    pixels = np.asarray(found)
    assert pixels.max() > 200 and pixels.min() < 60


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(path)
    assert open_image(path).getpixel((0, 0)) == (255, 255, 255)


def test_the_orientation_mark_is_applied_unless_the_annotation_counts_without_it(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.new("RGB", (40, 20)).save(path, exif=exif)
    assert open_image(path).size == (20, 40)
    assert open_image(path, (20, 40)).size == (20, 40)
    assert open_image(path, (40, 20)).size == (40, 20)
    with pytest.raises(DataError, match="is 20x40, but its sample says 7x7"):
        open_image(path, (7, 7))


def test_a_missing_and_a_broken_image_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"no\.png: the image is missing"):
        open_image(tmp_path / "no.png")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match="not a readable image"):
        open_image(broken)
