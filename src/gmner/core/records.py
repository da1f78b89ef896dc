"""The plain records that flow between the stages."""

from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2; pixels of the original image unless a name says otherwise."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One annotated entity of a tweet.

    `start` and `end` are token offsets, end exclusive; `mention` is the tokens between them joined by one
    space; `boxes` are its regions in pixels of the original image, empty where it is not visible.
    `description` is how the entity looks, in words, where the data set knows it.
    """

    start: int
    end: int
    mention: str
    type: str
    fine_type: str | None = None
    boxes: tuple[Box, ...] = ()
    description: str | None = None

    def label(self, fine: bool) -> str:
        """Return the type that is learned and scored: the fine one if `fine` is set and the dataset knows it."""
        return self.fine_type if fine and self.fine_type is not None else self.type


@dataclass(frozen=True, slots=True)
class Sample:
    """One tweet with its image and its annotation.

    `sample_id` is unique in the data set; `image_id` is the data set's own key of the image. `text` is the
    tokens joined by one space. `size_wh` is the width and height of the original image in pixels. `caption`
    says what the image shows, in words, where the data set knows it.
    """

    sample_id: str
    dataset: str
    split: str
    image_id: str
    image_path: str
    size_wh: tuple[int, int]
    tokens: tuple[str, ...]
    text: str
    entities: tuple[Entity, ...]
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One entity as the output grammar carries it: what it is called, what it is, where it is seen.

    `boxes` is empty for an entity that is not visible; its frame is the caller's to know.
    """

    mention: str
    type: str
    boxes: tuple[Box, ...] = ()
