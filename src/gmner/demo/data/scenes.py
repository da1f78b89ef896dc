"""Drawn images: a few coloured objects on a background that fades from corner to corner.

The background's colour tells where in the image a patch lies. A vision tower with relative positions alone
(as Qwen2.5-VL's) can learn to name coordinates from it within minutes instead of days.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from gmner.core.records import Box

SHAPES = ("person", "flag", "house", "star")
SHAPE_OF_TYPE = {"PER": "person", "ORG": "flag", "LOC": "house", "OTHER": "star"}
COLOURS = {
    "red": (214, 39, 40),
    "blue": (31, 60, 220),
    "green": (20, 150, 50),
    "yellow": (250, 225, 40),
    "white": (250, 250, 250),
    "black": (20, 20, 20),
}
IMAGE_SIDE = 280
"""Width and height of a drawn image, in pixels."""

_MARGIN = 6
_HEIGHTS = (70, 130)
# Width over height of each shape's box, least and most.
_ASPECTS = {"person": (0.5, 0.7), "flag": (0.7, 1.0), "house": (0.8, 1.2), "star": (0.9, 1.1)}
_TRIES = 60


@dataclass(frozen=True, slots=True)
class Thing:
    """One drawn object; `box` is its xyxy extent in pixels of the image."""

    shape: str
    colour: str
    box: Box

    @property
    def look(self) -> tuple[str, str]:
        """Colour and shape."""
        return self.colour, self.shape


@dataclass(frozen=True, slots=True)
class Scene:
    """An image's things from left to right, and what each is called (`red person`, `left red person`)."""

    things: tuple[Thing, ...]

    @property
    def descriptions(self) -> tuple[str, ...]:
        """What each thing is called: colour and shape, and left or right where two look alike."""
        looks = [thing.look for thing in self.things]
        names = []
        for index, (colour, shape) in enumerate(looks):
            side = ""
            if looks.count((colour, shape)) > 1:
                side = "left " if (colour, shape) not in looks[:index] else "right "
            names.append(f"{side}{colour} {shape}")
        return tuple(names)

    @property
    def caption(self) -> str:
        """The descriptions, left to right, joined by commas; empty for an empty scene."""
        return ", ".join(self.descriptions)


def draw_scene_plan(generator: np.random.Generator, most: int = 4, twins: float = 0.12) -> Scene:
    """Draw what stands where: 1 to `most` things whose boxes keep a distance from each other.

    With probability `twins` two things look alike, else every thing has a look of its own.
    """
    count = 1 + int(generator.integers(most))
    things: list[Thing] = []
    want_twins = count > 1 and generator.random() < twins
    while len(things) < count:
        used = {thing.look for thing in things}
        if want_twins and len(things) == 1:
            colour, shape = things[0].look
        else:
            colour = tuple(COLOURS)[generator.integers(len(COLOURS))]
            shape = SHAPES[generator.integers(len(SHAPES))]
            if (colour, shape) in used:
                continue
        box = _free_box(generator, shape, [thing.box for thing in things])
        if box is None:
            break
        things.append(Thing(shape, colour, box))
    return Scene(tuple(sorted(things, key=lambda thing: (thing.box[0], thing.box[1]))))


def _free_box(generator: np.random.Generator, shape: str, taken: list[Box]) -> Box | None:
    for _ in range(_TRIES):
        height = generator.integers(_HEIGHTS[0], _HEIGHTS[1] + 1)
        width = round(height * generator.uniform(*_ASPECTS[shape]))
        x = int(generator.integers(_MARGIN, IMAGE_SIDE - _MARGIN - width + 1))
        y = int(generator.integers(_MARGIN, IMAGE_SIDE - _MARGIN - height + 1))
        box = (float(x), float(y), float(x + width), float(y + height))
        if all(_apart(box, other) for other in taken):
            return box
    return None


def _apart(a: Box, b: Box) -> bool:
    return a[2] + _MARGIN <= b[0] or b[2] + _MARGIN <= a[0] or a[3] + _MARGIN <= b[1] or b[3] + _MARGIN <= a[1]


def _background() -> np.ndarray:
    ramp = np.linspace(0.0, 1.0, IMAGE_SIDE)
    image = np.empty((IMAGE_SIDE, IMAGE_SIDE, 3))
    image[..., 0] = 70 + 120 * ramp[None, :]
    image[..., 1] = 70 + 120 * ramp[:, None]
    image[..., 2] = 190 - 60 * ramp[None, :] - 60 * ramp[:, None]
    return image.round().astype(np.uint8)


_BACKGROUND = _background()


def paint(scene: Scene) -> Image.Image:
    """Return the scene as an RGB image of IMAGE_SIDE x IMAGE_SIDE pixels."""
    image = Image.fromarray(_BACKGROUND)
    pen = ImageDraw.Draw(image)
    for thing in scene.things:
        _PAINTERS[thing.shape](pen, thing.box, COLOURS[thing.colour])
    return image


def _edge(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    return (90, 90, 90) if sum(colour) < 100 else (int(colour[0] * 0.4), int(colour[1] * 0.4), int(colour[2] * 0.4))


def _paint_person(pen: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = box
    head = (y2 - y1) * 0.32
    middle = (x1 + x2) / 2
    pen.ellipse(
        (middle - head / 2, y1, middle + head / 2, y1 + head),
        fill=(240, 200, 170),
        outline=_edge(colour),
        width=2,
    )
    pen.rounded_rectangle((x1, y1 + head, x2, y2), radius=(x2 - x1) / 3, fill=colour, outline=_edge(colour), width=2)


def _paint_flag(pen: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = box
    pen.rectangle((x1, y1, x1 + 7, y2), fill=(120, 80, 40))
    pen.rectangle((x1 + 7, y1, x2, y1 + (y2 - y1) * 0.55), fill=colour, outline=_edge(colour), width=2)


def _paint_house(pen: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = box
    eaves = y1 + (y2 - y1) * 0.4
    pen.polygon([(x1, eaves), ((x1 + x2) / 2, y1), (x2, eaves)], fill=(130, 60, 50))
    pen.rectangle((x1, eaves, x2, y2), fill=colour, outline=_edge(colour), width=2)
    middle, width = (x1 + x2) / 2, (x2 - x1) * 0.1
    pen.rectangle((middle - width, y2 - (y2 - eaves) * 0.5, middle + width, y2), fill=_edge(colour))


def _paint_star(pen: ImageDraw.ImageDraw, box: Box, colour: tuple[int, int, int]) -> None:
    x1, y1, x2, y2 = box
    angles = np.pi * (np.arange(10) / 5 - 0.5)
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.5)
    xs, ys = np.cos(angles) * radii, np.sin(angles) * radii
    # The star is stretched so that its points touch the box.
    xs = x1 + (xs - xs.min()) / (xs.max() - xs.min()) * (x2 - x1)
    ys = y1 + (ys - ys.min()) / (ys.max() - ys.min()) * (y2 - y1)
    pen.polygon(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=colour, outline=_edge(colour), width=2)


_PAINTERS = {"person": _paint_person, "flag": _paint_flag, "house": _paint_house, "star": _paint_star}
