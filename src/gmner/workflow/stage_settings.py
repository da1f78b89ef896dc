"""What each stage's command is given: its part of the configuration, in the order of the flow."""

from pathlib import Path
from typing import TYPE_CHECKING

from gmner.config import stages
from gmner.config.data import DatasetSettings
from gmner.config.model import LocalBackbone, TinyBackbone
from gmner.config.run import KINDS, RowLimit, RunSettings
from gmner.config.teachers import PublishedTeacher, TemplateTeacher
from gmner.datasets import DATASETS
from gmner.datasets.contents import contents_hash
from gmner.errors import ConfigError
from gmner.models.content import content_of_backbone
from gmner.storage.files import refuse_special, sha256_of_file
from gmner.workflow.job import Job

if TYPE_CHECKING:
    from gmner.workflow.plan import Plan

SHIPPED_BACKBONE, PRINTED = Path("workflow/assets/tiny"), Path("workflow/paper")


def download(plan: "Plan", job: Job) -> stages.DownloadStage:
    """Return the source's name and where it comes from."""
    return stages.DownloadStage(name=job.name, source=plan.config.sources[job.name])  # type: ignore[index]


def samples(plan: "Plan", job: Job) -> stages.SamplesStage:
    """Return the dataset, and a hash of what the user's own folders hold for it."""
    dataset = dataset_of(plan, job)
    content = contents_hash(DATASETS[dataset.kind].folders(dataset))
    return stages.SamplesStage(name=job.dataset, dataset=dataset, content=content)


def backbone(plan: "Plan", job: Job) -> stages.BackboneStage:
    """Return where the backbone comes from."""
    found = plan.config.backbones[job.name]
    content = None
    if isinstance(found, LocalBackbone):
        content = content_of_backbone(Path(found.path))
    elif isinstance(found, TinyBackbone) and not found.rebuild:
        content = digest_of(SHIPPED_BACKBONE / "manifest.json")
    return stages.BackboneStage(name=job.name, backbone=found, content=content)


def pretrain_tiny(plan: "Plan", job: Job) -> stages.PretrainStage:
    """Return the seed of the tiny backbone's pretraining."""
    found = plan.config.backbones[job.name]
    assert isinstance(found, TinyBackbone)
    return stages.PretrainStage(seed=found.seed)


def rationales(plan: "Plan", job: Job) -> stages.RationalesStage:
    """Return the teacher."""
    return stages.RationalesStage(name=job.name, teacher=plan.config.teachers[job.name])


def targets(plan: "Plan", job: Job) -> stages.TargetsStage:
    """Return what a run's completions are made with."""
    run = run_of(plan, job)
    return stages.TargetsStage(
        cot=run.cot,
        epochs=run.train.epochs,
        grbp=run.grbp,
        frame=plan.config.backbones[run.backbone].frame,
        fine=dataset_of(plan, job).fine,
        when_refused=plan.config.teachers[run.teacher].when_refused if run.cot else "no_reasoning",
        least_accepted=plan.config.teachers[run.teacher].least_accepted if run.cot else 0.0,
        question=question_of(plan, job),
        limit=RowLimit(max_length=run.train.max_length, overlong=run.train.overlong),
    )


def train(plan: "Plan", job: Job) -> stages.TrainStage:
    """Return how a run asks and trains."""
    run = run_of(plan, job)
    best = run.train.select == "best"
    return stages.TrainStage(
        run=job.run,
        dataset=job.dataset,
        backbone=plan.config.backbones[run.backbone],
        question=question_of(plan, job),
        train=run.train,
        generate=run.generate if best else None,
        score=run.score if best else None,
    )


def refine(plan: "Plan", job: Job) -> stages.RefineStage:
    """Return how a refined run is refined, and how the run it starts from was trained."""
    return stages.RefineStage(
        run=job.run,
        dataset=job.dataset,
        fine=dataset_of(plan, job).fine,
        train=plan.config.trained_run(job.run).train,
        refine=run_of(plan, job).refine,
    )


def generate(plan: "Plan", job: Job) -> stages.GenerateStage:
    """Return how a run's own model answers. A tuned run's question comes with its adapter."""
    run = run_of(plan, job)
    return stages.GenerateStage(
        kind="untuned" if run.kind == "untuned" else "tuned",
        backbone=plan.config.backbones[run.backbone],
        generate=run.generate,
        question=question_of(plan, job) if run.kind == "untuned" else None,
    )


