"""What a model family's package must offer: the one seam between gmner and a family.

`gmner.models.families` says which module satisfies it. All of training, generation and the local teacher goes through
here; no other module names a family, its tokens or its layers.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from gmner.core.frame import Frame
from gmner.core.records import Sample
from gmner.models.encoding import FeatureBank, PromptSettings
from gmner.models.plain_text import PlainText


class Encoder(Protocol):
    """Turns samples into the numbers that a family's model reads; the same for training and inference."""

    processor: Any
    tokenizer: Any
    plain: PlainText
    prompt: PromptSettings
    image_token_id: int
    eos_token_id: int
    pad_token_id: int
    merge_size: int

    def grid_of(self, size_wh: tuple[int, int]) -> tuple[int, int, int]:
        """Return the patch grid (time, height, width) of an image, from its original size alone."""

    def prompts(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Return each sample's prompt ids, int32, with as many image tokens as its image takes."""

    def chats(self, samples: Sequence[Sample]) -> list[list[int]]:
        """Return the ids of each sample's chat up to the model's turn, with one image token."""

    def completions(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each completion, int32, with the end of the turn appended."""

    def pixels(self, sample: Sample) -> torch.Tensor:
        """Return an image's patches (patches, values of a patch), float32, in the frame."""

    def pixel_bytes(self, sample: Sample) -> torch.Tensor | None:
        """Return an image's patches as bytes, a small form of `pixels`; None if the family has none."""

    def from_bytes(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the patches that `pixel_bytes` stands for, on the same device: the very values of `pixels`."""


class Seam(Protocol):
    """The functions of a family's module. `model` is transformers' model, with or without an adapter on it."""

    KEPT_IN_FULL: tuple[str, ...]
    """Modules that stay in full numbers if the backbone is loaded in 4 bits."""

    def load_processor(self, folder: Path | str, frame: Frame) -> Any:
        """Load tokenizer, chat template and image processor; images are resized into `frame`.

        Raises DataError, naming the file, if the tokenizer is missing or the chat template cannot take images.
        """

    def encoder(self, folder: Path | str, prompt: PromptSettings) -> Encoder:
        """Return the encoder of a backbone's folder."""

    def prepare_model(self, model: Any, attention: str) -> None:
        """Change a model that was just loaded, for speed; results stay the same up to rounding."""

    def freeze_vision(self, model: Any) -> None:
        """Let the frozen vision tower keep nothing for a backward pass."""

    def vision_tower(self, model: Any) -> Any:
        """Return the vision tower, or None if the model has none."""

    def lora_modules(self, names: Sequence[str]) -> str:
        """Return the pattern with which PEFT finds the layers `names` of the language model, and of nothing else."""

    def positions(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """Return the positions (axes, rows, tokens) of left-padded inputs."""

    def bank_features(
        self, model: Any, encoder: Any, samples: Sequence[Sample], budget_bytes: int = ...
    ) -> FeatureBank | None:
        """Run every image through the frozen vision tower once; None if the features do not fit the budget."""

    def feature_inputs(self, features: torch.Tensor) -> dict[str, Any]:
        """Return features as the model's inputs, in place of pixels."""

    def image_settings(self, encoder: Any, known: dict[str, Any]) -> dict[str, Any]:
        """Return preprocessor_config.json for engines that build the processor themselves; `known` is the folder's."""
