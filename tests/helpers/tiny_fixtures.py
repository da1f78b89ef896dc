"""A Qwen2.5-VL with hidden size 32 and random weights, a few drawn samples and their targets."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from gmner.core.records import Entity, Sample
from gmner.storage.tables import TARGETS
from tests.helpers.tiny_training import NAMES, completion, row_of, text_of


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random model that loads in a moment."""
    from gmner.demo.tiny_backbone.model import build_config, build_tiny, save_backbone, train_tokenizer
    from gmner.models.adapter_folder import write_manifest

    folder = tmp_path_factory.mktemp("backbone")
    tokenizer = train_tokenizer([completion(0, 0), text_of(0), text_of(1)], vocabulary=340)
    config = build_config(tokenizer, hidden=32, layers=2, feed_forward=48, vision_hidden=32, vision_layers=1)
    import torch

    model = build_tiny(config, seed=7)
    for name, weight in model.named_parameters():  # so that answers depend on the prompt and the image
        if weight.dim() > 1 and "embed_tokens" not in name:
            weight.data *= 12
    save_backbone(folder, model, tokenizer, torch.float32)
    write_manifest(folder, {"kind": "local", "id": "random", "revision": None})
    return folder


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Twelve samples with images of several sizes: eight to train on, four of dev."""
    folder = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(3)
    made = []
    for number in range(12):
        width, height = (int(side) for side in generator.integers(60, 200, 2))
        path = folder / f"{number}.png"
        Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(path)
        split = "train" if number < 8 else "dev"
        text = text_of(number)
        entity = Entity(3, 4, NAMES[number % len(NAMES)], "PER", boxes=((1.0, 2.0, 40.0, 50.0),))
        names = (f"{split}/{number}", "d", split, str(number), str(path))
        made.append(Sample(*names, (width, height), tuple(text.split()), text, (entity,)))
    return made


@pytest.fixture(scope="session")
def make_targets(samples: list[Sample]) -> Callable[[int], pa.Table]:
    """Return a function that makes the table of targets of the training samples for so many epochs."""

    def make(epochs: int) -> pa.Table:
        rows = [
            row_of(sample.sample_id, epoch, completion(number, epoch))
            for number, sample in enumerate(sample for sample in samples if sample.split == "train")
            for epoch in range(epochs)
        ]
        return pa.Table.from_pylist(rows, schema=TARGETS)

    return make
