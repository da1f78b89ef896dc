"""What the processes of one training have to say to each other; with one process, nothing.

Every function here must be called by all processes alike, or they wait for each other for ever.
"""

import logging
import os
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

from gmner.training.launch import end_with_parent

_LETTING_GO = 0.5  # seconds


def join() -> None:
    """Take this process's place among those that the launcher started: its GPU, its number, its log."""
    if "RANK" not in os.environ or dist.is_initialized():
        return
    end_with_parent()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cuda:nccl,cpu:gloo")
    else:
        dist.init_process_group("gloo")
    if not is_main():
        logging.getLogger().setLevel(logging.ERROR)


def leave() -> None:
    """End the group; call it while the trainer is still there.

    Gloo's threads need the interpreter's lock to let go of their last tensors, and the group's end waits for these
    threads without giving the lock away: a process that forgot its trainer right after an exchange stood still for
    ever. So they get the lock first.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
        time.sleep(_LETTING_GO)


def rank() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Return how many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Say whether this is the process that writes: the first one."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    any_of([False])


def any_of(flags: Sequence[bool]) -> list[bool]:
    """Return for each flag whether it is set in any process."""
    if world() == 1:
        return list(flags)
    numbers = torch.tensor([int(flag) for flag in flags])
    dist.all_reduce(numbers, op=dist.ReduceOp.MAX)
    return [bool(number) for number in numbers.tolist()]


def gathered(found: Any) -> list[Any]:
    """Return what each process has found, in the order of their numbers."""
    if world() == 1:
        return [found]
    everything: list[Any] = [None] * world()
    dist.all_gather_object(everything, found)
    return everything


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Return the weights that are trained, whole and on the CPU, wherever their parts lie (FSDP)."""
    found = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            whole = weight.full_tensor() if hasattr(weight, "full_tensor") else weight
            found[name] = whole.detach().cpu()
    return found
