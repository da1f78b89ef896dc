"""Which kernels a model runs on: attention, and Liger's fused layers where they are installed."""

import importlib.util
import logging
import sys
from typing import Any

import torch

from gmner.errors import ConfigError

log = logging.getLogger(__name__)

FLASH = "flash_attention_2"
_AMPERE = (8, 0)
# TRL's trainer scores the completions' positions with a fused head of its own, tile by tile over the vocabulary, and
# Liger's would replace the forward that it patches. Liger's rotation patches a function that transformers 5 no longer
# has for Qwen2.5-VL.
LIGER = {"rms_norm": True, "swiglu": True, "rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False}


def attention_of(wanted: str, device: torch.device, dtype: torch.dtype) -> str:
    """Return transformers' name of the attention that `wanted` (auto, sdpa, flash_attention_2, eager) means.

    `auto` is FlashAttention-2 where its package is installed, the GPU is of compute capability 8.0 or newer and
    the numbers are bfloat16; else PyTorch's own. Raises ConfigError for FlashAttention-2 where it cannot run.
    """
    if wanted not in ("auto", FLASH):
        return wanted
    obstacle = _flash_obstacle(device, dtype)
    if wanted == "auto":
        return "sdpa" if obstacle else FLASH
    if obstacle:
        raise ConfigError(f"attention: {FLASH} cannot be used: {obstacle}; set attention: auto or sdpa")
    return FLASH


def _flash_obstacle(device: torch.device, dtype: torch.dtype) -> str | None:
    if device.type != "cuda":
        return "there is no GPU"
    if torch.cuda.get_device_capability(device) < _AMPERE:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    if dtype is not torch.bfloat16:
        return "precision is not bf16"
    from transformers.utils.import_utils import is_flash_attn_2_available

    if not is_flash_attn_2_available():
        return "the package flash-attn is not installed (pip install flash-attn, which needs CUDA's compiler)"
    return None


def uses_liger(wanted: str, device: torch.device) -> bool:
    """Say whether `wanted` (auto, on, off) means Liger's kernels here.

    `auto` means them on a GPU where the package is installed. Raises ConfigError for `on` where they cannot run.
    """
    if wanted == "off":
        return False
    installed = importlib.util.find_spec("liger_kernel") is not None
    if wanted == "on" and not installed:
        raise ConfigError(
            "train.liger is on, but the package liger-kernel is not installed; pip install liger-kernel, or set "
            "train.liger: auto or off"
        )
    if wanted == "on" and device.type != "cuda":
        raise ConfigError("train.liger is on, but there is no GPU for its kernels; set train.liger: auto")
    return installed and device.type == "cuda"


def apply_liger(model: Any) -> None:
    """Let a loaded model's norms and feed-forward layers run on Liger's kernels, and no other model's.

    Liger also replaces the classes that models are made of from then on; they are put back.
    """
    # Private, and used here alone; tests/models/test_kernels.py fails when it changes.
    from liger_kernel.transformers import _apply_liger_kernel_to_instance

    made_of = vars(sys.modules[type(model).__module__])
    kept = dict(made_of)
    _apply_liger_kernel_to_instance(model=model, **LIGER)
    made_of.update(kept)
    log.info("Liger's kernels: norms and feed-forward layers")
