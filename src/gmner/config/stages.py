"""What each stage is given: exactly the settings that it needs, passed to its command as JSON.

A command reads them with the same model: `TrainStage.model_validate_json(args.settings)`. Keys that are listed as
operational decide how fast or where something is done, never what comes out; they do not cause a rerun.
"""

from typing import Any, Literal

from gmner.config.base import Settings
from gmner.config.data import DatasetSettings
from gmner.config.model import BackboneSettings, FrameSettings
from gmner.config.report import ReportSettings
from gmner.config.run import GenerateSettings, GrbpSettings, ScoreSettings, TrainSettings
from gmner.config.sources import Source, SourceName
from gmner.config.teachers import LEAST_ACCEPTED, RationalesSettings, Share, WhenRefused


class DownloadStage(Settings):
    """`gmner download`: one source."""

    name: SourceName
    source: Source


class SamplesStage(Settings):
    """`gmner samples`: one data set; `content` is the hash of a folder's annotation files."""

    name: str
    dataset: DatasetSettings
    content: str | None = None


class BackboneStage(Settings):
    """`gmner backbone`: one backbone."""

    name: str
    backbone: BackboneSettings


class PretrainStage(Settings):
    """`gmner pretrain-tiny`: the tiny backbone from scratch."""

    seed: int = 0


RationalesStage = RationalesSettings


class TargetsStage(Settings):
    """`gmner targets`: rendered completions with perturbed boxes, for each epoch."""

    cot: bool
    epochs: int
    grbp: GrbpSettings
    frame: FrameSettings
    fine: bool  # label entities with their fine types
    when_refused: WhenRefused  # samples whose rationale was refused
    least_accepted: Share = LEAST_ACCEPTED  # of the rationales


class Question(Settings):
    """How the model is asked: the prompt's version, whether to reason, the types it may answer with."""

    prompt: Literal["standard", "short"]
    cot: bool
    types: tuple[str, ...]
    fine: bool


class TrainStage(Settings):
    """`gmner train`: one adapter. `generate` and `score` serve the choice of the best epoch."""

    run: str
    dataset: str
    backbone: BackboneSettings
    question: Question
    train: TrainSettings
    generate: GenerateSettings | None = None  # null where the last epoch is taken
    score: ScoreSettings | None = None  # likewise


class GenerateStage(Settings):
    """`gmner generate`: answers for a split. A tuned run's question and frame come with its adapter."""

    backbone: BackboneSettings
    generate: GenerateSettings
    question: Question | None = None  # of an untuned run


class PredictionsStage(Settings):
    """`gmner predictions`: parsed answers, boxes back in the original image."""

    frame: FrameSettings
    types: tuple[str, ...]


class ScoresStage(Settings):
    """`gmner scores`: one run's metrics."""

    score: ScoreSettings
    fine: bool


class TableRow(Settings):
    """What a table says about one measured run, data set and seed."""

    run: str
    title: str
    kind: str
    dataset: str
    fine: bool
    backbone: str
    teacher: str | None  # null where no rationale was used
    cot: bool
    strength: float | None  # of box perturbation (beta); null for an untuned run
    scale_strength: float | None = None  # its gamma; null where it is not told apart
    seed: int
    scores: str  # path


class TableStage(Settings):
    """`gmner table`: its rows, in its order; `--scores` names the same files."""

    name: Literal["table1", "table2", "table3", "figure3"]
    rows: tuple[TableRow, ...]


class ReportRun(TableRow):
    """One measured run, data set and seed in the report, and the convention it was counted by."""

    score: ScoreSettings


class ReportDataset(Settings):
    """A data set in the report, and the teachers whose rationales were made for it."""

    name: str
    fine: bool
    teachers: tuple[str, ...]


class ReportStage(Settings):
    """`gmner report`: what the page shows, in its order; nothing else that lies in results/ is looked at."""

    datasets: tuple[ReportDataset, ...]
    runs: tuple[ReportRun, ...]
    tables: tuple[Literal["table1", "table2", "table3", "figure3"], ...]
    backbones: tuple[str, ...]
    report: ReportSettings


OPERATIONAL: dict[str, Any] = {
    "download": {"source": {"mirror", "retries", "timeout_seconds", "max_files", "max_bytes"}},
    "backbone": {"backbone": {"mirror"}},
    "targets": {"least_accepted"},
    "train": {
        "run": True,
        "dataset": True,
        "backbone": {"mirror"},
        "train": {"log_to", "gradient_checkpointing", "micro_batch", "attention", "liger", "launch"},
        # The trainer decodes the dev split itself, with the model as it trains: only max_new_tokens counts.
        "generate": {"batch_size", "shards", "engine", "merge", "precision", "quantization", "attention", "gpu_memory"},
    },
    "generate": {"backbone": {"mirror"}, "generate": {"batch_size", "shards", "attention", "gpu_memory"}},
}
"""Keys of a stage's settings that decide how it is done and not what comes out; a teacher's: `content_settings`."""
