"""Where an entity stands in its tweet: in time in proportion to the tweet, however many entities it has."""

import bisect
import functools
import re
from collections.abc import Sequence


class Placer:
    """Finds the tokens of mentions and of character offsets; `text` is what the tokens were cut from, if anything."""

    def __init__(self, tokens: Sequence[str], text: str | None) -> None:
        self.tokens, self.text = tokens, text
        self._taken: set[tuple[int, int]] = set()
        self._next: dict[str, int] = {}

    def take(self, span: tuple[int, int]) -> None:
        """Note that an entity stands at `span`: the same mention, named again, is looked for behind it."""
        self._taken.add(span)

    def of_mention(self, words: Sequence[str]) -> tuple[tuple[int, int] | None, bool]:
        """Return the first free run of tokens that are `words` (None: none is), and whether there is any at all."""
        joined, starts = self._joined
        wanted = f" {' '.join(words)} "
        first = at = joined.find(wanted, self._next.get(wanted, 0))
        while at >= 0:
            # Where a mention is found it begins with a token, since no token holds a blank.
            start = bisect.bisect_left(starts, at)
            span = (start, start + len(words))
            self._next[wanted] = at + 1
            if span not in self._taken:
                return span, True
            at = joined.find(wanted, at + 1)
        return None, first >= 0 or wanted in self._next

    def of_characters(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the run of whole tokens between two offsets into the text, None where there is none."""
        begins, ends = self._edges
        first, last = begins.get(start), ends.get(end)
        return None if first is None or last is None or last < first else (first, last + 1)

    @functools.cached_property
    def _joined(self) -> tuple[str, list[int]]:
        starts, position = [], 0
        for token in self.tokens:
            starts.append(position)
            position += len(token) + 1
        return f" {' '.join(self.tokens)} ", starts

    @functools.cached_property
    def _edges(self) -> tuple[dict[int, int], dict[int, int]]:
        found = [match.span() for match in re.finditer(r"\S+", self.text or "")]
        begins = {start: index for index, (start, _) in enumerate(found)}
        return begins, {end: index for index, (_, end) in enumerate(found)}
