"""What each stage is given: exactly the settings that it needs, passed to its command as JSON.

A command reads them with the same model. The keys listed as `operational` decide how fast or where something is done,
never what comes out; a change of them causes no rerun.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gmner.config.base import Settings
from gmner.config.data import DatasetSettings
from gmner.config.model import BackboneSettings, FrameSettings
from gmner.config.refine import RefineSettings
from gmner.config.run import GenerateSettings, GrbpSettings, RowLimit, ScoreSettings, TrainSettings
from gmner.config.sources import Source, SourceName
from gmner.config.tables import ReportSettings
from gmner.config.teachers import (
    LEAST_ACCEPTED,
    PromptedTeacher,
    RationalesSettings,
    Share,
    WhenRefused,
    content_settings,
)

PromptedSettings = Annotated[PromptedTeacher, Field(discriminator="provider")]


class DownloadStage(Settings):
    """`gmner stage download`: one source."""

    operational: ClassVar[Any] = {"source": {"mirror", "retries", "timeout_seconds", "max_files", "max_bytes"}}

    name: SourceName
    source: Source


class SamplesStage(Settings):
    """`gmner stage samples`: one dataset; `content` is the hash of a folder's annotation files."""

    name: str
    dataset: DatasetSettings
    content: str | None = None


class BackboneStage(Settings):
    """`gmner stage backbone`: one backbone; `content` changes with the files of a local folder."""

    operational: ClassVar[Any] = {"backbone": {"mirror"}}

    name: str
    backbone: BackboneSettings
    content: str | None = None


class PretrainStage(Settings):
    """`gmner stage pretrain_tiny`: the tiny backbone from scratch."""

    seed: int = 0


class RationalesStage(RationalesSettings):
    """`gmner stage rationales`: one teacher."""

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide what comes out."""
        return {**super().decisive(), "teacher": content_settings(self.teacher)}


class TargetsStage(Settings):
    """`gmner stage targets`: rendered completions with perturbed boxes, for each epoch."""

    operational: ClassVar[Any] = {"least_accepted": True}
    seen_in_result: ClassVar[Any] = {"limit": True}  # with no row over it, the table has the same bytes

    cot: bool
    epochs: int
    grbp: GrbpSettings
    frame: FrameSettings
    fine: bool  # label entities with their fine types
    when_refused: WhenRefused  # samples whose rationale was refused
    least_accepted: Share = LEAST_ACCEPTED  # of the rationales
    question: "Question | None" = None  # how the prompts before the completions are put; null: rows are not measured
    limit: RowLimit | None = None  # of prompt and completion together

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide what comes out: of a perturbation that is off, only that it is off."""
        found = super().decisive()
        return found if self.grbp.enabled else {**found, "grbp": {"enabled": False}}


class Question(Settings):
    """How the model is asked: the prompt's version, whether to reason, the types it may answer with."""

    prompt: Literal["standard", "short", "release"]
    cot: bool
    types: tuple[str, ...]
    fine: bool


class TrainStage(Settings):
    """`gmner stage train`: one adapter. `generate` and `score` serve the choice of the best epoch."""

    operational: ClassVar[Any] = {
        "run": True,
        "dataset": True,
        "backbone": {"mirror"},
        "train": {
            *("log_to", "gradient_checkpointing", "micro_batch", "attention", "liger", "launch", "eval_batch_size"),
            *("max_length", "overlong"),  # longer rows are handled where the targets are made
        },
        # The trainer decodes the dev split itself, with the model as it trains: only max_new_tokens counts.
        "generate": {"batch_size", "shards", "engine", "merge", "precision", "quantization", "attention", "gpu_memory"},
    }

    run: str
    dataset: str
    backbone: BackboneSettings
    question: Question
    train: TrainSettings
    generate: GenerateSettings | None = None  # null where the last epoch is taken
    score: ScoreSettings | None = None  # likewise

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide what comes out: the dev split counts only if the best epoch is chosen."""
        found = super().decisive()
        if self.train.select == "last":
            found["train"].pop("eval_samples", None)
        return found


class RefineStage(Settings):
    """`gmner stage refine`: a trained adapter, refined. `train` is how the run it starts from was trained."""

    operational: ClassVar[Any] = {
        "run": True,
        "dataset": True,
        "train": {"log_to", "gradient_checkpointing", "micro_batch", "attention", "liger", "launch", "eval_batch_size"},
    }

    run: str
    dataset: str
    fine: bool
    train: TrainSettings
    refine: RefineSettings


class GenerateStage(Settings):
    """`gmner stage generate`: answers for a split. A tuned run's question and frame come with its adapter."""

    operational: ClassVar[Any] = {
        "backbone": {"mirror"},
        "generate": {"batch_size", "shards", "attention", "gpu_memory"},
    }

    kind: Literal["tuned", "untuned"] = "tuned"
    backbone: BackboneSettings
    generate: GenerateSettings
    question: Question | None = None  # of an untuned run


class GenerateApiStage(Settings):
    """`gmner stage generate` of an api run: whom to ask (a teacher's settings), what, and with how many examples.

    Coordinates are thousandths of the image's sides by default, since a provider resizes images as it likes.
    """

    kind: Literal["api"] = "api"
    name: str = Field(min_length=1)
    teacher: PromptedSettings
    question: Question
    coordinates: Literal["norm1000", "absolute"] = "norm1000"
    shots: int = Field(0, ge=0, le=64)  # examples from the training split
    shots_seed: int = Field(0, ge=0)

    def decisive(self) -> dict[str, Any]:
        """Return the settings that decide what comes out."""
        return {**super().decisive(), "teacher": content_settings(self.teacher)}


class PredictionsStage(Settings):
    """`gmner stage predictions`: parsed answers, boxes back in the original image."""

    frame: FrameSettings
    types: tuple[str, ...]


class ExternalStage(Settings):
    """`gmner stage predictions` of an external run: a file of another system's predictions.

    `content` is a hash of the file, so that another file of the same name counts anew.
    """

    kind: Literal["external"] = "external"
    file: str
    format: str | None
    content: str
    types: tuple[str, ...]


class ScoresStage(Settings):
    """`gmner stage scores`: one run's metrics."""

    score: ScoreSettings
    fine: bool


class TableRow(Settings):
    """What a table says about one measured run, dataset and seed."""

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
    """`gmner stage tables`: its rows, in its order; `--scores` names the same files."""

    name: str  # a name of gmner.reporting.tables.TABLES
    rows: tuple[TableRow, ...]
    printed: str | None = None  # digest of the numbers printed elsewhere; null if there are none


class ReportRun(TableRow):
    """One measured run, dataset and seed in the report, and the convention it was counted by."""

    score: ScoreSettings


class ReportDataset(Settings):
    """A dataset in the report, and the teachers whose rationales were made for it."""

    name: str
    fine: bool
    teachers: tuple[str, ...]


class ReportStage(Settings):
    """`gmner stage report`: what the page shows, in its order; nothing else that lies in results/ is looked at."""

    datasets: tuple[ReportDataset, ...]
    runs: tuple[ReportRun, ...]
    tables: tuple[str, ...]
    backbones: tuple[str, ...]
    report: ReportSettings
