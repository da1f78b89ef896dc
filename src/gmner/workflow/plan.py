"""The plan of a workflow: for each stage its settings, its place, and what it depends on.

The Snakefile asks this module and nothing else. Three values decide whether a stage is done again: `content` (its
settings, less those that only say how it is done), `code` (the fingerprint of the modules behind its command) and
`upstream` (a hash of the same three of all stages before it). They do not depend on any file's time, and a chain
that was interrupted can never pass old results off as new ones.
"""

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.config import stages
from gmner.config.api import ApiOutputsStage
from gmner.config.base import Settings
from gmner.config.data import DemoDataset, FolderDataset, TwitterDataset
from gmner.config.model import FrameSettings, TinyBackbone
from gmner.config.root import Config
from gmner.config.run import RunSettings
from gmner.config.stages import OPERATIONAL
from gmner.config.teachers import RationalesSettings, TemplateTeacher, content_settings
from gmner.errors import ConfigError
from gmner.storage.files import sha256_of_json
from gmner.workflow.fingerprint import code_fingerprint
from gmner.workflow.relevance import modules_aside, modules_chosen

ANNOTATION_SUFFIXES = frozenset({".txt", ".xml", ".jsonl", ".json", ".conll"})


API_FRAME = FrameSettings(coordinates="norm1000")


def container_image() -> str:
    """Return the image that every rule runs in with `--sdm apptainer`: GMNER_IMAGE, or nothing."""
    return os.environ.get("GMNER_IMAGE", "")


@dataclass(frozen=True)
class Job:
    """One stage for one choice of what it is about: its name's parts as the rules' wildcards have them."""

    stage: str
    dataset: str = ""
    run: str = ""
    seed: int = 0
    name: str = ""  # of a source, backbone, teacher or table


