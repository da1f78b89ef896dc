"""Rows in parts: the same update, whatever fits; against a card that tests invent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from gmner.config.run import TrainSettings
from gmner.core.records import Sample
from gmner.errors import ConfigError
from gmner.models.encoding import PromptSettings
from gmner.storage.files import read_json
from gmner.training import memory_probe
from gmner.training import micro_batches as memory
from gmner.training.micro_batches import InParts, OutOfRoom, Room, by_length, find_room, join, take
from gmner.training.stage import TrainJob, train_adapter
from gmner.training.trainer import RowTrainer
from tests.helpers.tiny_training import FRAME, TYPES

GIB = 2**30
Make = Callable[..., TrainJob]


def card(base: float, row: float, checkpointed: float, limit: float) -> Callable[[int, bool], int | None]:
    """A card on which a step takes `base` GiB and so many for each row; None over the limit."""

    def measure(rows: int, checkpointing: bool) -> int | None:
        peak = base + rows * (checkpointed if checkpointing else row)
        return int(peak * GIB) if peak <= limit else None

    return measure


@pytest.mark.parametrize(
    ("limit", "most", "rows", "checkpointing", "expected"),
    [
        (141, 16, None, None, Room(16, False)),  # all at once
        (48, 16, None, None, Room(5, False)),  # (48 - 16) / 6
        (48, 4, None, None, Room(4, False)),
        (24, 16, None, None, Room(1, False)),  # two do not fit
        (20, 16, None, None, Room(4, True)),  # one does not fit without
        (48, 16, 2, None, Room(2, False)),
        (24, 16, 2, None, Room(2, True)),
        (17, 16, 8, None, Room(1, True)),  # eight do not fit at all
        (141, 16, None, True, Room(16, True)),
        (141, 1, None, None, Room(1, False)),
    ],
)
def test_what_fits(limit: float, most: int, rows: int | None, checkpointing: bool | None, expected: Room) -> None:
    measure = card(base=16, row=6, checkpointed=1, limit=limit)
    assert find_room(measure, int(limit * GIB), most, rows, checkpointing) == expected


def test_a_row_that_fits_nowhere_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"not even one row fits into 12\.0 GiB.*quantization: nf4"):
        find_room(card(16, 6, 1, 12), 12 * GIB, 16, None, None)


def batch_of(lengths: list[int], patches: list[int], first_row: int) -> dict[str, Any]:
    longest = max(lengths)
    mask = torch.tensor([[1] * length + [0] * (longest - length) for length in lengths])
    numbers = torch.arange(first_row, first_row + len(lengths))
    return {
        "input_ids": (numbers[:, None] + 1) * mask,
        "attention_mask": mask,
        "labels": torch.where(mask.bool(), numbers[:, None], -100),
        "mm_token_type_ids": torch.zeros_like(mask),
        "image_grid_thw": torch.tensor([[1, 2, number // 2] for number in patches]),
        "pixel_values": torch.cat([torch.full((n, 3), float(i)) for i, n in zip(numbers, patches, strict=True)]),
        "features": torch.cat([torch.full((n // 4, 5), float(i)) for i, n in zip(numbers, patches, strict=True)]),
        "rows": numbers.tolist(),
    }


def test_rows_are_joined_and_taken_with_their_images() -> None:
    both = join([batch_of([3, 5], [8, 4], 0), batch_of([7], [12], 2)])
    assert both["input_ids"].shape == (3, 7) and both["rows"] == [0, 1, 2]
    assert both["labels"][0].tolist() == [0, 0, 0, -100, -100, -100, -100]
    assert by_length(both) == [2, 1, 0]
    taken = take(both, [1, 0], cells=4)
    assert taken["input_ids"].tolist() == [[2] * 5, [1, 1, 1, 0, 0]] and taken["rows"] == [1, 0]
    assert taken["pixel_values"][:, 0].tolist() == [1.0] * 4 + [0.0] * 8
    assert taken["features"][:, 0].tolist() == [1.0] + [0.0] * 2
    assert taken["image_grid_thw"].tolist() == [[1, 2, 2], [1, 2, 4]]


class Card:
    """A model of one weight whose steps run out of memory above so many rows, half way through."""

    def __init__(self, room: int) -> None:
        self.room, self.sizes = room, list[int]()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def step(self, part: dict[str, Any]) -> torch.Tensor:
        rows = part["input_ids"].shape[0]
        self.sizes.append(rows)
        loss = (self.weight * part["labels"].masked_fill(part["labels"] == -100, 0).sum()).float()
        loss.backward()  # type: ignore[no-untyped-call]
        if rows > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss.detach()


def test_memory_that_runs_out_halves_the_rows_for_good(caplog: pytest.LogCaptureFixture) -> None:
    batches = [batch_of([3, 5], [4, 4], 0), batch_of([4, 4], [4, 4], 2), batch_of([6, 2], [4, 4], 4)]
    whole, small = Card(99), Card(1)
    expected = InParts(6, 4, guarded=True).run(whole.step, batches, [whole.weight])
    parts = InParts(4, 4, guarded=True)
    found = parts.run(small.step, batches, [small.weight])
    assert torch.equal(found, expected) and torch.equal(small.weight.grad, whole.weight.grad)
    assert small.sizes == [4, 2, 1, 1, 1, 1, 1, 1] and parts.rows == 1
    lines = [record.message for record in caplog.records]
    assert lines[0] == "out of GPU memory: 2 rows at once instead of 4, in twice as many parts" and len(lines) == 2
    small.sizes.clear()
    parts.run(small.step, batches[:1], [small.weight])
    assert small.sizes == [1, 1]


def test_memory_that_is_too_small_for_a_row_or_several_processes_is_an_error() -> None:
    none = Card(0)
    with pytest.raises(OutOfRoom, match=r"with 1 rows of 5 tokens \(rows \[1\]\); set train\.micro_batch lower"):
        InParts(1, 4, guarded=True).run(none.step, [batch_of([3, 5], [4, 4], 0)], [none.weight])
    with pytest.raises(OutOfRoom):
        InParts(2, 4, guarded=False).run(none.step, [batch_of([3, 5], [4, 4], 0)], [none.weight])


def test_processes_exchange_gradients_at_the_last_part_alone() -> None:
    import contextlib
    from collections.abc import Iterator

    held: list[int] = []

    @contextlib.contextmanager
    def without_sync() -> Iterator[None]:
        held.append(len(model.sizes))
        yield

    model = Card(99)
    batches = [batch_of([3, 5, 4], [4, 4, 4], 0)]
    InParts(1, 4, guarded=False).run(model.step, batches, [model.weight], without_sync)
    assert held == [0, 1] and len(model.sizes) == 3


@pytest.fixture(scope="module")
def make_job(backbone: Path, samples: list[Sample], make_targets: Callable[[int], pa.Table]) -> Make:
    def make(**settings: Any) -> TrainJob:
        wanted = {"epochs": 1, "batch_size": 2, "accumulation": 2, "select": "last", "learning_rate": 1e-2, **settings}
        return TrainJob(
            samples=[sample for sample in samples if sample.split == "train"],
            dev=[],
            targets=make_targets(1),
            backbone_dir=backbone,
            backbone={"id": "random", "revision": None, "manifest_sha256": "0"},
            prompt=PromptSettings("short", TYPES, True, FRAME),
            train=TrainSettings(**{**wanted, "lora": {"dropout": 0.0}}),
            generate=None,
            seed=42,
            scorer=None,
            identity={"settings": wanted},
        )

    return make


@pytest.mark.slow
def test_any_number_of_rows_at_once_trains_the_same_adapter(make_job: Make, tmp_path: Path) -> None:
    found = {}
    for name in ("auto", 1, 3, 4):
        train_adapter(make_job(micro_batch=name), tmp_path / f"work{name}", tmp_path / f"out{name}")
        found[name] = load_file(tmp_path / f"out{name}" / "adapter_model.safetensors")
    for weights in found.values():
        assert weights.keys() == found["auto"].keys()
        assert all(torch.allclose(weights[key], found["auto"][key], atol=2e-4) for key in weights)


def test_on_a_gpu_the_room_is_found_kept_and_used(
    make_job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []

    def peak(step: Callable[[], None], weights: list[torch.Tensor]) -> int | None:
        step()
        assert any(weight.grad is not None for weight in weights)
        for weight in weights:
            weight.grad = None
        return GIB * (2 + asked[-1][0])

    original, made = memory_probe.RowProbe.__call__, memory_probe.make_room

    def probe(self: Any, rows: int, checkpointing: bool) -> int | None:
        asked.append((rows, checkpointing))
        return original(self, rows, checkpointing)

    sizes: list[int] = []
    loss_of = RowTrainer.compute_loss

    def spy(self: RowTrainer, model: Any, inputs: dict[str, Any], *rest: Any, **named: Any) -> Any:
        sizes.append(len(inputs["rows"]))
        return loss_of(self, model, inputs, *rest, **named)

    monkeypatch.setattr(memory_probe.RowProbe, "__call__", probe)
    monkeypatch.setattr(memory_probe, "measure_peak", peak)
    monkeypatch.setattr(memory_probe, "memory_limit", lambda weights: 5 * GIB)
    monkeypatch.setattr(RowTrainer, "compute_loss", spy)
    monkeypatch.setattr(
        "gmner.training.stage.make_room", lambda trainer, train, work, device: made(trainer, train, work, GPU)
    )
    train_adapter(make_job(), tmp_path / "work", tmp_path / "out")
    assert asked == [(1, False), (2, False)] and sizes == [1, 2, 3, 1, 3, 1]
    assert read_json(tmp_path / "work" / "memory.json") == {"rows": 3, "checkpointing": False}
    asked.clear()
    for checkpoint in (tmp_path / "work").glob("checkpoint-*"):
        (checkpoint / "complete.json").unlink()
    train_adapter(make_job(), tmp_path / "work", tmp_path / "again")
    assert not asked
    first, second = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("out", "again"))
    assert all(torch.equal(first[key], second[key]) for key in first)


GPU = torch.device("cuda", 0)


def test_what_the_settings_say_overrules_what_was_kept(tmp_path: Path) -> None:
    assert memory_probe._kept(tmp_path, TrainSettings()) is None
    (tmp_path / "memory.json").write_text('{"rows": 3, "checkpointing": false}')
    assert memory_probe._kept(tmp_path, TrainSettings()) == Room(3, False)
    wanted = TrainSettings(micro_batch=8, gradient_checkpointing=True)
    assert memory_probe._kept(tmp_path, wanted) == Room(8, True)


def test_out_of_memory_has_two_faces() -> None:
    assert memory.is_out_of_memory(torch.OutOfMemoryError("full"))
    assert memory.is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert not memory.is_out_of_memory(RuntimeError("shapes differ"))
