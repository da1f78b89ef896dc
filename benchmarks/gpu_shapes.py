"""What `gpu.py` runs on what: the 7B model's configuration, rows of the true shapes, their arithmetic, the machine."""

import gc
import platform
import re
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import numpy as np
import torch

from gmner.core.frame import Frame
from gmner.prompts.model import build_messages

# Dense bfloat16 with float32 sums, in 10^12 operations a second, from the vendor's data sheets; the first match counts.
PEAKS = {
    "GB200": 2500.0,
    "B200": 2250.0,
    "GH200": 989.5,
    "H200 NVL": 835.5,
    "H200": 989.5,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.5,
    "H100": 989.5,
    "A100": 312.0,
    "L40S": 362.0,
    "L40": 181.0,
    "A40": 149.7,
    "RTX 6000 Ada": 364.2,
    "A6000": 154.8,
    "RTX 5090": 209.5,
    "RTX 4090": 165.2,
    "RTX 3090": 71.2,
}
SEVEN_B = {
    "text_config": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "max_position_embeddings": 128000,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
    },
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 3584,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    "tie_word_embeddings": False,
}
TINY_TEXT = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
}
TINY_VISION = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64}
TOKENS = {"image_token_id": 151655, "vision_start_token_id": 151652, "vision_end_token_id": 151653}
TINY_TOKENS = {"image_token_id": 511, "vision_start_token_id": 509, "vision_end_token_id": 510}
# Sizes of the images of Twitter-GMNER that are common, width and height in pixels.
SIZES = ((600, 450), (600, 600), (1200, 675), (480, 640), (1024, 768), (600, 338), (599, 799), (1200, 1200))
TYPES = ("PER", "ORG", "LOC", "OTHER")
TWEET_TOKENS, COMPLETION_TOKENS = 25, 300
UPDATE_ROWS = 16


@dataclass(frozen=True)
class Sample:
    """An image's patch grid and the tokens of the text before and of the completion."""

    grid: tuple[int, int, int]
    prompt: int
    completion: int

    @property
    def patches(self) -> int:
        """Patches of the image; four make one token."""
        return self.grid[1] * self.grid[2]

    @property
    def tokens(self) -> int:
        """Tokens of the whole row."""
        return self.patches // 4 + self.prompt + self.completion


def prompt_tokens() -> int:
    """Return about how many tokens the standard prompt has: its words and marks, each counted once."""
    messages = build_messages("standard", TYPES, "", cot=True)
    text = " ".join(part["text"] for turn in messages for part in turn["content"] if part["type"] == "text")
    return len(re.findall(r"\w+|[^\w\s]", text)) + 15 + TWEET_TOKENS


