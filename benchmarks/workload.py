"""The demo's own work, for the benchmarks of collation, training and inference: drawn tweets and the tiny backbone."""

import measure  # noqa: I001
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from gmner.config import load_config_file
from gmner.config.stages import TargetsStage, TrainStage
from gmner.demo.data.dataset import write_demo
from gmner.models.encoding import PromptSettings
from gmner.models.qwen_vl.encoder import Encoder
from gmner.core.frame import Frame
from gmner.workflow.plan import Job, Plan
from gmner.models.qwen_vl.processor import load_processor
from gmner.core.records import Sample
from gmner.storage.tables import TARGETS
from gmner.targets.stage import Reasoning, build_targets
from gmner.rationales.template import write_rationale

BACKBONE = measure.REPO / "workflow" / "assets" / "tiny"
DATASET, RUN, SEED = "demo-gmner", "full", 42


@dataclass(frozen=True)
class Workload:
    """Samples of the demo with their targets, and the settings of its run `full`."""

    train: list[Sample]
    test: list[Sample]
    targets: pa.Table
    settings: TrainStage
    max_new_tokens: int
    decode_batch: int

    @property
    def prompt(self) -> PromptSettings:
        """How a sample is put to the model."""
        question = self.settings.question
        frame = Frame(**self.settings.backbone.frame.model_dump())
        return PromptSettings(question.prompt, question.types, question.cot, frame)

    def encoder(self) -> Encoder:
        """Return an encoder that has encoded nothing yet."""
        return Encoder(load_processor(BACKBONE, self.prompt.frame), self.prompt)


def demo_work(folder: Path, train: int, test: int, epochs: int) -> Workload:
    """Draw so many tweets into `folder` and write their targets for so many epochs, all as config.yaml has it."""
    config = load_config_file(measure.REPO / "config.yaml")
    plan = Plan(config)
    job = Job("train", dataset=DATASET, run=RUN, seed=SEED)
    settings: Any = plan.settings(job)
    stage: Any = plan.settings(Job("targets", dataset=DATASET, run=RUN, seed=SEED))
    settings = settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": epochs})})
    stage = TargetsStage.model_validate({**stage.model_dump(), "epochs": epochs})
    samples = write_demo(folder / "images", DATASET, {"train": train, "dev": 0, "test": test}, False, SEED)
    learnt = [sample for sample in samples if sample.split == "train"]
    texts = [write_rationale(sample, "evidence") for sample in learnt]
    table = build_targets(stage, Reasoning(learnt, texts, 0, []), SEED)[0] if learnt else TARGETS.empty_table()
    asked = [sample for sample in samples if sample.split == "test"]
    generate = config.runs[RUN].generate
    return Workload(learnt, asked, table, settings, generate.max_new_tokens, generate.batch_size)
