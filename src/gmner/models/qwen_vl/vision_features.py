"""Images as the language model sees them: features of the vision tower, kept where it is frozen.

LoRA adapts the language model alone, so the vision tower gives the same features in every epoch. Where they fit
into memory they are computed once; elsewhere images are read and run through the tower in every batch.
"""

import inspect
import logging
from collections.abc import Sequence
from typing import Any

import torch

from gmner.core.records import Sample
from gmner.models.encoding import FeatureBank
from gmner.models.qwen_vl.encoder import Encoder

log = logging.getLogger(__name__)

FEATURE_BUDGET_BYTES = 4 << 30
_CHUNK_PATCHES = 4096


def vision_model(model: Any) -> Any:
    """Return the inner vision-language model (tower, positions, language model) below an adapter and a head."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.model


def bank_features(
    model: Any, encoder: Encoder, samples: Sequence[Sample], budget_bytes: int = FEATURE_BUDGET_BYTES
) -> FeatureBank | None:
    """Run every image through the frozen vision tower once; None where the features would not fit the budget.

    Images go through in the order of `samples` and in groups that depend on their sizes alone, so that a
    resumed run gets the same bytes as an uninterrupted one.
    """
    inner = vision_model(model)
    if not _takes_features(inner):
        return None
    groups = _groups(encoder, samples)
    tokens = sum(patches for _, patches in groups) // encoder.merge_size**2
    hidden = int(inner.config.get_text_config().hidden_size)
    needed = tokens * hidden * inner.visual.dtype.itemsize
    if needed > budget_bytes:
        log.info("image features would take %.1f GiB: computed again in every batch", needed / 2**30)
        return None
    found: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        for group, _ in groups:
            pixels = torch.cat([encoder.pixels(sample) for sample in group])
            for sample, feature in zip(group, run_tower(inner, encoder, group, pixels), strict=True):
                found[sample.sample_id] = feature.cpu().clone()
    return FeatureBank(found)


def run_tower(
    inner: Any, encoder: Encoder, samples: Sequence[Sample], pixels: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Return the tower's features of each image; `pixels` are their patches, one image after the other."""
    grid = torch.tensor([encoder.grid_of(sample.size_wh) for sample in samples])
    device = inner.visual.device
    return inner.get_image_features(pixels.to(device), grid.to(device), return_dict=True).pooler_output


def as_encoder_outputs(features: torch.Tensor) -> dict[str, Any]:
    """Return features in the form in which the model takes them instead of pixels."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    pooled: Any = (features,)
    return {"image": BaseModelOutputWithPooling(pooler_output=pooled)}


def _takes_features(inner: Any) -> bool:
    # Qwen3-VL feeds features of several depths to the language model; only a single tensor is banked.
    several = hasattr(inner.config.vision_config, "deepstack_visual_indexes")
    return not several and "mm_encoder_outputs" in inspect.signature(inner.forward).parameters


def _groups(encoder: Encoder, samples: Sequence[Sample]) -> list[tuple[list[Sample], int]]:
    groups: list[tuple[list[Sample], int]] = []
    for sample in samples:
        _, height, width = encoder.grid_of(sample.size_wh)
        if groups and groups[-1][1] + height * width <= _CHUNK_PATCHES:
            groups[-1] = ([*groups[-1][0], sample], groups[-1][1] + height * width)
        else:
            groups.append(([sample], height * width))
    return groups