def draw_samples(count: int, tiny: bool) -> list[Sample]:
    """Return samples of the true shapes, the same ones in every run."""
    generator = np.random.default_rng(0)
    cells = (4, 16) if tiny else (256, 1024)
    frame = Frame("absolute", cells[0] * 28 * 28, cells[1] * 28 * 28)
    prompt, mean = (20, 12) if tiny else (prompt_tokens(), COMPLETION_TOKENS)
    made = []
    for number in range(count):
        width, height = (int(side) // 14 for side in frame.model_size(SIZES[number % len(SIZES)]))
        completion = int(np.clip(generator.normal(mean, mean / 4), mean / 2, mean * 2))
        made.append(Sample((1, height, width), prompt + int(generator.integers(-8, 9)), completion))
    return made


def collate(
    samples: Sequence[Sample], config: Any, generator: torch.Generator, pad_to: int | None = None, answer: bool = True
) -> dict[str, Any]:
    """Return random rows of the samples' shapes as the collator makes them; without `answer`, prompts padded left."""
    words = min(config.image_token_id, config.vision_start_token_id)
    lengths = [sample.tokens - (0 if answer else sample.completion) for sample in samples]
    longest = max(pad_to or 0, *lengths)
    ids = torch.zeros(len(samples), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, (sample, length) in enumerate(zip(samples, lengths, strict=True)):
        start = 0 if answer else longest - length
        seen = sample.patches // 4
        text = torch.randint(0, words, (length,), generator=generator)
        text[10] = config.vision_start_token_id
        text[11 : 11 + seen] = config.image_token_id
        text[11 + seen] = config.vision_end_token_id
        ids[row, start : start + length], mask[row, start : start + length] = text, 1
        if answer:
            labels[row, length - sample.completion : length] = text[-sample.completion :]
    patches = sum(sample.patches for sample in samples)
    batch = {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": (ids == config.image_token_id).long(),
        "image_grid_thw": torch.tensor([sample.grid for sample in samples]),
        "pixel_values": torch.randn(patches, 3 * 2 * 14 * 14, generator=generator),
    }
    return {**batch, "labels": labels} if answer else batch


class Counter:
    """Floating point operations of training samples, by the formula above."""

    def __init__(self, model: Any) -> None:
        text, vision = model.config.get_text_config(), model.config.vision_config
        self.linear = sum(
            module.weight.numel()
            for module in model.model.language_model.modules()
            if isinstance(module, torch.nn.Linear)
        )
        visual = model.model.visual
        # The merger runs once for the patches that make a token.
        self.tower = sum(
            weight.numel() // (vision.spatial_merge_size**2 if name.startswith("merger.") else 1)
            for name, weight in visual.named_parameters()
            if weight.dim() > 1
        )
        self.layers, self.width = text.num_hidden_layers, text.hidden_size
        self.head = text.vocab_size * text.hidden_size
        self.vision_width = vision.hidden_size
        self.full = len([index for index in vision.fullatt_block_indexes if index < vision.depth])
        self.windowed = vision.depth - self.full
        self.window = (vision.window_size // vision.patch_size) ** 2
        self.adapter = 0

    def see(self, sample: Sample) -> float:
        """Return the operations of the tower's forward pass."""
        attention = self.full * sample.patches**2 + self.windowed * sample.patches * self.window
        return 2.0 * self.tower * sample.patches + 4.0 * self.vision_width * attention

    def read(self, tokens: int) -> float:
        """Return the operations of the language model's forward pass, adapter included, head aside."""
        return 2.0 * (self.linear + self.adapter) * tokens + 2.0 * self.layers * self.width * tokens**2

    def train(self, sample: Sample) -> float:
        """Return the useful operations of a sample's step."""
        back = 2.0 * (self.linear + 2 * self.adapter) * sample.tokens
        back += 4.0 * self.layers * self.width * sample.tokens**2
        return self.see(sample) + self.read(sample.tokens) + back + 4.0 * self.head * sample.completion

    def run(self, sample: Sample, padded: int, checkpointing: bool, every_position: bool) -> float:
        """Return the operations that are run for a sample in a part that is padded to `padded` tokens."""
        longer = Sample(sample.grid, sample.prompt + padded - sample.tokens, sample.completion)
        found = self.train(longer) + (self.read(padded) if checkpointing else 0.0)
        return found + (4.0 * self.head * (padded - sample.completion) if every_position else 0.0)


def peak_of(name: str) -> float | None:
    """Return a device's peak by its name, None where the table has none; a slice of a card (MIG) has another."""
    if " MIG " in name:
        return None
    return next((peak for part, peak in PEAKS.items() if all(word in name for word in part.split())), None)


class Machine:
    """The device, and what it can do."""

    def __init__(self, tiny: bool) -> None:
        self.cuda = torch.cuda.is_available() and not tiny
        self.device = torch.device("cuda", 0) if self.cuda else torch.device("cpu")
        self.dtype = torch.bfloat16 if self.cuda else torch.float32
        self.name = torch.cuda.get_device_name(0) if self.cuda else platform.processor() or platform.machine()
        self.peak = peak_of(self.name) if self.cuda else None

    def settle(self) -> None:
        """Wait until the device has done what it was told."""
        if self.cuda:
            torch.cuda.synchronize()

    def forget(self) -> None:
        """Free what nobody holds and start counting memory again."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def count_memory_anew(self) -> None:
        """Start counting memory again; nothing is freed."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()

    def pinned(self, value: Any) -> Any:
        """Return a tensor in memory from which it reaches the device without a copy, as a data loader gives it."""
        return value.pin_memory() if self.cuda and isinstance(value, torch.Tensor) else value

    def peak_memory(self) -> float:
        """Return the most memory used since `forget`, in GiB; on the CPU that of the whole process."""
        used = (
            torch.cuda.max_memory_allocated()
            if self.cuda
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        return round(used / 2**30, 2)

    def matmul(self, seconds: float) -> float:
        """Return what a large matrix product reaches here, in 10^12 operations a second."""
        side = 8192 if self.cuda else 256
        left, right = (torch.randn(side, side, device=self.device, dtype=self.dtype) for _ in range(2))
        for _ in range(3):
            left @ right
        self.settle()
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            for _ in range(10):
                left @ right
            self.settle()
            count += 10
        return round(2.0 * side**3 * count / (time.perf_counter() - started) / 1e12, 3)
