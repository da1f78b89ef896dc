"""Invented names for the demo data and the tiny backbone, in parts that never share a name.

A name's part is decided by a hash of its core word, so that whoever draws a name of one part can never meet it
in another: names of the demo's test split occur in no training text, the backbone's included.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

PARTS = ("backbone", "train", "dev", "test")
# Of 16 buckets: the backbone needs the most names, so that it learns to copy any.
_BUCKETS = ("backbone",) * 8 + ("train",) * 4 + ("dev",) * 1 + ("test",) * 3

_ONSETS = (
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "br",
    "dr",
    "kr",
    "st",
    "tr",
    "sh",
)
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "", "", "n", "r", "l", "s", "k", "m")

TYPES = ("PER", "ORG", "LOC", "OTHER")


def part_of(core: str) -> str:
    """Return the part that a core word belongs to; the same for every spelling of its case."""
    return _BUCKETS[hashlib.sha256(core.lower().encode("utf-8")).digest()[0] % len(_BUCKETS)]


def core_word(generator: np.random.Generator, part: str) -> str:
    """Draw an invented capitalised word of two or three syllables that belongs to `part`."""
    while True:
        count = 2 + int(generator.random() < 0.35)
        word = "".join(
            _ONSETS[generator.integers(len(_ONSETS))] + _VOWELS[generator.integers(len(_VOWELS))] for _ in range(count)
        )
        word += _CODAS[generator.integers(len(_CODAS))]
        if part_of(word) == part:
            return word.capitalize()


def _choose(generator: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(generator.integers(len(options)))]


def person_name(generator: np.random.Generator, part: str) -> list[str]:
    """Draw a person's name as tokens: `Mara Kolen`, `O'Tamar`, `J. Velos`."""
    kind = generator.random()
    if kind < 0.08:
        return ["O'" + core_word(generator, part)]
    if kind < 0.16:
        return [_choose(generator, "ABCDEFGHJKLMNPRSTVWZ") + ".", core_word(generator, part)]
    if kind < 0.3:
        return ["@" + core_word(generator, part)]
    return [core_word(generator, part), core_word(generator, part)]


def group_name(generator: np.random.Generator, part: str) -> list[str]:
    """Draw an organisation's name as tokens: `Zelkor FC`, `Bram & Sons`."""
    kind = generator.random()
    if kind < 0.12:
        return [core_word(generator, part), "&", "Sons"]
    return [core_word(generator, part), _choose(generator, ("FC", "Labs", "Group", "United", "Inc."))]


def place_name(generator: np.random.Generator, part: str) -> list[str]:
    """Draw a place's name as tokens: `Port Zelka`, `Mira Hills`, `St. Tolvi`."""
    if generator.random() < 0.5:
        return [_choose(generator, ("Port", "Lake", "Mount", "St.", "Fort")), core_word(generator, part)]
    return [core_word(generator, part), _choose(generator, ("Hills", "Bay", "Valley", "Square"))]


def work_name(generator: np.random.Generator, part: str) -> list[str]:
    """Draw the name of something else as tokens: `Zorve Cup`, `Kalim II`, `Dreno : Saga`."""
    kind = generator.random()
    if kind < 0.12:
        return [core_word(generator, part), ":", "Origins"]
    if kind < 0.2:
        return [core_word(generator, part), ";", "Again"]
    return [core_word(generator, part), _choose(generator, ("Cup", "Fest", "Saga", "II", "Quest"))]


_MAKERS = {"PER": person_name, "ORG": group_name, "LOC": place_name, "OTHER": work_name}


def draw_name(generator: np.random.Generator, kind: str, part: str) -> list[str]:
    """Draw the name of an entity of `kind` (one of TYPES) from `part` (one of PARTS), as tokens."""
    return _MAKERS[kind](generator, part)
