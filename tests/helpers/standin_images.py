"""Stand-in images for annotations whose real images are not at hand: the right names and sizes, seeded colours."""

import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from PIL import Image, ImageDraw

PLAIN_SIZES = [(600, 450), (600, 600), (1200, 675), (480, 640)]


def annotated_size(xml: Path) -> tuple[int, int] | None:
    """The size that a VOC file says, None where there is no file."""
    if not xml.exists():
        return None
    text = xml.read_text(encoding="utf-8")
    width, height = (int(re.search(rf"<{side}>(\d+)</{side}>", text)[1]) for side in ("width", "height"))
    return width, height


def image_ids(text_file: Path, limit: int | None = None) -> list[str]:
    """The ids of a file of tagged tweets, in its order, the first `limit` of them."""
    lines = text_file.read_text(encoding="utf-8").split("\n")
    return [line.removeprefix("IMGID:").strip() for line in lines if line.startswith("IMGID:")][:limit]


def write_standins(images_dir: Path, xml_dir: Path, ids: Iterable[str]) -> int:
    """Write one JPEG for each id: its annotated size, or one of a few plausible ones; return how many.

    Colours depend on the id alone, so that no two images are the same bytes and every run writes the same.
    """
    images_dir.mkdir(parents=True, exist_ok=True)
    names = list(ids)
    for image_id in names:
        seed = zlib.crc32(image_id.encode())
        size = annotated_size(xml_dir / f"{image_id}.xml") or PLAIN_SIZES[seed % len(PLAIN_SIZES)]
        image = Image.new("RGB", size, (seed & 255, seed >> 8 & 255, seed >> 16 & 255))
        pen = ImageDraw.Draw(image)
        for step in range(1, 5):
            shade = (seed >> step & 255, seed >> 2 * step & 255, seed >> 3 * step & 255)
            pen.rectangle((size[0] * step // 9, size[1] * step // 9, size[0] - 1, size[1] * step // 5), fill=shade)
        image.save(images_dir / f"{image_id}.jpg", quality=30)
    return len(names)
