"""Sampled answers of train tweets, each with its reward.

What is drawn follows from (seed, round, sample, number of the answer) alone, so a resumed run draws what an
uninterrupted one draws, and a tweet draws the same whatever tweets are beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gmner.config.refine import RefineSettings
from gmner.core.frame import Frame
from gmner.core.records import Record, Sample
from gmner.generation.decode import Decoder
from gmner.models.encoding import FeatureBank
from gmner.training.refine.rewards import Reward, reward_of


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled answer: its token ids and text, whether it ended by itself, and its reward."""

    ids: list[int]
    text: str
    whole: bool
    reward: Reward


class Sampler:
    """Samples answers with a decoder and rewards them against the gold annotation."""

    def __init__(
        self, decoder: Decoder, settings: RefineSettings, fine: bool, seed: int, bank: FeatureBank | None = None
    ) -> None:
        self.decoder, self.settings, self.fine, self.seed, self.bank = decoder, settings, fine, seed, bank

    def answers(self, samples: Sequence[Sample], numbers: Sequence[int], turn: int) -> list[Rollout]:
        """Return one answer per entry of `samples`: its `numbers`-th answer in round `turn`."""
        settings, found = self.settings, []
        for start in range(0, len(samples), settings.batch_size):
            part = samples[start : start + settings.batch_size]
            uniforms = np.stack(
                [
                    self._uniforms(sample, number, turn)
                    for sample, number in zip(part, numbers[start : start + settings.batch_size], strict=True)
                ]
            )
            written = self.decoder.sample_batch(part, uniforms, settings.temperature, self.bank)
            found += [self._rollout(sample, ids) for sample, ids in zip(part, written, strict=True)]
        return found

    def _uniforms(self, sample: Sample, number: int, turn: int) -> np.ndarray:
        name = int.from_bytes(sample.sample_id.encode()[-16:], "big")
        generator = np.random.default_rng([self.seed, turn, number, name])
        return generator.random(self.settings.max_new_tokens, dtype=np.float32)

    def _rollout(self, sample: Sample, ids: list[int]) -> Rollout:
        stop = self.decoder.stop
        text, whole = stop.text(ids), bool(ids) and stop.is_done(ids)
        gold = gold_records(sample, self.decoder.encoder.prompt.frame, self.fine)
        return Rollout(ids, text, whole, reward_of(text, gold, sample.tokens, self.settings.reward, whole))


def gold_records(sample: Sample, frame: Frame, fine: bool) -> list[Record]:
    """Return a sample's annotation as an answer would say it: boxes in the model's frame, rounded."""
    records = []
    for entity in sample.entities:
        boxes: tuple[tuple[float, float, float, float], ...] = ()
        if entity.boxes:
            rounded = frame.to_model(list(entity.boxes), sample.size_wh).round().tolist()
            boxes = tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in rounded)
        records.append(Record(entity.mention, entity.label(fine), boxes))
    return records
