"""A frozen backbone in 4 bits (NF4, as in QLoRA, arXiv 2305.14314): the adapter is trained beside it as ever."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import torch

from gmner.errors import ConfigError
from gmner.models.families import seam_of

QUANTIZATIONS = ("none", "nf4")


def quantization_config(quantization: str, dtype: torch.dtype, kept: Sequence[str] = ()) -> Any:
    """Return the configuration with which transformers loads weights in 4 bits, or None for `none`.

    `kept` are the modules that stay in full numbers. Raises ConfigError for an unknown name and if bitsandbytes is
    not installed.
    """
    if quantization not in QUANTIZATIONS:
        raise ConfigError(f"quantization: '{quantization}' is not one of {', '.join(QUANTIZATIONS)}")
    if quantization == "none":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(
            "quantization is nf4, but the package bitsandbytes is not installed; pip install 'gmner[gpu]' or "
            "bitsandbytes, or set quantization: none"
        )
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=list(kept),
    )


def prepare_for_training(model: Any, dtype: torch.dtype) -> Any:
    """Freeze a backbone in 4 bits and let its norms compute in float32; one in full numbers is returned as it is.

    PEFT's preparation widens everything that is not in 4 bits. The tower, the embeddings and the head go back to
    `dtype`: widened, they would take more memory than a 7B model's 4 bits save on a small card.
    """
    if not getattr(model, "is_loaded_in_4bit", False):
        return model
    from peft import prepare_model_for_kbit_training

    prepared = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    tower = seam_of(prepared.config.model_type).vision_tower(prepared)
    for part in (tower, prepared.get_input_embeddings(), prepared.get_output_embeddings()):
        part.to(dtype)
    return prepared
