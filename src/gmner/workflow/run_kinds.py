"""The kinds of runs: which stages each goes through, and what it does in its own way.

A kind is one entry here and one in `gmner.config.run.KINDS` (what the configuration has to know about it).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gmner.config.model import FrameSettings
from gmner.workflow import environments, stage_code, stage_inputs, stage_settings
from gmner.workflow.job import Job, Way

if TYPE_CHECKING:
    from gmner.workflow.plan import Plan


def frame_of_backbone(plan: "Plan", job: Job) -> FrameSettings:
    """Return the frame in which a run's backbone says its coordinates."""
    return plan.config.backbones[plan.config.settings_of(job.run, job.dataset).backbone].frame


def thousandths(plan: "Plan", job: Job) -> FrameSettings:
    """Return thousandths of the sides: what a provider does to an image is not known."""
    return FrameSettings(coordinates="norm1000")


@dataclass(frozen=True)
class RunKind:
    """How the runs of one kind are done."""

    stages: tuple[str, ...]
    """The stages of `Stage.per` run that it goes through."""
    frame: Callable[["Plan", Job], FrameSettings] = frame_of_backbone
    """The frame of its answers' coordinates."""
    sharded: bool = True
    """Several jobs can share its answers (`generate.shards`)."""
    ways: Mapping[str, Way] = field(default_factory=dict)
    """The stages that it does in another way than the stage table says."""


RUN_KINDS: dict[str, RunKind] = {
    # fine-tuned here
    "tuned": RunKind(("targets", "train", "generate", "predictions", "scores")),
    # the adapter of another run, made better by its own answers
    "refined": RunKind(("refine", "generate", "predictions", "scores")),
    # the adapter of another run, decoded in another way
    "decoded": RunKind(("generate", "predictions", "scores")),
    # the backbone as it is
    "untuned": RunKind(
        ("generate", "predictions", "scores"),
        ways={
            "generate": Way(
                command="gmner.commands.stages.generate_model",
                settings=stage_settings.generate,
                reads=stage_inputs.generate_untuned,
                code=stage_code.generate,
                environment=environments.of_engine,
            )
        },
    ),
    # a provider's model answers by itself, through the store and budget of the teachers
    "api": RunKind(
        ("generate", "predictions", "scores"),
        frame=thousandths,
        sharded=False,
        ways={
            "generate": Way(
                command="gmner.commands.stages.generate_api",
                settings=stage_settings.generate_api,
                reads=stage_inputs.generate_api,
                code=stage_code.generate_api,
                environment=environments.of_teacher,
            )
        },
    ),
    # another system's file of predictions, as a row beside ours
    "external": RunKind(
        ("predictions", "scores"),
        frame=thousandths,  # unused: such files hold pixels of the original images
        sharded=False,
        ways={
            "predictions": Way(
                command="gmner.commands.stages.predictions_external",
                settings=stage_settings.predictions_external,
                reads=stage_inputs.predictions_external,
            )
        },
    ),
}
