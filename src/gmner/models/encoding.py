"""What the encoders of all model families share: the question's settings and the padding of rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from gmner.core.frame import Frame
from gmner.core.records import Sample


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How a sample is put to the model; kept in the run folder and used for training and inference alike."""

    version: str
    types: tuple[str, ...]
    cot: bool
    frame: Frame


class FeatureBank:
    """The vision tower's features of a fixed list of images, in the memory of the CPU."""

    def __init__(self, features: dict[str, torch.Tensor]) -> None:
        self._features = features

    def of(self, sample: Sample) -> torch.Tensor:
        """Return the features (merged patches, hidden size) of a sample's image."""
        return self._features[sample.sample_id]


def pad_rows(rows: Sequence[np.ndarray], value: int, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of ids as one int64 tensor (rows, longest) padded with `value`, and its attention mask."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), value, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for number, row in enumerate(rows):
        span = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[number, span] = row
        mask[number, span] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)
