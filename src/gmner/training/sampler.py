"""The order of training: the rows of the epoch at hand, shuffled by seed, rows of like length together."""

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

_POOL_BATCHES = 50


class EpochSampler(Sampler[int]):
    """Yields the row numbers of one epoch: each of its rows once, in an order given by (seed, epoch) alone.

    `lengths` are the tokens of every row, (epochs, samples). With `grouped`, rows are sorted by length within
    pools of 50 shuffled batches and the batches are shuffled again: little padding, still a random order.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, grouped: bool) -> None:
        self.lengths, self.batch_size, self.seed, self.grouped = lengths, batch_size, seed, grouped
        self.epoch = 0

    def __len__(self) -> int:
        return self.lengths.shape[1]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose rows come next; those after the last one repeat it."""
        self.epoch = min(int(epoch), self.lengths.shape[0] - 1)

    def __iter__(self) -> Iterator[int]:
        return iter((order_of_epoch(self) + self.epoch * len(self)).tolist())


def order_of_epoch(sampler: EpochSampler) -> np.ndarray:
    """Return the sample numbers of the sampler's epoch in their order."""
    generator = np.random.default_rng([sampler.seed, sampler.epoch])
    order = generator.permutation(len(sampler))
    if not sampler.grouped:
        return order
    lengths, size = sampler.lengths[sampler.epoch], sampler.batch_size
    batches: list[np.ndarray] = []
    for start in range(0, len(order), size * _POOL_BATCHES):
        pool = order[start : start + size * _POOL_BATCHES]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        batches += [pool[first : first + size] for first in range(0, len(pool), size)]
    # The loader cuts the order into batches again, so only the last one may be short.
    short = [batch for batch in batches if len(batch) < size]
    full = [batch for batch in batches if len(batch) == size]
    return np.concatenate([*(full[i] for i in generator.permutation(len(full))), *short])


class MicroBatches(Sampler[list[int]]):
    """The batches of one process: of each update's `accumulation` batches every `world`-th, from the `rank`-th on.

    All processes together see each row of an epoch once, and each update has the rows that it has with one process.
    Where an epoch's last update has too few batches for all, a process without one gets a single row with a minus
    before it (-1 - row): it is run, so that all processes keep step, and counts for nothing. With `fill` short
    batches are filled up with such rows, so that all processes have as many rows in an update.
    """

    def __init__(self, sampler: EpochSampler, accumulation: int, rank: int, world: int, fill: bool = False) -> None:
        self.sampler, self.accumulation, self.rank, self.world = sampler, accumulation, rank, world
        self.fill = fill and world > 1

    def __len__(self) -> int:
        full, rest = divmod(math.ceil(len(self.sampler) / self.sampler.batch_size), self.accumulation)
        return full * (self.accumulation // self.world) + math.ceil(rest / self.world)

    def __iter__(self) -> Iterator[list[int]]:
        rows, size = list(self.sampler), self.sampler.batch_size
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        for start in range(0, len(batches), self.accumulation):
            update = batches[start : start + self.accumulation]
            for place in range(self.rank, math.ceil(len(update) / self.world) * self.world, self.world):
                batch = update[place] if place < len(update) else [-1 - update[-1][-1]]
                yield [*batch, *[-1 - update[-1][-1]] * (size - len(batch))] if self.fill else batch
