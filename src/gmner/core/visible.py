"""Text of strangers as a terminal may have it: what would steer the terminal is written out."""

import re

# Control characters but tab and line break; the second set of them (0x9b alone starts a sequence); marks that turn the
# reading direction of what follows; halves of surrogate pairs, which no stream can encode.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return text with every such character as `\uXXXX`, which inside JSON means the same character."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
