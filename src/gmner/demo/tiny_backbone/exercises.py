"""What the tiny backbone is taught: to see, to copy, to compare and to follow an instruction.

The tasks are generic: none has the prompt or the output grammar of grounded entity recognition, and their names
and images occur in no demo data (names of the part `backbone`, scenes of generators of their own).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gmner.demo.data.names import core_word
from gmner.demo.data.scenes import COLOURS, SHAPES, Scene, Thing
from gmner.demo.data.tweets import Tweet, write_tweet

_FINE = 2
"""The style of labels that is the fine type; 0 is an English word, 1 the coarse type."""
# Between name and label, between label and box, what stands where no box is, between records.
_LAYOUTS = (
    (" = ", " @ ", "nowhere", " / "),
    (" (", ") ", "None", ", "),
    (": ", ", ", "hidden", " / "),
    (" -> ", " ", "None", " / "),
    ("#", "#", "None", ", "),
)
WORD_OF_TYPE = {"PER": "person", "ORG": "group", "LOC": "place", "OTHER": "thing"}


@dataclass(frozen=True, slots=True)
class Exercise:
    """A question about an image and what a perfect model answers."""

    task: str
    question: str
    reply: str
    boxed: tuple[Thing, ...] = ()
    """The things whose boxes the reply gives, in its order."""
    said: tuple[Thing, ...] = ()
    """The things that the reply calls visible, in its order."""


def _model_box(thing: Thing, scale: float) -> str:
    return "[" + ",".join(str(round(value * scale)) for value in thing.box) + "]"


def _seen(scene: Scene) -> str:
    """Say what the image holds, each thing followed by the word that decides about a name that looks so.

    The decision is then a matter of copying what followed the same words before, which small models learn early;
    judging whether a list holds a word is something they learn late.
    """
    return "Seen: " + ", ".join(f"{name} visible" for name in scene.descriptions) + "."


def _things(scene: Scene, tweet: Tweet) -> list[Thing | None]:
    """Return for every name of the tweet the thing it stands for, None where it is not in the image."""
    where = {thing.box: thing for thing in scene.things}
    return [where[named.boxes[0]] if named.boxes else None for named in tweet.named]


def _seen_of(things: list[Thing | None]) -> tuple[Thing, ...]:
    return tuple(thing for thing in things if thing is not None)


class Tutor:
    """Draws exercises about a scene; `scale` takes an image's pixels to the model's frame."""

    def __init__(self, generator: np.random.Generator, scale: float) -> None:
        self.generator = generator
        self.scale = scale
        self.tasks: dict[str, Callable[[Scene], Exercise]] = {
            "list": self.list_things,
            "hold": self.hold,
            "locate": self.locate,
            "exists": self.exists,
            "copy": self.copy,
            "names": self.names,
            "kinds": self.kinds,
            "looks": self.looks,
            "link": self.link,
            "find": self.find,
            "records": self.records,
        }

    def draw(self, scene: Scene, shares: dict[str, float]) -> Exercise:
        """Draw one exercise; `shares` says how often each task comes."""
        names = list(shares)
        weights = np.array([shares[name] for name in names], dtype=float)
        return self.tasks[names[self.generator.choice(len(names), p=weights / weights.sum())]](scene)

    def _pick(self, *options: str) -> str:
        return options[self.generator.integers(len(options))]

    def _tweet(self, scene: Scene, fine: bool = False) -> Tweet:
        # Only the word before a name tells its fine type: who is asked for fine types is always told.
        return write_tweet(self.generator, scene, "backbone", titles=1.0 if fine else 0.7)

    def list_things(self, scene: Scene) -> Exercise:
        """List every thing of the image with its box."""
        parts = [
            f"{name} {_model_box(thing, self.scale)}"
            for name, thing in zip(scene.descriptions, scene.things, strict=True)
        ]
        return Exercise("list", "List all objects with boxes.", "; ".join(parts), boxed=scene.things)

    def hold(self, scene: Scene) -> Exercise:
        """Say what the image holds."""
        return Exercise("hold", self._pick("What is in the picture?", "Describe the image."), f"{scene.caption}.")

    def _described(self, scene: Scene, present: float) -> tuple[str, Thing | None]:
        """Return a description and the thing it fits, with probability `present`, or one that fits none."""
        if self.generator.random() < present:
            index = self.generator.integers(len(scene.things))
            return scene.descriptions[index], scene.things[index]
        looks = {thing.look for thing in scene.things}
        while True:
            colour, shape = self._pick(*COLOURS), self._pick(*SHAPES)
            if (colour, shape) not in looks:
                return f"{colour} {shape}", None

    def locate(self, scene: Scene) -> Exercise:
        """Give the box of the described thing, or say that there is none."""
        name, thing = self._described(scene, 0.85)
        if thing is None:
            return Exercise("locate", f"Where is the {name}?", "None")
        return Exercise("locate", f"Where is the {name}?", _model_box(thing, self.scale), boxed=(thing,))

    def exists(self, scene: Scene) -> Exercise:
        """Say whether the described thing is there, after saying what is."""
        name, thing = self._described(scene, 0.5)
        verdict = "visible" if thing else "absent"
        said = (*scene.things, thing) if thing else scene.things
        return Exercise("exists", f"Is there a {name}?", f"{_seen(scene)} {name} {verdict}.", said=said)

    def copy(self, scene: Scene) -> Exercise:
        """Copy a line with marks and tags in it."""
        pieces = ["PER", "ORG", "LOC", "OTHER", "None", "person", "athlete", "musician", "politician", "sports_team",
                  "company", "band", "city", "park", "sports_facility", "film_and_television_works", "game",
                  "festival", "<think>", "</think>", "<answer>", "</answer>", "|", ";", "\\;", "[", "]", "12",
                  "Picture:", "visible.", "absent.", "seen", ",", "&", "."]  # fmt: skip
        count = 4 + int(self.generator.integers(12))
        words = [
            core_word(self.generator, "backbone") if self.generator.random() < 0.4 else self._pick(*pieces)
            for _ in range(count)
        ]
        line = "".join(word + (" " if self.generator.random() < 0.7 else "") for word in words).strip()
        return Exercise("copy", f"Copy: {line}", line)

    def names(self, scene: Scene) -> Exercise:
        """Copy the names of a tweet."""
        tweet = self._tweet(scene)
        found = [named.mention for named in tweet.named]
        return Exercise("names", f"Which names? {tweet.text}", "Names: " + (", ".join(found) if found else "None"))

    def kinds(self, scene: Scene) -> Exercise:
        """Say of every name in a tweet what it is, coarsely or finely."""
        style = self._style(0.6)
        tweet = self._tweet(scene, style == _FINE)
        parts = [f"{named.mention}: {self._label(named.type, named.fine_type, style)}" for named in tweet.named]
        ask = ("What kind is each name?", "What type is each name?", "What fine type is each name?")[style]
        return Exercise("kinds", f"{ask} {tweet.text}", "Kinds: " + (", ".join(parts) if parts else "None"))

    def _style(self, fine: float) -> int:
        return _FINE if self.generator.random() < fine else int(self.generator.integers(2))

    @staticmethod
    def _label(kind: str, fine: str, style: int) -> str:
        return (WORD_OF_TYPE[kind], kind, fine)[style]

    def looks(self, scene: Scene) -> Exercise:
        """Say of every name in a tweet how it looks, by the tweet alone."""
        tweet = self._tweet(scene)
        parts = [f"{named.mention} is {named.description or 'not described'}" for named in tweet.named]
        reply = "Looks: " + (". ".join(parts) + "." if parts else "None")
        return Exercise("looks", f"How do the names look? {tweet.text}", reply)

    @staticmethod
    def _lines(tweet: Tweet, fine: bool) -> list[str]:
        return [
            f"{named.mention} is {named.fine_type + ' ' if fine else ''}{named.description or 'not described'}"
            f" {'visible' if named.boxes else 'absent'}."
            for named in tweet.named
        ]

    def _notes(self, scene: Scene, tweet: Tweet, fine: bool) -> str:
        return f"{_seen(scene)} {' '.join(self._lines(tweet, fine)) if tweet.named else 'No name.'}"

    def find(self, scene: Scene) -> Exercise:
        """Give the box of a name whose look is told: from the name to the look, from the look to the image."""
        tweet = self._tweet(scene)
        while not tweet.named:
            tweet = self._tweet(scene)
        number = int(self.generator.integers(len(tweet.named)))
        thing = _things(scene, tweet)[number]
        told = " ".join(self._lines(tweet, self.generator.random() < 0.3))
        question = f"{told} Box of {tweet.named[number].mention}?"
        if thing is None:
            return Exercise("find", question, "None")
        return Exercise("find", question, _model_box(thing, self.scale), boxed=(thing,))

    def link(self, scene: Scene) -> Exercise:
        """Say what the image holds, then of every name how it looks and whether it is there."""
        fine = self.generator.random() < 0.3
        tweet = self._tweet(scene, fine)
        said = (*scene.things, *_seen_of(_things(scene, tweet)))
        ask = "Who, of which fine type, can be seen?" if fine else "Who can be seen?"
        return Exercise("link", f"{ask} {tweet.text}", self._notes(scene, tweet, fine), said=said)

    def records(self, scene: Scene) -> Exercise:
        """Fill a record for every name in the layout that the instruction names, with or without notes."""
        style = self._style(0.4)
        fine = style == _FINE
        tweet = self._tweet(scene, fine)
        first, between, nowhere, joint = _LAYOUTS[self.generator.integers(len(_LAYOUTS))]
        things = _things(scene, tweet)
        parts = [
            named.mention + first + self._label(named.type, named.fine_type, style) + between
            + (_model_box(thing, self.scale) if thing else nowhere)
            for named, thing in zip(tweet.named, things, strict=True)
        ]  # fmt: skip
        result = joint.join(parts) if parts else "nothing"
        label = ("kind", "type", "fine type")[style]
        ask = f"Records, name{first}{label}{between}box"
        boxed = _seen_of(things)
        if self.generator.random() < 0.85:
            reply = f"{self._notes(scene, tweet, fine)} Result: {result}"
            return Exercise("records", f"{ask}, with notes. {tweet.text}", reply, boxed, (*scene.things, *boxed))
        return Exercise("records", f"{ask}. {tweet.text}", f"Result: {result}", boxed)
