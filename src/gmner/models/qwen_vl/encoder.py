"""Samples as the numbers a Qwen-VL model reads: prompt tokens, completion tokens, pixels.

Training and inference both encode here, so that the prompt, the frame and the pixel limits cannot differ.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from gmner.core.records import Sample
from gmner.errors import DataError, GmnerError
from gmner.models.encoding import PromptSettings
from gmner.models.plain_text import PlainText
from gmner.models.qwen_vl.patches import PatchReader
from gmner.prompts.model import build_messages
from gmner.storage.images import open_image

IMAGE_TOKEN = "<|image_pad|>"
# The tags of the answer's grammar: the only added tokens that a completion may hold. A mention's own brackets are
# escaped there and a rationale's tags are made harmless (gmner.core.answer), so neither can forge one.
_GRAMMAR_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# Templates of models that reason begin the model's turn with a `<think>`, open or empty. A completion brings its own.
_BEGUN_REASONING = re.compile(r"<think>\s*(?:</think>\s*)?\Z")
_PLACE = "\ue000\ue001"  # stands for the tweet while the chat around it is made; private use, in no template


Read = Callable[[Image.Image], tuple[torch.Tensor, tuple[int, int, int]]]


class Encoder:
    """Turns samples into token ids and pixels for one backbone's processor."""

    def __init__(self, processor: Any, prompt: PromptSettings) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.plain = PlainText(self.tokenizer)
        self.prompt = prompt
        self._around: tuple[tuple[list[int], str], tuple[str, list[int]]] | None = None
        self.image_token_id: int = self.tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        self.eos_token_id: int = self.tokenizer.eos_token_id
        pad = self.tokenizer.pad_token_id
        self.pad_token_id: int = self.eos_token_id if pad is None else pad
        images = processor.image_processor
        self.patches = PatchReader(images)
        self.patch_size, self.merge_size = int(images.patch_size), int(images.merge_size)

    def grid_of(self, size_wh: tuple[int, int]) -> tuple[int, int, int]:
        """Return the patch grid (time 1, height, width) of an image, from its original size alone."""
        width, height = self.prompt.frame.model_size(size_wh)
        return 1, int(height) // self.patch_size, int(width) // self.patch_size

    def prompts(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Return each sample's prompt ids, int32, with one image token for each merged patch of its image."""
        return [self._expand(ids, sample) for ids, sample in zip(self.chats(samples), samples, strict=True)]

    def chats(self, samples: Sequence[Sample]) -> list[list[int]]:
        """Return the ids of each sample's chat up to the model's turn, with one image token.

        The tweet is plain text: what it spells is never read as a token of the chat template.
        """
        (head, before), (after, tail) = self._around_tweet()
        bodies = self.plain.encode([f"{before}{sample.text}{after}" for sample in samples])
        return [[*head, *ids, *tail] for ids in bodies]

    def prompt_text(self, sample: Sample) -> str:
        """Return the chat up to the model's turn, with one image placeholder."""
        return self._chat(sample.text)

    def _chat(self, text: str) -> str:
        frame, prompt = self.prompt.frame, self.prompt
        messages = build_messages(prompt.version, prompt.types, text, prompt.cot, frame.coordinates)
        chat = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return _BEGUN_REASONING.sub("", chat)

    def completions(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each completion, int32, with the end of the turn appended."""
        encoded = self.plain.encode(texts, _GRAMMAR_TAGS)
        return [np.asarray([*ids, self.eos_token_id], dtype=np.int32) for ids in encoded]

    def _around_tweet(self) -> tuple[tuple[list[int], str], tuple[str, list[int]]]:
        """Return the chat before and after the tweet: ids as far as the nearest added token, and the text from there.

        That text is encoded together with the tweet, so that tokens may reach over the seam as they do in a whole.
        """
        if self._around is None:
            chat = self._chat(_PLACE)
            if chat.count(_PLACE) != 1:
                raise DataError(
                    f"the backbone's chat template writes the text {chat.count(_PLACE)} times, expected once; "
                    "use a backbone with a chat template for images and text"
                )
            head, tail = chat.split(_PLACE)
            known = self.plain.pattern()
            tokens = [] if known is None else list(known.finditer(head))
            start = tokens[-1].end() if tokens else 0
            following = None if known is None else known.search(tail)
            end = len(tail) if following is None else following.start()
            ids = self.plain.encode([head[:start], tail[end:]], self.plain.added)
            self._around = ((ids[0], head[start:]), (tail[:end], ids[1]))
        return self._around

    def pixels(self, sample: Sample) -> torch.Tensor:
        """Return an image's patches (height x width of the grid, values of a patch), float32, in the frame."""
        return self._read(sample, self.patches.read)

    def pixel_bytes(self, sample: Sample) -> torch.Tensor | None:
        """Return an image's patches as bytes, an eighth of the memory of `pixels`; None if only `pixels` can be made.

        Shape (height x width of the grid, colours x pixels of a patch), uint8; `from_bytes` makes `pixels` of them.
        """
        if not self.patches.has_table:
            return None
        return self._read(sample, self.patches.read_bytes)

    def from_bytes(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the patches (float32) that `pixel_bytes` stands for, bit for bit, on the same device."""
        return self.patches.from_bytes(pixels)

    def _read(self, sample: Sample, read: Read) -> torch.Tensor:
        try:
            image = open_image(sample.image_path, sample.size_wh)
        except GmnerError as error:
            raise DataError(f"sample {sample.sample_id}: {error}") from error
        pixels, grid = read(image)
        if grid != self.grid_of(sample.size_wh):
            raise DataError(
                f"{sample.image_path}: the image processor made a grid of {grid}, the frame expects "
                f"{self.grid_of(sample.size_wh)}; the processor and the frame disagree"
            )
        return pixels

    def _expand(self, ids: list[int], sample: Sample) -> np.ndarray:
        array = np.asarray(ids, dtype=np.int32)
        where = np.flatnonzero(array == self.image_token_id)
        if len(where) != 1:
            raise DataError(
                f"sample {sample.sample_id}: the prompt has {len(where)} image tokens, expected 1; "
                "the backbone's chat template does not place the image"
            )
        _, height, width = self.grid_of(sample.size_wh)
        count = height * width // self.merge_size**2
        middle = np.full(count, self.image_token_id, dtype=np.int32)
        return np.concatenate([array[: where[0]], middle, array[where[0] + 1 :]])
