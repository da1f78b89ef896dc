"""Tweets about drawn scenes: who is named, what gives the type away, what tells where to look."""

from dataclasses import dataclass

import numpy as np

from gmner.core.records import Box
from gmner.demo.data.names import TYPES, draw_name
from gmner.demo.data.scenes import COLOURS, SHAPE_OF_TYPE, Scene

# Words that stand before a name, and the fine type (Twitter-FMNERG's names) that they give away.
TITLES = {
    "PER": {"striker": "athlete", "goalie": "athlete", "singer": "musician", "drummer": "musician",
            "senator": "politician", "mayor": "politician"},
    "ORG": {"club": "sports_team", "team": "sports_team", "firm": "company", "startup": "company",
            "band": "band", "duo": "band"},
    "LOC": {"city": "city", "town": "city", "park": "park", "garden": "park",
            "stadium": "sports_facility", "arena": "sports_facility"},
    "OTHER": {"film": "film_and_television_works", "movie": "film_and_television_works",
              "game": "game", "app": "game", "festival": "festival", "fair": "festival"},
}  # fmt: skip

# How the tweet says which thing of the image is meant; the colour stands in every one.
_CLUES = {
    "PER": ("in {look}", "wearing {look}", "dressed in {look}"),
    "ORG": ("in {look}", "flying {look}", "with {look} colours"),
    "LOC": ("in {look}", "painted {look}", "with {look} walls"),
    "OTHER": ("in {look}", "shining {look}", "with {look} lights"),
}
_OPENERS = (
    "so happy for",
    "look :",
    "great day with",
    "RT :",
    "today :",
    "wow ,",
    "just saw",
    "thinking of",
    "big news :",
)
_JOINERS = ("and", "meets", "with", "next to", "vs", ", also")
_CLOSERS = (".", "!", "# blessed", "# weekend", "... what a day !", "http://t. co/abc", "😍", "?", ":)")
_PLAIN = (
    "what a lovely morning everyone",
    "can not wait for the weekend",
    "so tired after this long day",
    "look at this picture",
    "happy birthday to my best friend",
    "this made me smile today",
)


@dataclass(frozen=True, slots=True)
class Named:
    """One entity of a tweet: token offsets (end exclusive), labels, its boxes and how it looks."""

    start: int
    end: int
    mention: str
    type: str
    fine_type: str
    boxes: tuple[Box, ...]
    description: str | None


@dataclass(frozen=True, slots=True)
class Tweet:
    """A tweet about a scene."""

    tokens: tuple[str, ...]
    named: tuple[Named, ...]

    @property
    def text(self) -> str:
        """The tokens joined by one space."""
        return " ".join(self.tokens)


def write_tweet(generator: np.random.Generator, scene: Scene, part: str, titles: float = 0.6) -> Tweet:
    """Write a tweet that names some of the scene's things, and others that are not in it.

    `part` says where its names come from (`names.PARTS`); a name has a title before it with probability
    `titles`. About one tweet in sixteen names nothing.
    """
    if generator.random() < 0.06:
        return Tweet((*_pick(generator, _PLAIN).split(), *_pick(generator, _CLOSERS).split()), ())
    plans = _plans(generator, scene)
    tokens: list[str] = _pick(generator, _OPENERS).split() if generator.random() < 0.8 else []
    named: list[Named] = []
    for index, (kind, description, boxes) in enumerate(plans):
        if index:
            tokens += _pick(generator, _JOINERS).split()
        title = None
        fine_titles = tuple(TITLES[kind])
        chosen = _pick(generator, fine_titles)
        if generator.random() < titles:
            title = chosen
            tokens.append(title)
        name = draw_name(generator, kind, part)
        start = len(tokens)
        tokens += name
        named.append(Named(start, len(tokens), " ".join(name), kind, TITLES[kind][chosen], boxes, description))
        if description is not None:
            tokens += _clue(generator, kind, description).split()
    tokens += _pick(generator, _CLOSERS).split()
    return Tweet(tuple(tokens), tuple(named))


def _plans(generator: np.random.Generator, scene: Scene) -> list[tuple[str, str | None, tuple[Box, ...]]]:
    """Return (type, description, boxes) of one to three entities: seen, described but absent, or plain."""
    type_of_shape = {shape: kind for kind, shape in SHAPE_OF_TYPE.items()}
    count = 1 + int(generator.choice(3, p=(0.4, 0.4, 0.2)))
    order = list(generator.permutation(len(scene.things)))
    looks = {thing.look for thing in scene.things}
    plans: list[tuple[str, str | None, tuple[Box, ...]]] = []
    for _ in range(count):
        draw = generator.random()
        if draw < 0.64 and order:
            index = order.pop()
            thing = scene.things[index]
            plans.append((type_of_shape[thing.shape], scene.descriptions[index], (thing.box,)))
        elif draw < 0.88:
            kind = TYPES[generator.integers(len(TYPES))]
            colours = [colour for colour in COLOURS if (colour, SHAPE_OF_TYPE[kind]) not in looks]
            colour = _pick(generator, colours)
            looks.add((colour, SHAPE_OF_TYPE[kind]))
            plans.append((kind, f"{colour} {SHAPE_OF_TYPE[kind]}", ()))
        else:
            plans.append((TYPES[generator.integers(len(TYPES))], None, ()))
    return plans


def _clue(generator: np.random.Generator, kind: str, description: str) -> str:
    words = description.split()
    if len(words) == 3:
        return _pick(generator, _CLUES[kind]).format(look=words[1]) + f" on the {words[0]}"
    return _pick(generator, _CLUES[kind]).format(look=words[0])


def _pick(generator: np.random.Generator, options: tuple[str, ...] | list[str]) -> str:
    return options[generator.integers(len(options))]
