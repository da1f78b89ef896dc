"""Cutting a text into tokens: at blanks, and, if asked, before and after punctuation."""

import re
import unicodedata

Span = tuple[int, int]

_WHOLE = re.compile(r"(?:https?://|www\.)\S+|(?:[^\W\d_]\.){2,}|[@#]\w+|\W*", re.IGNORECASE)
_POSSESSIVE = re.compile(r"['’]s\Z", re.IGNORECASE)


def word_spans(text: str, split_punctuation: bool = False) -> list[Span]:
    """Return the character offsets of each token, end exclusive.

    With `split_punctuation`, punctuation at either end of a word becomes tokens of its own, one per character, and so
    does a possessive `'s`. Addresses, abbreviations with dots (`U.S.`), @names, #tags and runs of nothing but
    punctuation (`:-)`) stay whole; punctuation inside a word (`co-op`, `1,000`) does too.
    """
    words = [match.span() for match in re.finditer(r"\S+", text)]
    return [span for word in words for span in _parts(text, *word)] if split_punctuation else words


def _parts(text: str, start: int, end: int) -> list[Span]:
    first, last = start, end
    before: list[Span] = []
    after: list[Span] = []
    while not _WHOLE.fullmatch(text, first, last):
        if _is_punctuation(text[first]) and not _WHOLE.match(text, first).end() > first + 1:  # type: ignore[union-attr]
            before.append((first, first + 1))
            first += 1
        elif _is_punctuation(text[last - 1]):
            after.append((last - 1, last))
            last -= 1
        elif (found := _POSSESSIVE.search(text, first, last)) is not None and found.start() > first:
            after.append((found.start(), last))
            last = found.start()
        else:
            break
    return [*before, (first, last), *reversed(after)]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")
