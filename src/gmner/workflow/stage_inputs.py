"""Which jobs' results each stage reads, in the order of the flow."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gmner.config.model import TinyBackbone
from gmner.datasets import DATASETS
from gmner.errors import ConfigError
from gmner.workflow.job import Job
from gmner.workflow.stage_settings import dataset_of, run_of

if TYPE_CHECKING:
    from gmner.workflow.plan import Plan


def samples(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the downloads that a dataset is read from."""
    dataset = dataset_of(plan, job)
    for name in DATASETS[dataset.kind].sources(dataset):
        yield Job("download", name=name)


def backbone(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the pretraining of a tiny backbone that is made here."""
    found = plan.config.backbones[job.name]
    if isinstance(found, TinyBackbone) and found.rebuild:
        yield Job("pretrain_tiny", name=job.name)


def rationales(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples, and the model of a teacher that runs in the job itself."""
    yield Job("samples", dataset=job.dataset)
    yield from model_of_teacher(plan, job.name)


def targets(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples, a reasoning run's rationales, and the backbone, whose tokenizer says how long rows are."""
    yield Job("samples", dataset=job.dataset)
    if run_of(plan, job).cot:
        yield Job("rationales", dataset=job.dataset, name=run_of(plan, job).teacher)
    yield Job("backbone", name=run_of(plan, job).backbone)


def train(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples (dev is decoded), the targets and the backbone."""
    yield Job("samples", dataset=job.dataset)
    yield job.at("targets")
    yield Job("backbone", name=run_of(plan, job).backbone)


def refine(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples, the backbone, the adapter it starts from, and for rejection sampling the targets of that."""
    run = run_of(plan, job)
    assert run.start is not None  # the configuration was checked
    yield Job("samples", dataset=job.dataset)
    yield Job("backbone", name=run.backbone)
    start = replace(job, run=run.start)
    yield adapter(plan, start)
    if run.refine.method == "rejection":
        while (earlier := run_of(plan, start).start) is not None:
            start = replace(start, run=earlier)
        yield start.at("targets")


def adapter(plan: "Plan", job: Job) -> Job:
    """Return the job that makes the adapter a run answers with: its own, or that of the run it takes it from."""
    run = run_of(plan, job)
    if run.kind == "decoded" and run.start is not None:
        return adapter(plan, replace(job, run=run.start))
    return job.at("refine" if run.kind == "refined" else "train")


def generate_untuned(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples and the backbone."""
    yield Job("samples", dataset=job.dataset)
    yield Job("backbone", name=run_of(plan, job).backbone)


def generate_tuned(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples, the backbone and the adapter."""
    yield from generate_untuned(plan, job)
    yield adapter(plan, job)


def generate_api(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples, and the model if it runs in the job itself."""
    yield Job("samples", dataset=job.dataset)
    yield from model_of_teacher(plan, run_of(plan, job).teacher)


def predictions(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples and the answers."""
    yield Job("samples", dataset=job.dataset)
    yield job.at("generate")


def predictions_external(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples; the other system's file is no job's result."""
    yield Job("samples", dataset=job.dataset)


def scores(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the samples (the annotation) and the predictions."""
    yield Job("samples", dataset=job.dataset)
    yield job.at("predictions")


def tables(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield the scores of a table's rows, in its order. Raises ConfigError if the table is not configured."""
    table = plan.config.tables.asked().get(job.name)
    if table is None:
        raise ConfigError(f"tables.{job.name} is not in the configuration; add it, naming the runs it shows")
    for run in table.run_names():
        for dataset in plan.config.datasets_of(run, table.datasets):
            for seed in plan.config.seeds_of(run):
                yield Job("scores", dataset=dataset, run=run, seed=seed)


def report(plan: "Plan", job: Job) -> Iterator[Job]:
    """Yield everything that the report shows: all that is configured, or what of it is finished."""
    of_runs = ("train", "refine", "generate", "predictions", "scores")
    done = {job.at("") for job in plan.jobs("scores")}
    if plan.finished_only:
        unfinished = {job.at("") for stage in of_runs for job in plan.jobs(stage) if not plan.is_finished(job)}
        done -= unfinished | {job for job in done if not plan.is_finished(Job("samples", dataset=job.dataset))}
    for stage in ("samples", "rationales", *of_runs, "tables"):
        for found in plan.jobs(stage):
            if (stage in of_runs and found.at("") in done) or (
                stage not in of_runs and (not plan.finished_only or plan.is_finished(found))
            ):
                yield found


def model_of_teacher(plan: "Plan", name: str) -> Iterator[Job]:
    """Yield the backbone that a teacher in the job itself loads, if a rule of ours fills its folder."""
    teacher = plan.config.teachers[name]
    if teacher.provider == "local":
        for found in plan.config.backbones:
            if Path(teacher.model) == Path("resources/backbones", found):
                yield Job("backbone", name=found)


# Jobs that the configuration asks for by itself ---------------------------------------------------------------------


def asked_tables(plan: "Plan") -> list[Job]:
    """Return the configured tables."""
    return [Job("tables", name=name) for name in plan.config.tables.asked()]


def asked_report(plan: "Plan") -> list[Job]:
    """Return the one page."""
    return [Job("report")]
