"""Batched greedy decoding with a key-value cache, until each row has closed its answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from transformers import DynamicCache

from gmner.core.records import Sample
from gmner.errors import DataError, GmnerError
from gmner.generation.confidence import record_confidences
from gmner.generation.constrained import AnswerGrammars, Masks
from gmner.models.encoding import FeatureBank, pad_rows
from gmner.models.families import seam_of
from gmner.models.seam import Encoder

END_OF_ANSWER = "</answer>"

_TAIL_TOKENS = 12
_COMPACT_BELOW = 0.75


@dataclass(frozen=True, slots=True)
class Output:
    """What the model wrote for one sample. `finish_reason` is `stop`, or `length` where the limit cut it."""

    sample_id: str
    output: str
    prompt_tokens: int
    output_tokens: int
    finish_reason: str
    # Of each record that the output is read as: the mean log-probability of its tokens; null where it cannot be told.
    confidence: list[float | None] | None = field(default=None, compare=False)


class StopRule:
    """Says when a row is done: at the end of the turn, or once its text holds `</answer>`.

    The tag has no token of its own in a BPE vocabulary and may share one with the bracket before it, so the text
    of the last tokens is looked at, and only after a token that has a `>` in it.
    """

    def __init__(self, tokenizer: Any, eos_token_ids: Sequence[int]) -> None:
        self.tokenizer = tokenizer
        self.eos = frozenset(int(number) for number in eos_token_ids)
        self._closing = frozenset(number for token, number in tokenizer.get_vocab().items() if ">" in token)

    def is_done(self, ids: Sequence[int]) -> bool:
        """Say whether the tokens written so far end the row."""
        if ids[-1] in self.eos:
            return True
        return ids[-1] in self._closing and END_OF_ANSWER in self.tokenizer.decode(ids[-_TAIL_TOKENS:])

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of a row without its end-of-turn token."""
        kept = ids[:-1] if ids and ids[-1] in self.eos else ids
        return self.tokenizer.decode(kept, skip_special_tokens=False)


class Decoder:
    """Decodes samples with one model; the order of the samples and the batch size do not change an answer."""

    def __init__(
        self, model: Any, encoder: Encoder, batch_size: int, max_new_tokens: int, constrained: bool = False
    ) -> None:
        self.model, self.encoder = model, encoder
        self.batch_size, self.max_new_tokens = batch_size, max_new_tokens
        self.pad_token_id = encoder.pad_token_id
        self.most_tokens = int(model.config.get_text_config().max_position_embeddings)
        eos = model.generation_config.eos_token_id
        eos = list(eos) if isinstance(eos, list | tuple) else [eos] if eos is not None else []
        self.stop = StopRule(encoder.tokenizer, [*eos, encoder.eos_token_id])
        self.grammars: AnswerGrammars | None = None
        if constrained:
            vocabulary = int(model.get_output_embeddings().weight.shape[0])
            self.grammars = AnswerGrammars(encoder, vocabulary, max_new_tokens)

    def batches(self, samples: Sequence[Sample]) -> list[list[int]]:
        """Return the sample numbers of each batch: longest prompts first, each number exactly once."""
        order = np.argsort([-len(ids) for ids in self._prompts(samples)], kind="stable").tolist()
        return [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]

    def decode(self, samples: Sequence[Sample], bank: FeatureBank | None = None) -> Iterator[list[Output]]:
        """Yield the outputs of all samples, one list a batch."""
        was_training = self.model.training
        self.model.eval()
        try:
            for numbers in self.batches(samples):
                yield self.decode_batch([samples[number] for number in numbers], bank)
        finally:
            self.model.train(was_training)

    def decode_batch(self, samples: Sequence[Sample], bank: FeatureBank | None = None) -> list[Output]:
        """Return the outputs of one batch, in the order of `samples`."""
        prompts = self._prompts(samples)
        masks = None if self.grammars is None else self.grammars.masks(samples)
        logprobs: list[list[float]] = [[] for _ in samples]
        inputs = self._inputs(samples, prompts, bank)
        written = write_rows(self.model, inputs, self.stop, self.max_new_tokens, masks, logprobs=logprobs)
        return [
            self._output(sample.sample_id, len(prompt), ids, found)
            for sample, prompt, ids, found in zip(samples, prompts, written, logprobs, strict=True)
        ]

    def _output(self, sample_id: str, prompt_tokens: int, ids: list[int], logprobs: list[float]) -> Output:
        done = bool(ids) and self.stop.is_done(ids)
        text = self.stop.text(ids)
        if self.grammars is not None and not done:
            text = self.grammars.closed(text)
        confidence = record_confidences(text, ids, logprobs, self.stop.text)
        return Output(sample_id, text, prompt_tokens, len(ids), "stop" if done else "length", confidence)

    def sample_batch(
        self, samples: Sequence[Sample], uniforms: np.ndarray, temperature: float, bank: FeatureBank | None = None
    ) -> list[list[int]]:
        """Return the token ids of one sampled answer per entry of `samples`, which may hold a sample several times.

        `uniforms` (answers, max_new_tokens) decide what is drawn. Ends with the token after which the row was done.
        """
        prompts = self._prompts(samples)
        masks = None if self.grammars is None else self.grammars.masks(samples)
        inputs, choose = self._inputs(samples, prompts, bank), drawn(uniforms, temperature)
        return write_rows(self.model, inputs, self.stop, self.max_new_tokens, masks, choose)

    def _prompts(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Return the prompts; raises DataError for one that is longer than the backbone can read."""
        prompts = self.encoder.prompts(samples)
        for sample, ids in zip(samples, prompts, strict=True):
            if len(ids) > self.most_tokens:
                raise DataError(
                    f"sample {sample.sample_id}: its prompt has {len(ids)} tokens, the backbone reads "
                    f"{self.most_tokens} at most; shorten the text or leave the sample out"
                )
        return prompts

    def _inputs(self, samples: Sequence[Sample], prompts: list[np.ndarray], bank: FeatureBank | None) -> dict[str, Any]:
        device = self.model.device
        input_ids, mask = pad_rows(prompts, self.pad_token_id, left=True)
        inputs: dict[str, Any] = {
            "input_ids": input_ids.to(device),
            "attention_mask": mask.to(device),
            "mm_token_type_ids": (input_ids == self.encoder.image_token_id).long().to(device),
            "image_grid_thw": torch.tensor([self.encoder.grid_of(s.size_wh) for s in samples]).to(device),
        }
        if bank is not None:
            features = torch.cat([bank.of(sample) for sample in samples]).to(device)
            inputs |= seam_of(self.model.config.model_type).feature_inputs(features)
        else:
            inputs["pixel_values"] = torch.cat([self.encoder.pixels(sample) for sample in samples]).to(device)
        return inputs


Choice = Callable[[torch.Tensor, Sequence[int], int], torch.Tensor]
"""Takes scores (rows, vocabulary), the rows' numbers and the step; returns a token per row."""


def most_likely(scores: torch.Tensor, rows: Sequence[int], step: int) -> torch.Tensor:
    """Return each row's token with the highest score."""
    return scores.argmax(dim=-1)


def drawn(uniforms: np.ndarray, temperature: float) -> Choice:
    """Return a choice that samples at `temperature`.

    `uniforms` (rows, steps) are numbers in [0, 1), one per row and token: what a row draws does not depend on the
    rows beside it.
    """
    numbers = torch.from_numpy(np.ascontiguousarray(uniforms, dtype=np.float32))

    def choose(scores: torch.Tensor, rows: Sequence[int], step: int) -> torch.Tensor:
        cumulated = torch.softmax(scores.float() / temperature, dim=-1).cumsum(dim=-1)
        wanted = numbers[list(rows), step].to(scores.device).unsqueeze(-1) * cumulated[:, -1:]
        return torch.searchsorted(cumulated, wanted, right=True).squeeze(-1).clamp(max=scores.shape[-1] - 1)

    return choose


def _logprobs_of(scores: torch.Tensor, tokens: torch.Tensor) -> list[float]:
    """Return the log-probability of each row's token under its scores (rows, vocabulary)."""
    found: list[float] = scores.float().log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0].tolist()
    return found


