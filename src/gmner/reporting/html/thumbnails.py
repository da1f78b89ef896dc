"""Small copies of the images, as data URIs."""

import base64
import io
import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from PIL import Image, ImageOps

from gmner.errors import GmnerError
from gmner.storage.images import FORMATS, counts_as_stored, reading, to_rgb

log = logging.getLogger(__name__)

_EFFORT = 3  # of WebP's encoder, 0 to 6

SizedImage = tuple[str, tuple[int, int]]
"""Path, and the width and height that the annotation counts in, pixels."""


def thumbnail(path: str, size_wh: tuple[int, int], side: int, quality: int) -> bytes:
    """Return an image as WebP whose longer side has at most `side` pixels, upright as `gmner.storage.images` turns it.

    A JPEG is decoded at an eighth, a quarter or half its size where that is enough. Raises as `open_image` does.
    """
    with reading(path), Image.open(path, formats=FORMATS) as stored:
        as_stored = counts_as_stored(stored, size_wh)
        stored.draft("RGB", (side, side))
        stored.load()
        image = to_rgb(stored.copy() if as_stored else ImageOps.exif_transpose(stored))
        image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=_EFFORT)
    return buffer.getvalue()


def data_uris(images: Iterable[SizedImage], side: int, quality: int) -> Iterator[str]:
    """Yield each image as a data URI, in order; an empty text for one that cannot be read, with a warning."""

    def uri(image: SizedImage) -> str:
        path, size_wh = image
        try:
            encoded = base64.b64encode(thumbnail(path, size_wh, side, quality)).decode("ascii")
        except GmnerError as error:
            log.warning("report: no image for a tweet: %s", error)
            return ""
        return f"data:image/webp;base64,{encoded}"

    # Pillow decodes and encodes outside of Python's lock.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        yield from pool.map(uri, images)
