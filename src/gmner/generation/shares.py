"""A share of a stage's work: what one of several jobs does."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gmner.errors import DataError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """One of `count` shards, counted from 0."""

    number: int
    count: int

    def of(self, items: Sequence[Item]) -> list[Item]:
        """Return this shard's share: every `count`-th item."""
        return list(items[self.number :: self.count])

    def passing(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the same share of items that come one by one."""
        for place, item in enumerate(items):
            if place % self.count == self.number:
                yield item

    def __str__(self) -> str:
        return f"{self.number}-of-{self.count}"


WHOLE = Shard(0, 1)


def parse_shard(text: str) -> Shard:
    """Read `<number>-of-<count>`, the number counted from 0. Raises DataError if it is something else."""
    found = re.fullmatch(r"(\d+)-of-(\d+)", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise DataError(f"shard '{text}': expected <number>-of-<count>, numbers from 0, for instance 0-of-4")
    return Shard(int(found[1]), int(found[2]))
