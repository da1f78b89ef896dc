"""Random small models of each backbone family, as folders that load in a moment."""

from pathlib import Path
from typing import Any

from gmner.models.adapter_folder import write_manifest
from gmner.storage.files import write_json
from tests.helpers.tiny_training import completion, text_of

_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 64,
}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True}


def small_model(family: str, folder: Path, seed: int = 3) -> Path:
    """Write a random model of `family` (qwen3-vl, qwen3.5) into `folder`, in the layout of a backbone."""
    import torch

    from gmner.demo.tiny_backbone.model import save_backbone, train_tokenizer

    tokenizer = train_tokenizer([completion(0, 0), text_of(0)], vocabulary=340)
    ids = tokenizer.convert_tokens_to_ids
    tokens: dict[str, Any] = {
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
    }
    text = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **_TEXT}
    torch.manual_seed(seed)
    model: Any
    if family == "qwen3-vl":
        from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

        deep = {**_VISION, "deepstack_visual_indexes": [0, 1]}
        config: Any = Qwen3VLConfig(text_config={**text, "rope_parameters": _ROPE}, vision_config=deep, **tokens)
        model = Qwen3VLForConditionalGeneration(config)
    else:
        from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

        linear = {
            "layer_types": ["linear_attention", "full_attention"],
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
        }
        rope = {**_ROPE, "partial_rotary_factor": 1.0}
        config = Qwen3_5Config(text_config={**text, **linear, "rope_parameters": rope}, vision_config=_VISION, **tokens)
        model = Qwen3_5ForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "embed" not in name:
            weight.data *= 12
    save_backbone(folder, model, tokenizer, torch.float32)
    half = [0.5, 0.5, 0.5]
    told = {"patch_size": 16, "merge_size": 2, "image_mean": half, "image_std": half, "min_pixels": 1, "size": {}}
    write_json(folder / "preprocessor_config.json", told)
    write_manifest(folder, {"kind": "local", "id": f"random-{family}", "revision": None})
    return folder
