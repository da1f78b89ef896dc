"""The one table of the stages, in the order in which data flow.

A stage has the same name here, in its rule file, in its command (`gmner stage NAME`) and in its folder of results.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmner.workflow import environments, stage_code, stage_inputs, stage_settings
from gmner.workflow.job import Job, Way

if TYPE_CHECKING:
    from gmner.workflow.plan import Plan

RUN = ("dataset", "run", "seed")
_OF_RUN = "{dataset}/{run}/seed{seed}"


@dataclass(frozen=True)
class Stage:
    """One stage."""

    name: str
    about: str
    """One line of help."""
    per: tuple[str, ...]
    """What there is one job for each of: the wildcards of its rule."""
    result: str
    """Where its main result lies, written last: a pattern of the wildcards."""
    way: Way
    """How it is done, unless the kind of a run has a way of its own (`run_kinds.py`)."""
    read_as: str = ""
    """The option by which other stages' commands are given its result."""
    read_folder: bool = False
    """They are given the folder of the result."""
    asked: Callable[["Plan"], Iterable[Job]] | None = None
    """The jobs that the configuration asks for by itself; None: those of its runs, or those that others read."""

    @property
    def label(self) -> str:
        """The name and the wildcards as the end of a path: what a log is called."""
        return "/".join([self.name, *("seed{seed}" if name == "seed" else f"{{{name}}}" for name in self.per)])


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            name="download",
            about="fetch the annotations or images of a dataset, resumable and checked",
            per=("name",),
            result="resources/{name}/manifest.json",
            way=Way("gmner.commands.stages.download", stage_settings.download, environment="data"),
        ),
        Stage(
            name="samples",
            about="join annotations, boxes and images of a dataset into one table",
            per=("dataset",),
            result="results/samples/{dataset}/samples.parquet",
            way=Way(
                "gmner.commands.stages.samples",
                stage_settings.samples,
                stage_inputs.samples,
                stage_code.samples,
                "data",
            ),
            read_as="--samples",
        ),
        Stage(
            name="pretrain_tiny",
            about="train the tiny backbone from scratch (about an hour on two cores)",
            per=("name",),
            result="resources/pretrained/{name}/manifest.json",
            way=Way("gmner.commands.stages.pretrain_tiny", stage_settings.pretrain_tiny, environment="train"),
            read_as="--tiny",
            read_folder=True,
        ),
        Stage(
            name="backbone",
            about="put a backbone into a folder: fetched from the hub, copied, or the one that ships here",
            per=("name",),
            result="resources/backbones/{name}/manifest.json",
            way=Way(
                "gmner.commands.stages.backbone",
                stage_settings.backbone,
                stage_inputs.backbone,
                stage_code.backbone,
                "train",
            ),
            read_as="--backbone",
            read_folder=True,
        ),
        Stage(
            name="rationales",
            about="ask a teacher for the reasoning of each training sample",
            per=("dataset", "name"),
            result="results/rationales/{dataset}/{name}/rationales.parquet",
            way=Way(
                "gmner.commands.stages.rationales",
                stage_settings.rationales,
                stage_inputs.rationales,
                stage_code.rationales,
                environments.of_teacher,
            ),
            read_as="--rationales",
        ),
        Stage(
            name="targets",
            about="write what a run learns to answer, boxes perturbed for each epoch",
            per=RUN,
            result=f"results/targets/{_OF_RUN}/targets.parquet",
            way=Way(
                "gmner.commands.stages.targets",
                stage_settings.targets,
                stage_inputs.targets,
                stage_code.targets,
                environment="train",
            ),
            read_as="--targets",
        ),
        Stage(
            name="train",
            about="fine-tune a backbone with LoRA on the targets of one run and seed",
            per=RUN,
            result=f"results/train/{_OF_RUN}/manifest.json",
            way=Way("gmner.commands.stages.train", stage_settings.train, stage_inputs.train, stage_code.train, "train"),
            read_as="--adapter",
            read_folder=True,
        ),
        Stage(
            name="refine",
            about="make a trained adapter better by its own answers: rejection sampling or GRPO",
            per=RUN,
            result=f"results/refine/{_OF_RUN}/manifest.json",
            way=Way("gmner.commands.stages.refine", stage_settings.refine, stage_inputs.refine, environment="train"),
            read_as="--adapter",
            read_folder=True,
        ),
        Stage(
            name="generate",
            about="let a run's model answer each sample of a split",
            per=RUN,
            result=f"results/generate/{_OF_RUN}/outputs.parquet",
            way=Way(
                "gmner.commands.stages.generate_model",
                stage_settings.generate,
                stage_inputs.generate_tuned,
                stage_code.generate,
                environments.of_engine,
            ),
            read_as="--outputs",
        ),
        Stage(
            name="predictions",
            about="parse a run's answers; boxes go back to the original images",
            per=RUN,
            result=f"results/predictions/{_OF_RUN}/predictions.parquet",
            way=Way("gmner.commands.stages.predictions", stage_settings.predictions, stage_inputs.predictions),
            read_as="--predictions",
        ),
        Stage(
            name="scores",
            about="count a run's predictions against the annotation",
            per=RUN,
            result=f"results/scores/{_OF_RUN}/scores.json",
            way=Way("gmner.commands.stages.scores", stage_settings.scores, stage_inputs.scores, stage_code.scores),
            read_as="--scores",
        ),
        Stage(
            name="tables",
            about="lay scores out as one of the paper's tables or as its Figure 3",
            per=("name",),
            result="results/{name}.csv",
            way=Way("gmner.commands.stages.tables", stage_settings.tables, stage_inputs.tables, environment="report"),
            asked=stage_inputs.asked_tables,
        ),
        Stage(
            name="report",
            about="write one page with tables, curves, errors and every test tweet",
            per=(),
            result="results/report.html",
            way=Way("gmner.commands.stages.report", stage_settings.report, stage_inputs.report, stage_code.report),
            asked=stage_inputs.asked_report,
        ),
    )
}