class Plan:
    """What a checked configuration asks for."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._known: dict[Job, str] = {}

    def settings(self, job: Job) -> Settings:
        """Return what the stage's command is given."""
        build = getattr(self, f"_{job.stage}_settings")
        found: Settings = build(job)
        return found

    def content(self, job: Job) -> dict[str, Any]:
        """Return the settings that decide what comes out."""
        exclude = OPERATIONAL.get(job.stage)
        settings = self.settings(job)
        found: dict[str, Any] = settings.model_dump(mode="json", exclude=exclude)
        if isinstance(settings, RationalesSettings | ApiOutputsStage):
            found["teacher"] = content_settings(settings.teacher)
        return found

    def code(self, job: Job) -> str:
        """Return the fingerprint of the code behind the stage."""
        settings = self.settings(job)
        return code_fingerprint(job.stage, modules_aside(settings), modules_chosen(settings))

    def upstream(self, job: Job) -> str:
        """Return a hash over settings and code of everything before the stage, 16 hex digits."""
        return sha256_of_json([self.identity(before) for before in self.inputs(job)])[:16]

    def identity(self, job: Job) -> str:
        """Return a hash over all that decides what the stage gives, 16 hex digits."""
        if job not in self._known:
            parts = [self.content(job), self.code(job), self.upstream(job)]
            self._known[job] = sha256_of_json(parts)[:16]
        return self._known[job]

    def inputs(self, job: Job) -> list[Job]:
        """Return the stages whose results a stage reads."""
        build = getattr(self, f"_{job.stage}_inputs", None)
        return list(build(job)) if build else []

    # What there is to do ---------------------------------------------------------------------------------------

    def runs(self, *kinds: str) -> list[Job]:
        """Return every run with each of its data sets and seeds, or those of some kinds, as jobs of no stage."""
        return [
            Job("", dataset=dataset, run=name, seed=seed)
            for name, run in self.config.runs.items()
            if not kinds or run.kind in kinds
            for dataset in self.config.datasets_of(name)
            for seed in self.config.seeds_of(name)
        ]

    def jobs(self, stage: str) -> list[Job]:
        """Return every job of a stage that the configuration asks for, in its order, each once."""
        if stage == "table":
            return [Job("table", name=name) for name in self.config.tables.asked()]
        if stage == "report":
            return [Job("report")]
        if stage in {"targets", "train"}:
            return [_as(job, stage) for job in self.runs("tuned")]
        if stage == "generate":
            return [_as(job, stage) for job in self.runs("tuned", "untuned")]
        if stage == "api_outputs":
            return [_as(job, stage) for job in self.runs("api")]
        if stage in {"predictions", "scores"}:
            return [_as(job, stage) for job in self.runs()]
        return self._found_before(stage)

    def _found_before(self, stage: str) -> list[Job]:
        """Return the jobs of an early stage: those that some run needs."""
        found: dict[Job, None] = {}
        queue = self.jobs("scores")
        seen = set(queue)
        for job in queue:  # grows while it is walked
            for before in self.inputs(job):
                if before.stage == stage:
                    found[before] = None
                if before not in seen:
                    seen.add(before)
                    queue.append(before)
        return list(found)

    # Each stage's settings -------------------------------------------------------------------------------------

    def _download_settings(self, job: Job) -> stages.DownloadStage:
        return stages.DownloadStage(name=job.name, source=self.config.sources[job.name])  # type: ignore[index]

    def _samples_settings(self, job: Job) -> stages.SamplesStage:
        dataset = self._dataset(job)
        content = folder_hash(dataset.path) if isinstance(dataset, FolderDataset) else None
        return stages.SamplesStage(name=job.dataset, dataset=dataset, content=content)

    def _backbone_settings(self, job: Job) -> stages.BackboneStage:
        return stages.BackboneStage(name=job.name, backbone=self.config.backbones[job.name])

    def _pretrain_tiny_settings(self, job: Job) -> stages.PretrainStage:
        backbone = self.config.backbones[job.name]
        assert isinstance(backbone, TinyBackbone)
        return stages.PretrainStage(seed=backbone.seed)

    def _rationales_settings(self, job: Job) -> stages.RationalesStage:
        return stages.RationalesStage(name=job.name, teacher=self.config.teachers[job.name])

    def _targets_settings(self, job: Job) -> stages.TargetsStage:
        run = self._run(job)
        return stages.TargetsStage(
            cot=run.cot,
            epochs=run.train.epochs,
            grbp=run.grbp,
            frame=self.config.backbones[run.backbone].frame,
            fine=self._dataset(job).fine,
            when_refused=self.config.teachers[run.teacher].when_refused if run.cot else "no_reasoning",
            least_accepted=self.config.teachers[run.teacher].least_accepted if run.cot else 0.0,
        )

    def _train_settings(self, job: Job) -> stages.TrainStage:
        run = self._run(job)
        best = run.train.select == "best"
        return stages.TrainStage(
            run=job.run,
            dataset=job.dataset,
            backbone=self.config.backbones[run.backbone],
            question=self._question(job),
            train=run.train,
            generate=run.generate if best else None,
            score=run.score if best else None,
        )

    def _generate_settings(self, job: Job) -> stages.GenerateStage:
        run = self._run(job)
        return stages.GenerateStage(
            backbone=self.config.backbones[run.backbone],
            generate=run.generate,
            question=self._question(job) if run.kind == "untuned" else None,
        )

    def _api_outputs_settings(self, job: Job) -> ApiOutputsStage:
        run, teacher = self._run(job), self.config.teachers[self._run(job).teacher]
        assert not isinstance(teacher, TemplateTeacher)  # the configuration was checked
        question = self._question(job)
        return ApiOutputsStage(name=run.teacher, teacher=teacher, question=question, **run.api.model_dump())

    def _predictions_settings(self, job: Job) -> stages.PredictionsStage:
        run, types = self._run(job), self._dataset(job).labels
        # What a provider does to an image is not known: its models are asked for thousandths of the sides.
        frame = API_FRAME if run.kind == "api" else self.config.backbones[run.backbone].frame
        return stages.PredictionsStage(frame=frame, types=types)

    def _scores_settings(self, job: Job) -> stages.ScoresStage:
        return stages.ScoresStage(score=self._run(job).score, fine=self._dataset(job).fine)

    def _table_settings(self, job: Job) -> stages.TableStage:
        rows = tuple(self._row(scores) for scores in self._table_inputs(job))
        return stages.TableStage(name=job.name, rows=rows)

    def _row(self, job: Job) -> stages.TableRow:
        run, tuned = self._run(job), self._run(job).kind == "tuned"
        return stages.TableRow(
            run=job.run,
            title=run.title or job.run,
            kind=run.kind,
            dataset=job.dataset,
            fine=self._dataset(job).fine,
            backbone=self.config.teachers[run.teacher].model if run.kind == "api" else run.backbone,
            teacher=run.teacher if tuned and run.cot else None,
            cot=run.cot,
            strength=(run.grbp.beta if run.grbp.enabled else 0.0) if tuned else None,
            scale_strength=(run.grbp.gamma if run.grbp.enabled else 0.0) if tuned else None,
            seed=job.seed,
            scores=scores_path(job),
        )

    def _report_settings(self, job: Job) -> stages.ReportStage:
        before = self._report_inputs(job)
        runs = [one for one in before if one.stage == "scores"]
        taught = [one for one in before if one.stage == "rationales"]
        return stages.ReportStage(
            datasets=tuple(
                stages.ReportDataset(
                    name=name,
                    fine=self.config.datasets[name].fine,
                    teachers=tuple(one.name for one in taught if one.dataset == name),
                )
                for name in dict.fromkeys(one.dataset for one in runs)
            ),
            runs=tuple(stages.ReportRun(**self._row(one).model_dump(), score=self._run(one).score) for one in runs),
            tables=tuple(one.name for one in before if one.stage == "table"),
            backbones=tuple(one.name for one in self.jobs("backbone")),
            report=self.config.report,
        )

    def _question(self, job: Job) -> stages.Question:
        run, dataset = self._run(job), self._dataset(job)
        return stages.Question(prompt=run.prompt, cot=run.cot, types=dataset.labels, fine=dataset.fine)

    def _run(self, job: Job) -> RunSettings:
        return self.config.runs[job.run]

    def _dataset(self, job: Job) -> DemoDataset | TwitterDataset | FolderDataset:
        return self.config.datasets[job.dataset]

    # What each stage reads -------------------------------------------------------------------------------------

    def _backbone_inputs(self, job: Job) -> Iterator[Job]:
        backbone = self.config.backbones[job.name]
        if isinstance(backbone, TinyBackbone) and backbone.rebuild:
            yield Job("pretrain_tiny", name=job.name)

    def _samples_inputs(self, job: Job) -> Iterator[Job]:
        dataset = self._dataset(job)
        for name in dataset.sources if isinstance(dataset, TwitterDataset) else ():
            yield Job("download", name=name)

    def _rationales_inputs(self, job: Job) -> Iterator[Job]:
        yield Job("samples", dataset=job.dataset)
        yield from self._model_of_teacher(job.name)

    def _model_of_teacher(self, name: str) -> Iterator[Job]:
        teacher = self.config.teachers[name]
        if teacher.provider == "local":  # a folder; it may be one that a rule of ours fills
            for backbone in self.config.backbones:
                if Path(teacher.model) == Path("resources/backbones", backbone):
                    yield Job("backbone", name=backbone)

    def _targets_inputs(self, job: Job) -> Iterator[Job]:
        yield Job("samples", dataset=job.dataset)
        if self._run(job).cot:
            yield Job("rationales", dataset=job.dataset, name=self._run(job).teacher)

    def _train_inputs(self, job: Job) -> Iterator[Job]:
        yield Job("samples", dataset=job.dataset)
        yield _as(job, "targets")
        yield Job("backbone", name=self._run(job).backbone)

    def _generate_inputs(self, job: Job) -> Iterator[Job]:
        yield Job("samples", dataset=job.dataset)
        yield Job("backbone", name=self._run(job).backbone)
        if self._run(job).kind == "tuned":
            yield _as(job, "train")

    def _api_outputs_inputs(self, job: Job) -> Iterator[Job]:
        yield Job("samples", dataset=job.dataset)
        yield from self._model_of_teacher(self._run(job).teacher)

    def _predictions_inputs(self, job: Job) -> Iterator[Job]:
        yield Job("samples", dataset=job.dataset)
        yield _as(job, "api_outputs" if self._run(job).kind == "api" else "generate")

    def _scores_inputs(self, job: Job) -> Iterator[Job]:
        yield Job("samples", dataset=job.dataset)
        yield _as(job, "predictions")

    def _table_inputs(self, job: Job) -> Iterator[Job]:
        table = self.config.tables.asked().get(job.name)
        if table is None:
            raise ConfigError(f"tables.{job.name} is not in the configuration; add it, naming the runs it shows")
        for run in table.run_names():
            for dataset in self.config.datasets_of(run, table.datasets):
                for seed in self.config.seeds_of(run):
                    yield Job("scores", dataset=dataset, run=run, seed=seed)

    def _report_inputs(self, job: Job) -> list[Job]:
        stages_shown = ("samples", "rationales", "train", "api_outputs", "predictions", "scores", "table")
        return [found for stage in stages_shown for found in self.jobs(stage)]


def _as(job: Job, stage: str) -> Job:
    return Job(stage, dataset=job.dataset, run=job.run, seed=job.seed)


def scores_path(job: Job) -> str:
    """Return where a run's scores are."""
    return f"results/scores/{job.dataset}/{job.run}/seed{job.seed}/scores.json"


@functools.cache
def folder_hash(path: str) -> str:
    """Return a hash over names and contents of a folder's annotation files, 16 hex digits.

    Images are left out: they are many, and a changed one under the same name is not seen. Raises ConfigError
    where the folder is missing.
    """
    place = Path(path)
    if not place.is_dir():
        raise ConfigError(f"datasets: no folder at '{path}'; the path is relative to the working directory")
    digest = hashlib.sha256()
    for file in sorted(place.rglob("*")):
        if file.is_file() and file.suffix.lower() in ANNOTATION_SUFFIXES:
            digest.update(f"{file.relative_to(place).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def compact(value: Mapping[str, Any]) -> str:
    """Return JSON without spaces, keys sorted: what stands in a rule's parameters."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
