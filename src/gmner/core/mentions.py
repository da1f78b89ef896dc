"""Mentions as they are compared: one form for the same words, whoever wrote them."""

import unicodedata

from gmner.datasets.escapes import decode_name


def normalise_mention(mention: str) -> str:
    """Return a mention with single blanks, html escapes decoded (`AT &amp ; T` is `AT & T`) and in Unicode's NFC.

    Nothing else is touched: case and punctuation count. The annotation's own mentions are in this form but for
    NFC, so a system that writes the tokens of the data set's files is not punished for their escapes.
    """
    if mention.isascii() and "&" not in mention:
        return " ".join(mention.split())
    return unicodedata.normalize("NFC", decode_name(mention))
