"""The private parts of TRL's and transformers' trainers that gmner uses, all in this file.

They may change with any release: tests/training/test_trl_internals.py fails when one does.
"""

import contextlib
from collections.abc import Iterator
from typing import Any


def record_metric(trainer: Any, name: str, value: float) -> None:
    """Add a value to those that SFTTrainer averages in its next log line."""
    trainer._metrics["train" if trainer.model.training else "eval"][name].append(value)


@contextlib.contextmanager
def undisturbed(trainer: Any) -> Iterator[None]:
    """Put a trainer's metrics and its count of tokens back after the block: a trial step must leave no trace."""
    kept = {mode: {name: list(values) for name, values in found.items()} for mode, found in trainer._metrics.items()}
    tokens = trainer._total_train_tokens
    try:
        yield
    finally:
        for mode, found in kept.items():
            trainer._metrics[mode].clear()
            trainer._metrics[mode].update(found)
        trainer._total_train_tokens = tokens


def on_device(trainer: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Return a batch's tensors on the trainer's device."""
    moved: dict[str, Any] = trainer._prepare_inputs(batch)
    return moved


def use_one_gpu(arguments: Any) -> None:
    """Let a trainer use one GPU however many it sees: SFTTrainer refuses DataParallel over all of them."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
