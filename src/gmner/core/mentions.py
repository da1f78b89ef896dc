"""Mentions and tokens as they are compared: html escapes decoded once, one form for the same words.

The tokenizer of Twitter-GMNER cut `&amp;` into the tokens `&amp` and `;`, and the names of boxes carry the same
two words. Both become one `&`, so that a mention is always a part of its tweet's text.
"""

import re
import unicodedata
from collections.abc import Sequence

_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "#39": "'"}
_ESCAPE = re.compile(r"&(amp|lt|gt|quot|apos|#39);?")
_OPEN_AT_END = re.compile(r"&(?:amp|lt|gt|quot|apos|#39)\Z")
_IN_NAME = re.compile(r"&(amp|lt|gt|quot|apos|#39)(?: ?;)?")


def has_escape(token: str) -> bool:
    """Say whether a token holds an html escape."""
    return "&" in token and _ESCAPE.search(token) is not None


def decode_tokens(
    tokens: Sequence[str], tags: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Decode escapes in the tokens; a `;` that only ended one is merged into the token before it.

    The merged token keeps the first token's tag, or takes the second's where the first is outside any entity.
    """
    if "&" not in "".join(tokens):
        return tuple(tokens), tuple(tuple(column) for column in tags)
    kept: list[str] = []
    columns: list[list[str]] = [[] for _ in tags]
    may_merge = False
    for index, token in enumerate(tokens):
        if may_merge and token == ";":
            for column, source in zip(columns, tags, strict=True):
                if column[-1] == "O":
                    column[-1] = source[index]
            may_merge = False
            continue
        may_merge = _OPEN_AT_END.search(token) is not None
        kept.append(_ESCAPE.sub(lambda match: _CHARACTERS[match[1]], token))
        for column, source in zip(columns, tags, strict=True):
            column.append(source[index])
    return tuple(kept), tuple(tuple(column) for column in columns)


def decode_name(name: str) -> str:
    """Return a box's name as the text of a mention: blanks and newlines made single, escapes decoded."""
    return _IN_NAME.sub(lambda match: _CHARACTERS[match[1]], " ".join(name.split()))


def normalise_mention(mention: str) -> str:
    """Return a mention with single blanks, html escapes decoded (`AT &amp ; T` is `AT & T`) and in Unicode's NFC.

    Nothing else is touched: case and punctuation count. The annotation's own mentions are in this form but for
    NFC, so a system that writes the tokens of the data set's files is not punished for their escapes.
    """
    if mention.isascii() and "&" not in mention:
        return " ".join(mention.split())
    return unicodedata.normalize("NFC", decode_name(mention))
