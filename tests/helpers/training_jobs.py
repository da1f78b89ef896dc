"""A training of a few steps on the random backbone."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from gmner.config.run import GenerateSettings, TrainSettings
from gmner.core.records import Sample
from gmner.models.encoding import PromptSettings
from gmner.training.stage import TrainJob
from tests.helpers.tiny_training import FRAME, TYPES


def small_job(backbone: Path, samples: list[Sample], targets: pa.Table, scorer: Any = None, **train: Any) -> TrainJob:
    """Return a job of two epochs of four steps, with the settings `train`."""
    wanted = {
        "epochs": 2,
        "accumulation": 1,
        "learning_rate": 1e-2,
        "gradient_checkpointing": False,
        "select": "best" if scorer else "last",
        **train,
    }
    return TrainJob(
        samples=[sample for sample in samples if sample.split == "train"],
        dev=[sample for sample in samples if sample.split == "dev"],
        targets=targets,
        backbone_dir=backbone,
        backbone={"id": "random", "revision": None, "manifest_sha256": "0"},
        prompt=PromptSettings("short", TYPES, True, FRAME),
        train=TrainSettings(**wanted),
        generate=GenerateSettings(batch_size=3, max_new_tokens=6),
        seed=42,
        scorer=scorer,
        identity={"settings": wanted},
    )