def generate_api(plan: "Plan", job: Job) -> stages.GenerateApiStage:
    """Return whom an api run asks, what, and with how many examples."""
    run, teacher = run_of(plan, job), plan.config.teachers[run_of(plan, job).teacher]
    assert not isinstance(teacher, TemplateTeacher | PublishedTeacher)  # the configuration was checked
    question = question_of(plan, job)
    return stages.GenerateApiStage(name=run.teacher, teacher=teacher, question=question, **run.api.model_dump())


def predictions(plan: "Plan", job: Job) -> stages.PredictionsStage:
    """Return the frame that the answers are in, and the types that they may use."""
    frame = plan.kind(job).frame(plan, job)
    return stages.PredictionsStage(frame=frame, types=dataset_of(plan, job).labels)


def predictions_external(plan: "Plan", job: Job) -> stages.ExternalStage:
    """Return another system's file, and a hash of what it holds."""
    external = run_of(plan, job).external
    assert external is not None  # the configuration was checked
    path = Path(external.file)
    refuse_special(path)
    if not path.is_file():
        raise ConfigError(f"runs.{job.run}.external.file: no file at '{path}', relative to the working directory")
    types = dataset_of(plan, job).labels
    return stages.ExternalStage(**external.model_dump(), content=sha256_of_file(path)[:16], types=types)


def scores(plan: "Plan", job: Job) -> stages.ScoresStage:
    """Return the convention to count by."""
    return stages.ScoresStage(score=run_of(plan, job).score, fine=dataset_of(plan, job).fine)


def tables(plan: "Plan", job: Job) -> stages.TableStage:
    """Return a table's rows, and a digest of the numbers printed elsewhere that stand beside them."""
    rows = tuple(row_of(plan, before) for before in plan.inputs(job))
    return stages.TableStage(name=job.name, rows=rows, printed=digest_of(PRINTED / f"{job.name}.csv"))


def report(plan: "Plan", job: Job) -> stages.ReportStage:
    """Return what the report shows."""
    before = plan.inputs(job)
    runs = [one for one in before if one.stage == "scores"]
    taught = [one for one in before if one.stage == "rationales"]
    return stages.ReportStage(
        datasets=tuple(
            stages.ReportDataset(
                name=name,
                fine=plan.config.datasets[name].fine,
                teachers=tuple(one.name for one in taught if one.dataset == name),
            )
            for name in dict.fromkeys(one.dataset for one in runs)
        ),
        runs=tuple(stages.ReportRun(**row_of(plan, one).model_dump(), score=run_of(plan, one).score) for one in runs),
        tables=tuple(one.name for one in before if one.stage == "tables"),
        backbones=tuple(one.name for one in plan.jobs("backbone")),
        report=plan.config.report,
    )


# Parts of settings that several stages share ------------------------------------------------------------------------


def row_of(plan: "Plan", job: Job) -> stages.TableRow:
    """Return what a table says about one run, dataset and seed."""
    run, trained = run_of(plan, job), plan.config.trained_run(job.run)
    tuned = KINDS[run.kind].trains
    return stages.TableRow(
        run=job.run,
        title=run.title or job.run,
        kind=run.kind,
        dataset=job.dataset,
        fine=dataset_of(plan, job).fine,
        backbone=_model_of(plan, run),
        teacher=trained.teacher if tuned and trained.cot else None,
        cot=trained.cot,
        strength=(trained.grbp.beta if trained.grbp.enabled else 0.0) if tuned else None,
        scale_strength=(trained.grbp.gamma if trained.grbp.enabled else 0.0) if tuned else None,
        seed=job.seed,
        scores=plan.place(job.at("scores")),
    )


def _model_of(plan: "Plan", run: RunSettings) -> str:
    kind = KINDS[run.kind]
    if kind.backbone:
        return run.backbone
    return plan.config.teachers[run.teacher].model if kind.teacher == "model" else ""


def question_of(plan: "Plan", job: Job) -> stages.Question:
    """Return how a run's model is asked."""
    run, dataset = run_of(plan, job), dataset_of(plan, job)
    return stages.Question(prompt=run.prompt, cot=run.cot, types=dataset.labels, fine=dataset.fine)


def digest_of(path: Path) -> str | None:
    """Return a digest of a file that people edit or replace; None if there is none.

    It is a parameter of the stage: Snakemake compares an input's contents only if the file looks newer.
    """
    return sha256_of_file(path)[:16] if path.is_file() else None


def run_of(plan: "Plan", job: Job) -> RunSettings:
    """Return the settings of a job's run."""
    return plan.config.settings_of(job.run, job.dataset)


def dataset_of(plan: "Plan", job: Job) -> DatasetSettings:
    """Return the settings of a job's dataset."""
    return plan.config.datasets[job.dataset]
