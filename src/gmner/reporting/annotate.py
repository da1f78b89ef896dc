"""One image and one text through a trained run: entities with their boxes, and the image with them drawn."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from gmner.config.run import GenerateSettings
from gmner.core.answer import UNREADABLE_BOX
from gmner.core.records import Box, Record, Sample
from gmner.errors import DataError
from gmner.evaluation.predictions import predict_sample
from gmner.generation.decode import Decoder
from gmner.generation.load import load_decoder, prompt_of_run
from gmner.models.adapter_folder import read_run
from gmner.storage.files import atomic_path
from gmner.storage.images import open_image

OFFSETS = ("start", "end", "char_start", "char_end")
COLOURS = ("#e6194b", "#0082c8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#808000", "#aa6e28")


@dataclass(frozen=True)
class Annotation:
    """What a model says about one image and text; boxes are pixels of the upright image of `size_wh`.

    `offsets` say where each record's mention is in `text`: `start` and `end` in tokens, `char_start` and `char_end` in
    characters, ends exclusive, None if it is not in the text.
    """

    text: str
    size_wh: tuple[int, int]
    records: tuple[Record, ...]
    offsets: tuple[dict[str, int | None], ...]
    reasoning: str | None
    problems: tuple[str, ...]
    output: str
    finish_reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the annotation as plain values; boxes rounded to a tenth of a pixel."""
        return {
            "text": self.text,
            "image_size": list(self.size_wh),
            "entities": [
                {
                    "mention": record.mention,
                    "type": record.type,
                    "boxes": [[round(value, 1) for value in box] for box in record.boxes],
                    **offsets,
                }
                for record, offsets in zip(self.records, self.offsets, strict=True)
            ],
            "reasoning": self.reasoning,
            "problems": list(self.problems),
            "finish_reason": self.finish_reason,
        }


def load_run(run_dir: Path | str, backbone: Path | str | None = None, max_new_tokens: int = 512) -> Decoder:
    """Load a trained run, ready to annotate; the backbone's folder is the one the run names, unless given.

    Raises DataError if either folder is missing or they do not belong together.
    """
    place = Path(backbone or read_run(run_dir).backbone.get("folder") or "")
    if not (place / "config.json").exists():
        raise DataError(f"{place}: the run's backbone is not there; give its folder with --backbone")
    settings = GenerateSettings(batch_size=1, max_new_tokens=max_new_tokens, merge=True)
    return load_decoder(place, Path(run_dir), prompt_of_run(Path(run_dir), place), settings)


def annotate(decoder: Decoder, image_path: Path | str, text: str) -> Annotation:
    """Annotate one image and text. Any kind of image does; a camera's orientation mark is applied.

    Html escapes in the text are decoded and runs of blanks become one, as in the training data. Raises DataError
    for an empty text, and for an image that cannot be read or is far too elongated.
    """
    words = clean_text(text)
    if not words:
        raise DataError("the text is empty; give the words that come with the image")
    size_wh = open_image(image_path).size
    sample = Sample(
        sample_id=str(image_path),
        dataset="",
        split="",
        image_id=Path(image_path).name,
        image_path=str(image_path),
        size_wh=size_wh,
        tokens=tuple(words.split(" ")),
        text=words,
        entities=(),
    )
    prompt, output = decoder.encoder.prompt, decoder.decode_batch([sample])[0]
    row = predict_sample(sample, asdict(output), prompt.frame, frozenset(prompt.types))
    return Annotation(
        text=words,
        size_wh=size_wh,
        records=tuple(_record(entity) for entity in row["entities"]),
        offsets=tuple({name: entity[name] for name in OFFSETS} for entity in row["entities"]),
        reasoning=row["reasoning"],
        problems=tuple(f"{problem['code']}: {problem['detail']}" for problem in row["problems"]),
        output=output.output,
        finish_reason=output.finish_reason,
    )


def clean_text(text: str) -> str:
    """Return a text as the data sets have theirs: html escapes decoded, blanks single, nothing that is no character."""
    return " ".join(html.unescape(text).encode("utf-8", "replace").decode("utf-8").split())


def _record(entity: dict[str, Any]) -> Record:
    # A region that could not be read stands as a box without extent; the problems say so, an image need not.
    boxes = (tuple(box) for box in entity["boxes"])
    return Record(entity["mention"], entity["type"], tuple(box for box in boxes if box != UNREADABLE_BOX))


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


def save_drawing(path: Path, image_path: Path, records: Sequence[Record]) -> None:
    """Save the image with its records drawn; the ending of `path` decides the format."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise DataError(f"{path}: a drawing is saved as .png, .jpg or .webp; give one of these endings")
    with atomic_path(path) as temporary:
        draw_records(open_image(image_path), records).save(temporary)
