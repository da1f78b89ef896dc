"""The images that the tiny backbone learns from, and the heads that tell it what it looks at."""

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy

from gmner.demo.data.scenes import COLOURS, IMAGE_SIDE, SHAPES, Scene, Thing, draw_scene_plan, paint

MODEL_SIDE = 140
"""Width and height of a drawn image in the model's frame, in pixels."""
CELL = 28
CELLS = MODEL_SIDE // CELL
SCALE = MODEL_SIDE / IMAGE_SIDE
_BIN = 4
_BINS = MODEL_SIDE // _BIN + 1


class Gallery:
    """A pool of drawn scenes with their patches, made once and asked about many times."""

    def __init__(self, generator: np.random.Generator, count: int) -> None:
        self.scenes: list[Scene] = [draw_scene_plan(generator) for _ in range(count)]
        self.pixels = np.stack(
            [
                np.asarray(paint(scene).resize((MODEL_SIDE, MODEL_SIDE), Image.Resampling.BICUBIC))
                for scene in self.scenes
            ]
        )
        mean = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
        deviation = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
        self._scale = torch.from_numpy(1 / (255 * deviation)).view(1, 3, 1, 1)
        self._shift = torch.from_numpy(-mean / deviation).view(1, 3, 1, 1)

    def patches(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (images * 100, 1176) patches in Qwen2-VL's order, and the grids (images, 3)."""
        images = torch.from_numpy(self.pixels[indices]).permute(0, 3, 1, 2).float() * self._scale + self._shift
        count = len(indices)
        blocks = images.reshape(count, 3, CELLS, 2, 14, CELLS, 2, 14).permute(0, 2, 5, 3, 6, 1, 4, 7)
        blocks = blocks.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, 2, -1, -1)
        grid = torch.tensor([[1, 2 * CELLS, 2 * CELLS]]).expand(count, 3)
        return blocks.reshape(count * 4 * CELLS * CELLS, -1), grid

    def cell_targets(self, index: int) -> np.ndarray:
        """Return (25, 6) integers a cell: shape, colour, and the four edges' bins; shape 0 is background."""
        targets = np.zeros((CELLS * CELLS, 6), dtype=np.int64)
        edges = np.arange(CELLS) * CELL
        best = np.zeros((CELLS, CELLS))
        for thing in self.scenes[index].things:
            x1, y1, x2, y2 = (value * SCALE for value in thing.box)
            across = np.clip(np.minimum(x2, edges + CELL) - np.maximum(x1, edges), 0, None)
            down = np.clip(np.minimum(y2, edges + CELL) - np.maximum(y1, edges), 0, None)
            area = down[:, None] * across[None, :]
            mine = (area > best) & (area > 0.08 * CELL * CELL)
            best = np.where(mine, area, best)
            targets[mine.reshape(-1)] = describe(thing)
        return targets


def describe(thing: Thing) -> list[int]:
    """Return what `Eyes` must say of a thing: its shape (0 is background), its colour, its four edges' bins."""
    edges = [round(value * SCALE / _BIN) for value in thing.box]
    return [SHAPES.index(thing.shape) + 1, list(COLOURS).index(thing.colour), *edges]


class Eyes(nn.Module):
    """The heads that teach the vision tower, and the pointing of the language model; they are not kept."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.parts = (len(SHAPES) + 1, len(COLOURS), *([_BINS] * 4))
        self.head = nn.Linear(width, sum(self.parts))

    def forward(self, cells: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the loss of (cells, width) features against (cells, 6) targets, and accuracies."""
        logits = self.head(cells).float().split(self.parts, dim=-1)
        thing = targets[:, 0] > 0
        loss = cross_entropy(logits[0], targets[:, 0])
        for number in range(1, 6):
            weight = 1.0 if number == 1 else 0.5
            loss = loss + weight * cross_entropy(logits[number][thing], targets[thing, number])
        with torch.no_grad():
            hits = [(part.argmax(-1) == targets[:, n])[thing] for n, part in enumerate(logits)]
            near = [((part.argmax(-1) - targets[:, n]).abs() <= 1)[thing] for n, part in enumerate(logits)][2:]
            scores = {
                "shape": hits[0].float().mean().item(),
                "colour": hits[1].float().mean().item(),
                "edges": torch.stack(near).float().mean().item(),
            }
        return loss, scores
