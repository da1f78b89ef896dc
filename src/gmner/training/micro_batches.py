"""How many rows go through a GPU at once: as many as fit, without a change in what an update learns from.

An update takes the rows of `batch_size` x `accumulation`; its loss is their sum over the number of their tokens. So
it does not matter in how many parts they go through the model: gradients add up. Parts are made here, longest rows
first, so that rows of like length stand together and little is padded.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gmner.errors import ConfigError, GmnerError

log = logging.getLogger(__name__)

Batch = dict[str, Any]
Measure = Callable[[int, bool], int | None]
"""(rows, checkpointing) -> peak bytes of a pass forward and back over so many of the longest rows; None: no room."""

PART_TOKENS = 8192
"""A GPU is busy with so many tokens; more rows at once only pad more: a tenth for eight rows of an update, not four."""
_SHARE = 0.92
_BY_ROW = ("input_ids", "attention_mask", "labels", "mm_token_type_ids")


@dataclass(frozen=True)
class Room:
    """What fits: rows at once, and whether activations must be computed again in the backward pass."""

    rows: int
    checkpointing: bool


class OutOfRoom(GmnerError):
    """A part of an update does not fit into the GPU's memory."""


def find_room(measure: Measure, limit: int, most: int, rows: int | None, checkpointing: bool | None) -> Room:
    """Return how many rows go through at once, at most `most`, under `limit` bytes.

    `rows` and `checkpointing` are fixed where they are not None. Checkpointing is chosen only where not even one
    row fits without. The peak is taken to grow by the same amount for each row, as measured from one to two.
    Raises ConfigError if nothing fits.
    """
    for again in (False, True) if checkpointing is None else (checkpointing,):
        one = measure(rows or 1, again)
        if one is None or one > limit:
            continue
        if rows is not None:
            return Room(rows, again)
        two = measure(2, again) if most > 1 else None
        if two is None:
            return Room(1, again)
        return Room(max(1, min(most, 1 + (limit - one) // max(two - one, 1))), again)
    if rows is not None and rows > 1:
        return find_room(measure, limit, most, None, checkpointing)
    raise ConfigError(
        f"training: not even one row fits into {limit / 2**30:.1f} GiB of the GPU; set train.quantization: nf4, or "
        "lower the frame's max_pixels or train.max_length"
    )


def memory_limit(weights: Sequence[torch.Tensor]) -> int:
    """Return the bytes that a step may take on this GPU: what is free and what is ours, less the optimizer's.

    AdamW keeps two numbers for each trained weight, and one copy of the gradients is kept beside them.
    """
    free, _ = torch.cuda.mem_get_info()
    later = sum(3 * weight.numel() * weight.element_size() for weight in weights)
    return int((free + torch.cuda.memory_reserved()) * _SHARE) - later


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that the GPU's memory is full."""
    return isinstance(error, torch.OutOfMemoryError) or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)


def measure_peak(step: Callable[[], None], weights: Sequence[torch.Tensor]) -> int | None:
    """Return the peak bytes of `step` on this GPU, None where it does not fit; gradients and draws are put back."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        with torch.random.fork_rng():
            step()
        peak: int | None = torch.cuda.max_memory_allocated()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        peak = None
    for weight in weights:
        weight.grad = None
    torch.cuda.empty_cache()
    return peak


class InParts:
    """Runs an update's rows through the model, `rows` at a time; fewer from then on where they do not fit.

    `cells` are the patches that make one feature of an image. `guarded` keeps a copy of the gradients, so that a
    part that ran out of memory half way can be run again; several processes cannot, for they would lose step.
    """

    def __init__(self, rows: int, cells: int, guarded: bool) -> None:
        self.rows, self.cells, self.guarded = rows, cells, guarded

    def run(
        self,
        step: Callable[[Batch], torch.Tensor],
        batches: Sequence[Batch],
        weights: Sequence[torch.Tensor],
        without_sync: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> torch.Tensor:
        """Return the sum of `step`'s losses over all rows of `batches`; each step adds to the weights' gradients.

        `without_sync` surrounds all parts but the last one: processes exchange gradients once an update.
        """
        batch = join(batches)
        order = by_length(batch)
        total: torch.Tensor | None = None
        start = 0
        while start < len(order):
            part = order[start : start + self.rows]
            last = start + len(part) == len(order)
            with contextlib.nullcontext() if last else without_sync():
                loss = self._attempt(step, take(batch, part, self.cells), weights)
            if loss is not None:
                total = loss if total is None else total + loss
                start += len(part)
        assert total is not None
        return total

    def _attempt(
        self, step: Callable[[Batch], torch.Tensor], part: Batch, weights: Sequence[torch.Tensor]
    ) -> torch.Tensor | None:
        kept = [None if w.grad is None else w.grad.clone() for w in weights] if self.guarded else []
        try:
            return step(part)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            rows, longest = part["input_ids"].shape
            if not self.guarded or rows == 1:
                raise OutOfRoom(
                    f"out of GPU memory with {rows} rows of {longest} tokens (rows {part.get('rows')}); set "
                    "train.micro_batch lower, train.gradient_checkpointing: true or train.quantization: nf4"
                ) from error
        for weight, gradient in zip(weights, kept, strict=True):
            weight.grad = gradient
        torch.cuda.empty_cache()
        halved = -(-rows // 2)
        log.warning("out of GPU memory: %d rows at once instead of %d, in twice as many parts", halved, rows)
        self.rows = halved
        return None


def join(batches: Sequence[Batch]) -> Batch:
    """Return several batches of a RowCollator as one; shorter rows are padded on the right, masked."""
    if len(batches) == 1:
        return batches[0]
    longest = max(batch["input_ids"].shape[1] for batch in batches)
    fills = {"labels": -100}
    joined: Batch = {}
    for name, first in batches[0].items():
        found = [batch[name] for batch in batches]
        if name in _BY_ROW:
            fill = fills.get(name, 0)
            found = [torch.nn.functional.pad(t, (0, longest - t.shape[1]), value=fill) for t in found]
        joined[name] = torch.cat(found) if isinstance(first, torch.Tensor) else [row for part in found for row in part]
    return joined


def by_length(batch: Batch) -> list[int]:
    """Return the places of a batch's rows, longest first, equals in their order."""
    lengths = batch["attention_mask"].sum(1).tolist()
    return sorted(range(len(lengths)), key=lambda place: -lengths[place])


def take(batch: Batch, places: Sequence[int], cells: int) -> Batch:
    """Return the rows of a batch at `places`, padded to the longest of them, with their images."""
    index = torch.as_tensor(list(places), device=batch["input_ids"].device)
    longest = int(batch["attention_mask"][index].sum(1).max())
    taken: Batch = {name: batch[name][index][:, :longest] for name in _BY_ROW if name in batch}
    if "image_grid_thw" in batch:
        patches = batch["image_grid_thw"].prod(1).tolist()
        taken["image_grid_thw"] = batch["image_grid_thw"][index]
        for name, count in (("pixel_values", 1), ("pixel_bytes", 1), ("features", cells)):
            if name in batch:
                images = batch[name].split([number // count for number in patches])
                taken[name] = torch.cat([images[place] for place in places])
    if "rows" in batch:
        taken["rows"] = [batch["rows"][place] for place in places]
    return taken
