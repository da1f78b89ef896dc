"""Images are read ahead by threads: in order, with little memory, and with no process that could die."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from gmner.core.records import Sample
from gmner.errors import DataError
from gmner.models.encoding import PromptSettings
from gmner.models.families import seam_of_folder
from gmner.training.read_ahead import ImageReader, ReadAhead, finish
from tests.helpers.tiny_training import FRAME, TYPES


class Slow:
    """An encoder whose images take a moment, the first ones longest."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.lock = threading.Lock()

    def pixel_bytes(self, sample: int) -> torch.Tensor:
        time.sleep(0.05 / (1 + sample))
        with self.lock:
            self.read.append(sample)
        return torch.tensor([[sample]], dtype=torch.uint8)


def batches(reader: ImageReader, count: int, drawn: list[int]) -> Iterator[dict[str, Any]]:
    for number in range(count):
        drawn.append(number)
        yield {"rows": [number], **reader.begin([number, number + 100])}


@pytest.mark.parametrize("threads", [0, 3])
def test_batches_come_in_their_order_and_only_a_few_are_begun(threads: int) -> None:
    drawn: list[int] = []
    ahead = ReadAhead(batches(ImageReader(Slow(), threads), 9, drawn), threads)
    first = next(ahead)
    assert first["rows"] == [0] and len(drawn) == 1 + threads
    found = [first, *ahead]
    assert [batch["rows"] for batch in found] == [[number] for number in range(9)]
    assert [batch["pixel_bytes"].flatten().tolist() for batch in found] == [[n, n + 100] for n in range(9)]
    with pytest.raises(StopIteration):
        next(ahead)


def test_an_image_that_cannot_be_read_is_an_error_of_its_batch_and_nothing_hangs(
    backbone: Path, samples: list[Sample], tmp_path: Path
) -> None:
    encoder = seam_of_folder(backbone).encoder(backbone, PromptSettings("short", TYPES, True, FRAME))
    reader = ImageReader(encoder, 2)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    import dataclasses

    begun = [reader.begin([sample]) for sample in (samples[0], dataclasses.replace(samples[1], image_path=str(broken)))]
    assert finish(begun[0])["pixel_bytes"].dtype is torch.uint8
    with pytest.raises(DataError, match=r"sample train/1: .*broken\.png"):
        finish(begun[1])


def test_no_process_is_started_and_no_shared_memory_used(backbone: Path, samples: list[Sample]) -> None:
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.is_dir() else set()
    encoder = seam_of_folder(backbone).encoder(backbone, PromptSettings("short", TYPES, True, FRAME))
    reader = ImageReader(encoder, 4)
    begun = [reader.begin(samples) for _ in range(4)]
    assert psutil.Process().children() == []
    assert all(batch["pixel_bytes"].shape[0] for batch in map(finish, begun))
    after = set(shared.iterdir()) if shared.is_dir() else set()
    assert not {path for path in after - before if path.name.startswith("torch_")}
