"""Images with records drawn on them."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gmner.core.records import Box, Record
from gmner.errors import DataError
from gmner.storage.files import atomic_path
from gmner.storage.images import open_image

RESULT_NEUTRAL = True  # draws what was found, for people
COLOURS = ("#e6194b", "#0082c8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#808000", "#aa6e28")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def draw_records(image: Image.Image, records: Sequence[Record]) -> Image.Image:
    """Return a copy of an RGB image with each record's boxes and its mention and type beside them.

    Boxes are pixels of the image; records without a box are listed below it.
    """
    side = max(image.size)
    font, width = _font(max(12, side // 45)), max(2, side // 250)
    unseen = [f"{record.mention} ({record.type})" for record in records if not record.boxes]
    line = font.size * 1.5
    drawn = Image.new("RGB", (image.width, image.height + round(line * len(unseen))), "white")
    drawn.paste(image)
    pen = ImageDraw.Draw(drawn)
    for number, record in enumerate(records):
        label, colour = f"{record.mention} ({record.type})", COLOURS[number % len(COLOURS)]
        for box in record.boxes:
            _draw_box(pen, image.size, box, label, colour, font, width)
    for number, label in enumerate(unseen):
        pen.text((4, image.height + line * number), f"not seen: {label}", fill="black", font=font)
    return drawn


def _draw_box(
    pen: ImageDraw.ImageDraw,
    size_wh: tuple[int, int],
    box: Box,
    label: str,
    colour: str,
    font: ImageFont.FreeTypeFont,
    width: int,
) -> None:
    x1, y1, x2, y2 = box
    pen.rectangle((min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=colour, width=width)
    *_, right, bottom = pen.textbbox((0, 0), label, font=font)
    text_width, text_height = right + 6, bottom + 4
    x = max(0.0, min(x1, size_wh[0] - text_width))
    y = y1 - text_height if y1 >= text_height else min(y1 + width, size_wh[1] - text_height)
    pen.rectangle((x, y, x + text_width, y + text_height), fill=colour)
    pen.text((x + 3, y + 2), label, fill="white", font=font)


def _font(size: int) -> ImageFont.FreeTypeFont:
    # Matplotlib's font has accents, Greek and Cyrillic, which Pillow's own has not.
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def check_ending(path: Path) -> None:
    """Raise DataError if a drawing cannot be saved under this name."""
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{path}: a drawing is saved as .png, .jpg or .webp; give one of these endings")


def save_drawing(path: Path, image_path: Path, records: Sequence[Record]) -> None:
    """Save the image with its records drawn; the ending of `path` decides the format."""
    check_ending(path)
    with atomic_path(path) as temporary:
        draw_records(open_image(image_path), records).save(temporary)
