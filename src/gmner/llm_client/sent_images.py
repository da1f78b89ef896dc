"""Images for a provider: hashed as they lie on the disk, encoded at a bounded size when they are sent."""

import base64
import functools
import io
import math
from dataclasses import dataclass
from pathlib import Path

from gmner.config.teachers import SentImage
from gmner.errors import MissingInputError
from gmner.storage.files import sha256_of_file

RESULT_NEUTRAL = False  # decides what is asked


@dataclass(frozen=True, slots=True)
class ImageToSend:
    """An image that a message shows: its file, the hash of its bytes, how it is sent."""

    path: str
    sha256: str
    size_wh: tuple[int, int]
    sent: SentImage

    @property
    def media_type(self) -> str:
        """The media type of the encoded bytes."""
        return f"image/{self.sent.format}"

    @property
    def sent_size_wh(self) -> tuple[int, int]:
        """Width and height in pixels of what is sent: never larger than the original."""
        width, height = self.size_wh
        scale = min(1.0, self.sent.max_side / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def most_tokens(self) -> int:
        """Return an upper bound of what the image costs in tokens, by the providers' published formulas.

        OpenAI: 85, and 170 for each tile of 512 pixels; Anthropic: a token for 750 pixels; Qwen2.5-VL: one for
        28 x 28 pixels. `sent.tokens` overrides it, for models that count otherwise.
        """
        if self.sent.tokens is not None:
            return self.sent.tokens
        width, height = self.sent_size_wh
        tiles = 85 + 170 * math.ceil(width / 512) * math.ceil(height / 512)
        return max(tiles, math.ceil(width * height / 750), math.ceil(width / 28 + 1) * math.ceil(height / 28 + 1))

    def encode(self) -> bytes:
        """Return the bytes to send. Raises DataError or MissingInputError where the file is no image."""
        from gmner.storage.images import open_image

        image = open_image(self.path, self.size_wh)  # in the frame of its boxes
        if image.size != self.sent_size_wh:
            image = image.resize(_fitted(image.size, self.sent.max_side))
        stream = io.BytesIO()
        if self.sent.format == "jpeg":
            image.save(stream, "JPEG", quality=self.sent.quality)
        else:
            image.save(stream, "PNG")
        return stream.getvalue()

    def encode_base64(self) -> str:
        """Return the bytes to send as base64 text."""
        return base64.b64encode(self.encode()).decode("ascii")


def image_of(path: str, size_wh: tuple[int, int], sent: SentImage) -> ImageToSend:
    """Return the image at `path`. Raises MissingInputError if there is none."""
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise MissingInputError(f"{path}: the image is missing; run the samples stage again") from error
    return ImageToSend(path, _hash(path, stat.st_size, stat.st_mtime_ns), size_wh, sent)


@functools.lru_cache(maxsize=1 << 15)
def _hash(path: str, size: int, mtime_ns: int) -> str:
    return sha256_of_file(path)


def _fitted(size_wh: tuple[int, int], max_side: int) -> tuple[int, int]:
    scale = min(1.0, max_side / max(size_wh))
    return max(1, round(size_wh[0] * scale)), max(1, round(size_wh[1] * scale))
