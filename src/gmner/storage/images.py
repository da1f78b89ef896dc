"""Opening images of any kind as upright RGB."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from gmner.errors import DataError, MissingInputError
from gmner.storage.files import refuse_special

FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        GifImagePlugin.GifImageFile,
        WebPImagePlugin.WebPImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)
"""What is read, whatever a file's name says. Pillow knows more, and starts Ghostscript for some of them."""

ORIENTATION = 0x0112
"""EXIF's tag of how a camera was held."""
_TURNED = frozenset({5, 6, 7, 8})
_DEEP_GREY = {"I", "I;16", "I;16B", "I;16L", "F"}


def open_image(path: Path | str, size_wh: tuple[int, int] | None = None) -> Image.Image:
    """Return an image as upright RGB; transparent parts become white.

    A camera's orientation mark (EXIF) is applied. `size_wh` is the size that the annotation counts in, pixels
    of the original image: if only the stored, unturned image has it, the mark is left alone, so that boxes
    and image stay in one frame. If sizes cannot tell (an image that stands on its head, a square one) boxes
    count in the upright image. Of an animation the first image counts. Raises MissingInputError if there is
    no file and DataError where it is no image, is broken, or has another size.
    """
    with reading(path), Image.open(path, formats=FORMATS) as stored:
        stored.load()
        image = stored.copy() if counts_as_stored(stored, size_wh) else ImageOps.exif_transpose(stored)
    if size_wh is not None and image.size != tuple(size_wh):
        raise DataError(
            f"{path}: the image is {image.size[0]}x{image.size[1]}, but its sample says "
            f"{size_wh[0]}x{size_wh[1]}; it was replaced after the samples stage: rerun that stage"
        )
    return to_rgb(image)


@contextlib.contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn whatever opening or decoding an image raises into an error that names the file."""
    refuse_special(path)
    try:
        yield
    except FileNotFoundError as error:
        raise MissingInputError(f"{path}: the image is missing; put it there and rerun") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: the image is larger than {most} pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        known = ", ".join(FORMATS)
        raise DataError(f"{path}: not a readable image (none of {known}); replace the file") from error
    except OSError as error:
        if error.strerror is not None:
            raise DataError(f"{path}: cannot be read ({error.strerror}); fix this and rerun") from error
        remedy = (
            "replace the file, or save it again with an image program" if "truncated" in str(error) else "replace it"
        )
        raise DataError(f"{path}: not a readable image ({error}); {remedy}") from error
    except MemoryError:
        raise
    except Exception as error:  # what decoders raise on damaged files has no bounds
        raise DataError(f"{path}: not a readable image ({error!r}); replace the file") from error


def upright_wh(stored: Image.Image) -> tuple[int, int]:
    """Return the size of an image as it is shown, width and height: its camera's orientation mark (EXIF) applied."""
    turned = "exif" in stored.info and stored.getexif().get(ORIENTATION) in _TURNED
    return (stored.size[1], stored.size[0]) if turned else stored.size


def frame_wh(
    stored_wh: tuple[int, int], upright: tuple[int, int], annotated_wh: tuple[int, int] | None
) -> tuple[int, int]:
    """Return the size that boxes count in: upright, unless only the stored image has the annotated size."""
    return stored_wh if annotated_wh == stored_wh else upright


def counts_as_stored(stored: Image.Image, size_wh: tuple[int, int] | None) -> bool:
    """Say whether boxes count in the image as it is stored, its orientation mark left alone."""
    upright = upright_wh(stored)
    return frame_wh(stored.size, upright, size_wh) != upright


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB: transparency over white, deep greys scaled to 8 bits."""
    if image.mode in _DEEP_GREY:
        values = np.asarray(image, dtype=np.float64)
        span = max(float(values.max() - values.min()), 1e-9)
        image = Image.fromarray(((values - values.min()) * (255 / span)).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
