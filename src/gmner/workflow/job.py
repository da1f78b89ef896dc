"""A job of the workflow, and the way in which a stage is done."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gmner.config.base import Settings
from gmner.workflow.stage_code import Used, everything

if TYPE_CHECKING:
    from gmner.workflow.plan import Plan


@dataclass(frozen=True)
class Job:
    """One stage for one choice of what it is about: the parts of its name are the wildcards of its rule."""

    stage: str
    dataset: str = ""
    run: str = ""
    seed: int = 0
    name: str = ""  # of a source, backbone, teacher or table

    def at(self, stage: str) -> "Job":
        """Return another stage's job for the same dataset, run and seed."""
        return replace(self, stage=stage)


def reads_nothing(plan: "Plan", job: Job) -> Iterable[Job]:
    """Return no job: the stage reads no other stage's result."""
    return ()


@dataclass(frozen=True)
class Way:
    """How a stage is done."""

    command: str
    """Module of the stage's command, imported only when it runs; its code is part of the stage's fingerprint."""
    settings: Callable[["Plan", Job], Settings]
    """What the command is given."""
    reads: Callable[["Plan", Job], Iterable[Job]] = reads_nothing
    """The jobs whose results it reads."""
    code: Callable[[Any], Used] = everything
    """What of its code counts under its settings."""
    environment: str | Callable[["Plan", Job], str] = "light"
    """Name of the software environment in `envs/`."""
