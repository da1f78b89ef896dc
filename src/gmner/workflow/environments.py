"""The software environment and the machine that a job asks for; neither decides what comes out."""

from typing import TYPE_CHECKING

from gmner.config.run import KINDS
from gmner.workflow.job import Job

if TYPE_CHECKING:
    from gmner.workflow.plan import Plan


def of_teacher(plan: "Plan", job: Job) -> str:
    """Return the environment of a job that asks a teacher: with torch if its model runs in the job itself."""
    return "train" if _has_model(plan, job) else "teacher"


def of_engine(plan: "Plan", job: Job) -> str:
    """Return the environment in which a run's model answers: vLLM has one of its own."""
    return "vllm" if plan.config.settings_of(job.run, job.dataset).generate.engine == "vllm" else "train"


def gpus(plan: "Plan", job: Job, shards: int = 1) -> int:
    """Return how many GPUs a job asks for on all its machines together.

    The tiny backbone is made for the processor. A job that only gathers the answers of several shards needs none.
    """
    if job.stage == "rationales" or (
        job.run and not KINDS[plan.config.settings_of(job.run, job.dataset).kind].backbone
    ):
        return int(_has_model(plan, job))
    run = plan.config.settings_of(job.run, job.dataset)
    if plan.config.backbones[run.backbone].kind == "tiny" or shards > 1:
        return 0
    return run.train.launch.world if job.stage == "train" else 1


def threads(plan: "Plan", job: Job) -> int:
    """Return how many threads of the processor a run's training and answers get, by the configuration alone."""
    run = plan.config.settings_of(job.run, job.dataset)
    small = not KINDS[run.kind].backbone or plan.config.backbones[run.backbone].kind == "tiny"
    return run.threads or (1 if small else 8)


def memory_of_answers(plan: "Plan", job: Job) -> int:
    """Return how many megabytes of memory a run's answers ask for."""
    return 32000 if KINDS[plan.config.settings_of(job.run, job.dataset).kind].backbone else 4000


def nodes(plan: "Plan", job: Job) -> int:
    """Return on how many machines a training runs."""
    return plan.config.settings_of(job.run, job.dataset).train.launch.nodes


def _has_model(plan: "Plan", job: Job) -> bool:
    name = job.name or plan.config.settings_of(job.run, job.dataset).teacher
    teacher = plan.config.teachers.get(name)
    return teacher is not None and teacher.provider == "local"
