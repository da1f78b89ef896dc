"""Asks the GPU how many rows it has room for, by a pass over the longest ones before training begins."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gmner.storage.files import read_json, write_json
from gmner.training.distributed import gathered, is_main, world
from gmner.training.micro_batches import PART_TOKENS, InParts, Room, find_room, measure_peak, memory_limit
from gmner.training.read_ahead import finish
from gmner.training.trl_internals import on_device, undisturbed

RESULT_NEUTRAL = True  # how much goes through the GPU at once

log = logging.getLogger(__name__)

MEMORY_FILE = "memory.json"


def make_room(trainer: Any, train: Any, work_dir: Path, device: torch.device) -> None:
    """Let `trainer` run the rows of an update in parts that fit; `train` is TrainSettings.

    On a GPU the number of rows and checkpointing are found out where the settings leave them open. What was found
    is kept in `work_dir`, so that a resumed training goes on as it began. Elsewhere batches stay as they are,
    unless train.micro_batch is a number. With FSDP, whose processes must
    keep step, and with a loss per micro-batch they always stay.
    """
    cells = trainer.data_collator.encoder.merge_size**2
    if train.launch.strategy == "fsdp" or train.loss == "per_micro_batch":
        return
    if device.type != "cuda":
        if train.micro_batch != "auto":
            trainer.parts = InParts(train.micro_batch, cells, guarded=False)
        return
    room = _kept(work_dir, train) or _found(trainer, train)
    if is_main():
        write_json(work_dir / MEMORY_FILE, {"rows": room.rows, "checkpointing": room.checkpointing})
    log.info(
        "train: %d rows at once of the %d of an update, %s gradient checkpointing",
        room.rows,
        train.batch_size * train.accumulation,
        "with" if room.checkpointing else "without",
    )
    trainer.parts = InParts(room.rows, cells, guarded=world() == 1)
    trainer.args.activation_checkpointing = trainer.args.gradient_checkpointing = room.checkpointing
    if room.checkpointing:
        trainer.model.enable_input_require_grads()


def _kept(work_dir: Path, train: Any) -> Room | None:
    """Return what was found before, with what the settings say now in its place; None where nothing was."""
    path = work_dir / MEMORY_FILE
    if not path.exists():
        return None
    try:
        room = Room(**read_json(path))
    except (ValueError, TypeError):
        return None  # damaged: found out again
    rows = room.rows if train.micro_batch == "auto" else int(train.micro_batch)
    again = room.checkpointing if train.gradient_checkpointing == "auto" else bool(train.gradient_checkpointing)
    return Room(rows, again)


def _found(trainer: Any, train: Any) -> Room:
    rows = None if train.micro_batch == "auto" else int(train.micro_batch)
    checkpointing = None if train.gradient_checkpointing == "auto" else bool(train.gradient_checkpointing)
    if rows is not None and checkpointing is not None:
        return Room(rows, checkpointing)
    longest = int(trainer.rows.lengths().max())
    most = max(1, min(train.batch_size * train.accumulation // world(), PART_TOKENS // longest))
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    found = find_room(RowProbe(trainer, weights), memory_limit(weights), most, rows, checkpointing)
    everyone: list[Room] = gathered(found)
    return Room(min(room.rows for room in everyone), any(room.checkpointing for room in everyone))


class RowProbe:
    """Runs the longest rows through a trainer's model, forward and backward, and tells the peak of memory."""

    def __init__(self, trainer: Any, weights: list[torch.Tensor]) -> None:
        self.trainer, self.weights = trainer, weights
        self.order = np.argsort(-trainer.rows.lengths().ravel(), kind="stable")

    def __call__(self, rows: int, checkpointing: bool) -> int | None:
        """Return the peak in bytes, None where there is no room."""
        trainer = self.trainer
        batch = finish(trainer.data_collator([{"row": int(number)} for number in self.order[:rows]]))
        was_training = trainer.model.training
        trainer.model.train()
        _checkpoint(trainer.model, checkpointing)
        try:
            with undisturbed(trainer):
                return measure_peak(lambda: self._step(dict(batch)), self.weights)
        finally:
            _checkpoint(trainer.model, False)
            trainer.model.train(was_training)

    def _step(self, batch: dict[str, Any]) -> None:
        trainer = self.trainer
        count = (batch["labels"] != -100).sum()
        # The trainer wraps the model's forward in this when training begins.
        with torch.autocast(trainer.args.device.type, torch.bfloat16, enabled=trainer.args.bf16):
            loss = trainer.compute_loss(trainer.model, on_device(trainer, batch), num_items_in_batch=count)
        loss.backward()


def _checkpoint(model: Any, on: bool) -> None:
    network = model.get_base_model()
    if on:
        network.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    elif network.is_activation_checkpointing:
        network.activation_checkpointing_disable()
