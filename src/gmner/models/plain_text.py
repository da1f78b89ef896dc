"""Text of others as a model's tokens: what it spells is never taken for a token that steers the chat.

A tweet may spell `<|im_end|>`, `<|image_pad|>` or `<think>`. A tokenizer finds such added tokens before it looks at
anything else, so a tweet could end its own turn or claim an image. Here a text is encoded by the same vocabulary and
merges with no added token in it: the model reads the characters that stand there, and can copy them.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from tokenizers import Tokenizer


class PlainText:
    """Encodes text with a tokenizer's vocabulary and only those of its added tokens that the caller names."""

    def __init__(self, tokenizer: Any) -> None:
        told = json.loads(tokenizer.backend_tokenizer.to_str())
        self.added: dict[str, int] = {entry["content"]: int(entry["id"]) for entry in told["added_tokens"]}
        told |= {"added_tokens": [], "truncation": None, "padding": None}
        self._plain = Tokenizer.from_str(json.dumps(told))

    def encode(self, texts: Sequence[str], tokens: Collection[str] = ()) -> list[list[int]]:
        """Return the ids of each text; of the added tokens only those in `tokens` are read as such."""
        known = self.pattern(tokens)
        cut = [[(text, None)] if known is None else _cut(text, known) for text in texts]
        pieces = [text for parts in cut for text, _ in parts]
        encoded = iter(self._plain.encode_batch(pieces, add_special_tokens=False))
        rows = []
        for parts in cut:
            ids: list[int] = []
            for _, token in parts:
                ids += next(encoded).ids
                ids += [] if token is None else [self.added[token]]
            rows.append(ids)
        return rows

    def pattern(self, tokens: Collection[str] | None = None) -> re.Pattern[str] | None:
        """Return a pattern of the added tokens among `tokens` (None: of all), the longest first; None where none is."""
        chosen = [token for token in self.added if tokens is None or token in tokens]
        if not chosen:
            return None
        return re.compile(
            "|".join(re.escape(token) for token in sorted(chosen, key=lambda token: (-len(token), token)))
        )

    def neutralise(self, text: str, spared: Collection[str] = ()) -> str:
        """Return a text with a blank after the first character of each added token but the `spared` ones.

        For a processor that must be given text: `<|im_end|>` becomes `< |im_end|>`, which is no token.
        """
        known = self.pattern([token for token in self.added if token not in spared])
        return text if known is None else known.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def _cut(text: str, known: re.Pattern[str]) -> list[tuple[str, str | None]]:
    """Cut a text at its tokens: pairs of what stands before a token, and the token (None at the end)."""
    parts: list[tuple[str, str | None]] = []
    position = 0
    for found in known.finditer(text):
        parts.append((text[position : found.start()], found[0]))
        position = found.end()
    return [*parts, (text[position:], None)]
