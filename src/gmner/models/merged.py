"""An adapter folded into the weights for a while, and taken out again to the last bit."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def merged(model: Any) -> Iterator[Any]:
    """Fold a LoRA adapter into the weights of `model` while the block runs: less than half the operations per token.

    Subtracting the adapter afterwards would leave rounding errors in a backbone of bfloat16, so its weights are kept in
    the CPU's memory and put back. The model must be in evaluation mode. One without an adapter, or with weights in
    4 bits (which would round the adapter away), is left as it is.
    """
    layers = [module for module in model.modules() if _can_merge(module)]
    kept: list[tuple[Any, torch.Tensor]] = []
    try:
        for layer in layers:
            weight = layer.get_base_layer().weight
            kept.append((layer, weight.data.to("cpu", copy=True)))
            layer.merge()
        yield model
    finally:
        for layer, weight in kept:
            layer.get_base_layer().weight.data.copy_(weight)
            layer.merged_adapters.clear()


def _can_merge(module: Any) -> bool:
    from peft.tuners.lora import LoraLayer

    if not isinstance(module, LoraLayer) or not hasattr(module, "merge"):
        return False
    weight = module.get_base_layer().weight
    return type(weight) is torch.nn.Parameter and weight.is_floating_point() and not module.merged_adapters
