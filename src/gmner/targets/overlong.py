"""Rows of more tokens than a run trains with: found, and handled, before any GPU is asked for."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gmner.config.run import RowLimit
from gmner.core.records import Sample
from gmner.errors import DataError

_REASONING = re.compile(r"<think>(?P<reasoning>.*?)</think>(?P<rest>.*)", re.DOTALL)
Lengths = NDArray[np.int64]


class Measure(Protocol):
    """Counts tokens as a backbone's tokenizer does."""

    def prompts(self, samples: Sequence[Sample]) -> Lengths:
        """Return the tokens of each sample's prompt, the image's included, (N,)."""

    def completions(self, texts: Sequence[str]) -> Lengths:
        """Return the tokens of each completion, the end of the turn included, (N,)."""


@dataclass(frozen=True)
class Overlong:
    """The rows over the limit: `room` has the tokens that each one's completion may have, by (sample, epoch).

    `dropped` are the samples that are left out of every epoch; `longest` is the longest row before anything was done.
    """

    longest: int = 0
    room: Mapping[tuple[str, int], int] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()


def find_overlong(
    epochs: Iterable[tuple[int, Sequence[Sample], Sequence[str]]], measure: Measure, limit: RowLimit
) -> Overlong:
    """Find the rows over `limit` among (epoch, samples, completions) and decide what becomes of them.

    Raises DataError if the policy is `error` and a row is too long, or if nothing is left to train on.
    """
    prompts: dict[str, int] = {}
    longest, worst = 0, ("", 0)
    room: dict[tuple[str, int], int] = {}
    dropped: set[str] = set()
    for epoch, samples, completions in epochs:
        new = [sample for sample in samples if sample.sample_id not in prompts]
        if new:
            prompts |= zip((sample.sample_id for sample in new), measure.prompts(new).tolist(), strict=True)
        before = np.array([prompts[sample.sample_id] for sample in samples])
        lengths = before + measure.completions(completions)
        if len(lengths) and int(lengths.max()) > longest:
            longest, worst = int(lengths.max()), (samples[int(lengths.argmax())].sample_id, epoch)
        for place in np.flatnonzero(lengths > limit.max_length).tolist():
            name, left = samples[place].sample_id, limit.max_length - int(before[place])
            room[name, epoch] = left
            if limit.overlong == "drop" or (
                limit.overlong == "truncate_reasoning"
                and shorten_reasoning(completions[place], left, measure.completions) is None
            ):
                dropped.add(name)
    if room and limit.overlong == "error":
        raise DataError(
            f"{len({name for name, _ in room})} samples are longer than train.max_length = {limit.max_length} tokens; "
            f"the longest is '{worst[0]}' with {longest} in epoch {worst[1]}. Raise train.max_length, or choose "
            "train.overlong: truncate_reasoning or drop"
        )
    if dropped and len(dropped) == len(prompts):
        raise DataError(
            f"every sample is longer than train.max_length = {limit.max_length} tokens; raise train.max_length"
        )
    return Overlong(longest, room, frozenset(dropped))


def shorten_reasoning(completion: str, room: int, count: Callable[[list[str]], Sequence[int] | Lengths]) -> str | None:
    """Return a completion with as many leading words of its reasoning as `room` tokens allow.

    None if it has no reasoning, or if even an empty one leaves it too long. `count` says how many tokens texts have.
    """
    found = _REASONING.fullmatch(completion)
    if found is None:
        return None
    words = found["reasoning"].split(" ")
    best: str | None = None
    low, high = 0, len(words) - 1
    while low <= high:
        keep = (low + high) // 2
        text = f"<think>{' '.join(words[:keep])}</think>{found['rest']}"
        if count([text])[0] <= room:
            best, low = text, keep + 1
        else:
            high = keep - 1
    return best
