"""Images are read by threads of this process, some batches ahead of the step that needs them.

Threads and not worker processes: PIL decodes and resizes without the interpreter's lock, what they read needs no shared
memory (a container has 64 MiB of it), and no process can die and leave its parent waiting. An image travels as bytes,
an eighth of the patches that the model reads; those are made on the device, for the rows that go through it next.
"""

import collections
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

Batch = dict[str, Any]
_IMAGES = "images"


class ImageReader:
    """Reads the images of a batch, in `threads` threads or, with none, at once."""

    def __init__(self, encoder: Any, threads: int) -> None:
        self.encoder, self.threads = encoder, threads
        self._pool = ThreadPoolExecutor(threads, "images") if threads else None

    def begin(self, samples: Sequence[Any]) -> Batch:
        """Return what stands for the images of a batch until `finish` is called on it."""
        if self._pool is None:
            return {_IMAGES: [_done(self._read(sample)) for sample in samples]}
        return {_IMAGES: [self._pool.submit(self._read, sample) for sample in samples]}

    def _read(self, sample: Any) -> tuple[str, torch.Tensor]:
        found = self.encoder.pixel_bytes(sample)
        return ("pixel_values", self.encoder.pixels(sample)) if found is None else ("pixel_bytes", found)


def finish(batch: Batch) -> Batch:
    """Wait for a batch's images and put them into it, one after the other; what failed to be read is raised here."""
    if _IMAGES not in batch:
        return batch
    read = [future.result() for future in batch[_IMAGES]]
    rest = {name: value for name, value in batch.items() if name != _IMAGES}
    return {**rest, read[0][0]: torch.cat([pixels for _, pixels in read])}


def _done(value: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class ReadAhead(Iterator[Batch]):
    """Batches of `source` in their order; the images of the next `depth` of them are being read meanwhile."""

    def __init__(self, source: Iterator[Batch], depth: int, finish: Callable[[Batch], Batch] = finish) -> None:
        self.source, self.depth, self._finish = source, depth, finish
        self._begun: collections.deque[Batch] = collections.deque()

    def __next__(self) -> Batch:
        while len(self._begun) <= self.depth:
            try:
                self._begun.append(next(self.source))
            except StopIteration:
                break
        if not self._begun:
            raise StopIteration
        return self._finish(self._begun.popleft())
