"""Constrained decoding: at every step the tokens that would break the answer's grammar are ruled out.

llguidance computes the masks (https://github.com/guidance-ai/llguidance): per step some microseconds, per tweet a few
milliseconds to read its grammar. What a model may say stays what it would say first among the answers that can be read:
free reasoning, mentions of the tweet, types of the list, boxes inside the image.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gmner.core.records import Sample
from gmner.errors import ConfigError, DataError
from gmner.generation.answer_grammar import BoxOrder, answer_grammar, closed_answer
from gmner.models.seam import Encoder

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
ANSWER_SHARE = 0.5
"""Of the tokens an output may have at most, those that reasoning leaves to the answer."""


class AnswerGrammars:
    """Makes the masks of batches for one tokenizer and question.

    Raises ConfigError if llguidance is not installed.
    """

    def __init__(self, encoder: Encoder, vocabulary: int, max_new_tokens: int) -> None:
        try:
            import llguidance.hf
        except ImportError as error:
            raise ConfigError(
                f"generate.constrained is true, but the package llguidance cannot be imported ({error}); "
                "pip install 'gmner[train]' brings it"
            ) from error
        self._library: Any = llguidance
        self.encoder = encoder
        self.tokens: Any = llguidance.hf.from_tokenizer(encoder.tokenizer, n_vocab=vocabulary)
        self.most_reasoning = max(1, int(max_new_tokens * (1 - ANSWER_SHARE)))
        self._tags = {text: encoder.plain.added[text] for text in TAGS if text in encoder.plain.added}

    def text_of(self, sample: Sample) -> str:
        """Return a sample's grammar in Lark, as vLLM takes it too."""
        prompt = self.encoder.prompt
        return answer_grammar(sample, prompt.types, prompt.cot, prompt.frame, self._tags, self.most_reasoning)

    def masks(self, samples: Sequence[Sample]) -> "Masks":
        """Return the masks of one batch. Raises DataError for a sample whose grammar llguidance does not take."""
        matchers, orders = [], []
        for sample in samples:
            matcher = self._library.LLMatcher(self.tokens, f"%llguidance {{}}\n{self.text_of(sample)}")
            if matcher.is_error():
                raise DataError(f"sample {sample.sample_id}: no grammar for its answer ({matcher.get_error()[:200]})")
            matchers.append(matcher)
            orders.append(BoxOrder(self._bytes_of, *self.encoder.prompt.frame.coordinate_size(sample.size_wh)))
        return Masks(matchers, orders, self.tokens.vocab_size)

    def closed(self, text: str) -> str:
        """Return an output that the token limit cut, closed so that it reads without a problem."""
        return closed_answer(text, self.encoder.prompt.cot)

    @functools.cache  # noqa: B019 - as long as the decoder lives
    def _bytes_of(self, token: int) -> bytes:
        found: bytes = self.tokens.decode_bytes([token])
        return found


class Masks:
    """The masks of one batch of rows while they are decoded."""

    def __init__(self, matchers: Sequence[Any], orders: Sequence[BoxOrder], vocabulary: int) -> None:
        self._matchers, self._orders = matchers, orders
        self._bits = np.zeros((len(matchers), (vocabulary + 31) // 32), dtype=np.int32)
        self._vocabulary = vocabulary

    def apply(self, scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Return scores (rows, vocabulary) with minus infinity at each token that may not follow."""
        bits = self._bits[: len(rows)]
        for place, row in enumerate(rows):
            line = bits[place]
            if self._matchers[row].is_stopped():
                line[:] = -1  # done: what follows is not looked at
                continue
            self._matchers[row].unsafe_compute_mask_ptr(line.ctypes.data, line.nbytes)
            if self._orders[row].inside:
                self._drop_disordered(line, self._orders[row])
        # Expanded where the scores are: a bit per token goes to the device, not a number.
        packed = torch.from_numpy(bits).to(scores.device)
        allowed = (packed.unsqueeze(-1) >> torch.arange(32, dtype=torch.int32, device=scores.device)) & 1
        return scores.masked_fill(allowed.flatten(1)[:, : scores.shape[1]] == 0, -torch.inf)

    def take(self, row: int, token: int) -> None:
        """Follow the token that a row wrote."""
        if not self._matchers[row].is_stopped():
            self._matchers[row].consume_token(token)
            self._orders[row].take(token)

    def _drop_disordered(self, line: np.ndarray, order: BoxOrder) -> None:
        # Inside a box few tokens are left: digits, a comma, a bracket, and what a vocabulary joins of them.
        allowed = np.flatnonzero(np.unpackbits(line.view(np.uint8), bitorder="little", count=self._vocabulary))
        kept = [int(token) for token in allowed if order.keeps(int(token))]
        if kept:
            flags = np.zeros(line.size * 32, dtype=np.uint8)
            flags[kept] = 1
            line[:] = np.packbits(flags, bitorder="little").view(np.int32)
