"""A pool of sampled answers per train tweet: which tweets are easy, hard, or hopeless for the model as it is.

The curriculum is MAKAR's (EMNLP 2025): what is always right teaches nothing new, what is never right teaches nothing at
all to a method that compares answers of one tweet.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gmner.config.refine import RefineSettings
from gmner.core.records import Sample
from gmner.generation.run import Shards
from gmner.runtime.progress import Progress
from gmner.storage.files import sha256_of_json
from gmner.training.refine.rewards import is_right
from gmner.training.refine.rollouts import Sampler, gold_records

POOL_TURN = 2**31 - 1
"""The round of draws that belongs to the pool: no update of a policy has this number."""

Difficulty = Literal["easy", "hard", "hopeless"]


@dataclass(frozen=True, slots=True)
class PooledAnswer:
    """One sampled answer of a train tweet and whether the scorer calls it right."""

    sample_id: str
    text: str
    right: bool
    reward: float


@dataclass(frozen=True, slots=True)
class Pooled:
    """A tweet's sampled answers."""

    sample: Sample
    answers: tuple[PooledAnswer, ...]

    @property
    def difficulty(self) -> Difficulty:
        """Easy if every answer is right, hopeless if none is."""
        right = sum(answer.right for answer in self.answers)
        return "hopeless" if right == 0 else "easy" if right == len(self.answers) else "hard"


def draw_pool(
    sampler: Sampler, samples: Sequence[Sample], settings: RefineSettings, work_dir: Path, identity: dict[str, Any]
) -> list[Pooled]:
    """Return each sample's `group` answers, drawn in chunks that are kept in `work_dir` as they are done."""
    size = max(1, settings.batch_size // settings.group)
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    done = Shards(work_dir, sha256_of_json({"identity": identity, "samples": [sample.sample_id for sample in samples]}))
    progress = Progress("refine", len(samples), "tweets sampled")
    pool: list[Pooled] = []
    for number, chunk in enumerate(chunks):
        rows = done.read_rows(number)
        if rows is None:
            rows = [asdict(answer) for answer in _draw(sampler, chunk, settings)]
            done.write_rows(number, rows)
        answers = [PooledAnswer(**row) for row in rows]
        for place, sample in enumerate(chunk):
            mine = answers[place * settings.group : (place + 1) * settings.group]
            pool.append(Pooled(sample, tuple(mine)))
        progress.advance(len(chunk))
    progress.finish()
    return pool


def _draw(sampler: Sampler, chunk: Sequence[Sample], settings: RefineSettings) -> list[PooledAnswer]:
    repeated = [sample for sample in chunk for _ in range(settings.group)]
    numbers = [number for _ in chunk for number in range(settings.group)]
    found = []
    for sample, rollout in zip(repeated, sampler.answers(repeated, numbers, POOL_TURN), strict=True):
        gold = gold_records(sample, sampler.decoder.encoder.prompt.frame, sampler.fine)
        right = rollout.whole and is_right(rollout.text, gold, settings.keep)
        found.append(PooledAnswer(sample.sample_id, rollout.text, right, rollout.reward.total))
    return found
