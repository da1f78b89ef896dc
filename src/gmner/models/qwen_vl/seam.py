"""The Qwen-VL families (Qwen2.5-VL, Qwen3-VL, Qwen3.5) as `gmner.models.seam.Seam` asks for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gmner.models.encoding import PromptSettings
from gmner.models.qwen_vl.encoder import Encoder
from gmner.models.qwen_vl.processor import load_processor
from gmner.models.qwen_vl.vision_attention import join_windows, run_tower_forward_only, vision_tower
from gmner.models.qwen_vl.vision_features import as_encoder_outputs, bank_features, vision_model

__all__ = [
    "KEPT_IN_FULL",
    "bank_features",
    "encoder",
    "feature_inputs",
    "freeze_vision",
    "image_settings",
    "load_processor",
    "lora_modules",
    "positions",
    "prepare_model",
    "vision_tower",
]

# The tower's features and the logits keep the dtype they were trained in: small parts of the memory, and the fused head
# of TRL's trainer reads the weights of `lm_head` itself.
KEPT_IN_FULL = ("model.visual", "lm_head")
# PEFT matches this against whole module names: linear layers of the language model, none of the vision tower.
_LANGUAGE_MODEL = r".*\blanguage_model\..*\.({names})"


def encoder(folder: Path | str, prompt: PromptSettings) -> Encoder:
    """Return the encoder of a backbone's folder."""
    return Encoder(load_processor(folder, prompt.frame), prompt)


def prepare_model(model: Any, attention: str) -> None:
    """Let the vision tower attend over all windows at once on a GPU without flash-attn."""
    if model.device.type == "cuda" and attention == "sdpa":
        join_windows(model)


def freeze_vision(model: Any) -> None:
    """Let the frozen vision tower keep nothing for a backward pass."""
    run_tower_forward_only(model)


def lora_modules(names: Sequence[str]) -> str:
    """Return the pattern of the language model's layers `names`."""
    return _LANGUAGE_MODEL.format(names="|".join(names))


def positions(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Return the positions (time, height, width; rows; tokens) of left-padded inputs."""
    found, _ = vision_model(model).get_rope_index(
        inputs["input_ids"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
        image_grid_thw=inputs["image_grid_thw"],
        attention_mask=inputs["attention_mask"],
    )
    assert isinstance(found, torch.Tensor)
    return found


def feature_inputs(features: torch.Tensor) -> dict[str, Any]:
    """Return features of the vision tower as the model's inputs, in place of pixels."""
    return {"mm_encoder_outputs": as_encoder_outputs(features)}


def image_settings(encoder: Encoder, known: dict[str, Any]) -> dict[str, Any]:
    """Return preprocessor_config.json with the frame's pixel limits and the backbone's own normalisation."""
    images, frame = encoder.processor.image_processor, encoder.prompt.frame
    return {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "patch_size": images.patch_size,
        "merge_size": images.merge_size,
        "temporal_patch_size": images.temporal_patch_size,
        "image_mean": list(images.image_mean),
        "image_std": list(images.image_std),
        **{name: value for name, value in known.items() if name not in ("min_pixels", "max_pixels", "size")},
        "size": {"shortest_edge": frame.min_pixels, "longest_edge": frame.max_pixels},
    }
