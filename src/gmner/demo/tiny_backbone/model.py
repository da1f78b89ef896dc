"""The tiny backbone: a real Qwen2.5-VL of about three million parameters, built from its configuration."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.configuration_qwen2_5_vl import (
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLVisionConfig,
)

from gmner.demo.data.scenes import COLOURS, SHAPES

VOCABULARY = 1400
# The order fixes the ids: the special tokens come first.
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# Words, single digits, runs of punctuation, white space; as Qwen2.5's own pattern, but every mark stands alone so
# that the grammar's separators never melt into a mention. A look (`red person`) is one piece, as is a label with
# underscores: what is one thing to the reader becomes one token, which a small model compares and copies whole.
_LOOKS = rf"\s?(?:{'|'.join(COLOURS)}) (?:{'|'.join(SHAPES)})(?!\p{{L}})"
_PIECES = rf"{_LOOKS}|\s?\p{{L}}+(?:_\p{{L}}+)*|\p{{N}}|\s?[^\s\p{{L}}\p{{N}}]|\s+"

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "<|im_start|>{{ message['role'] }}\n"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}"
    "<|im_end|>\n"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|im_start|>assistant\n{%- endif -%}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on `texts`, with Qwen2.5-VL's special tokens and the grammar's tags.

    Digits are single tokens, as in Qwen2.5's own tokenizer. Completions survive encoding and decoding; other texts
    gain a blank at their start. Trained single-threaded on sorted counts, the same
    texts give the same tokenizer.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    # A word right after a tag is given the blank that words have elsewhere, so that the first mention of an answer is
    # the same tokens as in the tweet: a small model copies tokens, it does not spell. Decoding takes the blank away.
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace("<answer> ", "<answer>"), decoders.Replace("<think> ", "<think>")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(TAGS),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens([AddedToken(tag, normalized=False, special=False) for tag in TAGS])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_config(
    tokenizer: PreTrainedTokenizerFast,
    hidden: int = 192,
    layers: int = 5,
    feed_forward: int = 448,
    vision_hidden: int = 128,
    vision_layers: int = 3,
) -> Qwen2_5_VLConfig:
    """Return the configuration of the tiny Qwen2.5-VL for a tokenizer; the widths are parameters for tests."""
    heads = 4
    ids: dict[str, int] = tokenizer.get_vocab()
    part = hidden // heads // 2
    common: dict[str, Any] = {"tie_word_embeddings": True}
    text = Qwen2_5_VLTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=feed_forward,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [part - 2 * (part // 3), part // 3, part // 3],
        },
        **common,
        bos_token_id=ids["<|endoftext|>"],
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = Qwen2_5_VLVisionConfig(
        depth=vision_layers,
        hidden_size=vision_hidden,
        intermediate_size=vision_hidden * 3,
        num_heads=4,
        out_hidden_size=hidden,
        patch_size=14,
        spatial_merge_size=2,
        temporal_patch_size=2,
        window_size=112,
        fullatt_block_indexes=list(range(vision_layers)),
    )
    return Qwen2_5_VLConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def build_tiny(config: Any, seed: int) -> Any:
    """Return a model with random weights drawn from `seed`, float32; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = config.text_config.eos_token_id
    model.generation_config.pad_token_id = config.text_config.pad_token_id
    model.generation_config.do_sample = False
    return model


def save_backbone(
    folder: Path | str,
    model: Any,
    tokenizer: PreTrainedTokenizerFast,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Save model (safetensors, `dtype`), tokenizer and chat template so that `from_pretrained` loads them."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    kept = model.dtype
    model.to(dtype).save_pretrained(place)
    model.to(kept)
    tokenizer.save_pretrained(place)
    (place / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