@torch.inference_mode()
def write_rows(
    model: Any,
    inputs: dict[str, Any],
    stop: StopRule,
    max_new_tokens: int,
    masks: Masks | None = None,
    choose: Choice = most_likely,
    logprobs: list[list[float]] | None = None,
) -> list[list[int]]:
    """Return the tokens that each row writes, at every step the one that `choose` takes of those that `masks` allow.

    `inputs` are left-padded. Positions (time, height, width) are computed here once and counted
    on for each new token. Rows that are done leave the batch once a quarter of it is. Raises GmnerError if
    the model's scores are not finite. `logprobs` (one list per row) is filled with each token's log-probability, over
    the whole vocabulary, whatever `masks` allow.
    """
    positions = seam_of(model.config.model_type).positions(model, inputs)
    cache = DynamicCache(config=model.config)
    scores = model(**inputs, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    if not torch.isfinite(scores).all():
        raise GmnerError("the model's scores are not finite; set generate.precision to fp32")
    next_position = positions.amax(dim=(0, 2)) + 1
    mask, rows = inputs["attention_mask"], list(range(len(positions[0])))
    written: list[list[int]] = [[] for _ in rows]
    done: set[int] = set()
    for step in range(max_new_tokens):
        last = scores[:, -1]
        tokens = choose(last if masks is None else masks.apply(last, rows), rows, step)
        chances = None if logprobs is None else _logprobs_of(last, tokens)
        for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
            if row not in done:
                written[row].append(token)
                if logprobs is not None and chances is not None:
                    logprobs[row].append(chances[place])
                if masks is not None:
                    masks.take(row, token)
                if stop.is_done(written[row]):
                    done.add(row)
        if len(done) == len(written) or step + 1 == max_new_tokens:
            break
        alive = [place for place, row in enumerate(rows) if row not in done]
        if len(alive) < _COMPACT_BELOW * len(rows):
            keep = torch.tensor(alive, device=tokens.device)
            cache.reorder_cache(cast(torch.LongTensor, keep))  # which layers of every kind have, recurrent ones too
            tokens, mask, next_position = tokens[keep], mask[keep], next_position[keep]
            rows = [rows[place] for place in alive]
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        scores = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=next_position.view(1, -1, 1).expand(3, -1, -1),
            past_key_values=cache,
            use_cache=True,
        ).logits
        next_position = next_position + 1
    return written
