"""A run: a named set of choices from the teacher to the score."""

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gmner.config.base import Name, Settings, suggest
from gmner.config.refine import RefineSettings

Fraction = Annotated[float, Field(ge=0, le=1)]
Attention = Literal["auto", "sdpa", "flash_attention_2", "eager"]
Quantization = Literal["none", "nf4"]


def _switch(value: Any) -> Any:
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]
"""YAML reads a bare on or off as true or false."""


class GrbpSettings(Settings):
    """Gaussian risk-aware box perturbation (paper, section 3.2.2), with the authors' settings."""

    enabled: bool = True
    beta: float = Field(0.1, ge=0, le=1)  # strength of the centre's shift, in box widths and heights
    gamma: float = Field(0.1, ge=0, le=1)  # strength of the scale's change
    gaussian: Literal["release", "paper"] = "release"  # sigma = strength / sqrt 3, clipped; or sigma = strength
    iou_guard: Fraction = 0.6  # a perturbed box has at least this IoU with the original
    tries: int = Field(5, ge=1)  # then the original box is kept
    scale_bounds: tuple[float, float] = (0.2, 5.0)
    min_side: float = Field(2.0, ge=0)  # pixels of the model's frame
    small_side: float = Field(32.0, ge=0)  # pixels
    # Small boxes: both sides below small_side, or the area below its square, as in the authors' release.
    small: Literal["sides", "area"] = "sides"
    small_factor: Fraction = 0.5  # of both strengths, for small boxes

    @model_validator(mode="after")
    def _check_bounds(self) -> "GrbpSettings":
        low, high = self.scale_bounds
        if not 0 < low <= 1 <= high:
            raise ValueError(f"scale_bounds are {low} and {high}; need 0 < low <= 1 <= high")
        return self


class LoraSettings(Settings):
    """Low-rank adaptation of the language model's projections."""

    r: int = Field(32, ge=1)
    alpha: int = Field(64, ge=1)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    targets: tuple[str, ...] | None = Field(None, min_length=1)  # null: those of the backbone's family


class LaunchSettings(Settings):
    """How many processes train together: each update has the same rows whatever their number."""

    strategy: Literal["none", "ddp", "fsdp"] = "none"  # ddp: the model whole in each; fsdp: its parts spread over them
    processes: int = Field(1, ge=1)  # on each machine, one a GPU
    nodes: int = Field(1, ge=1)  # machines
    port: int | None = Field(None, ge=1024, le=65535)  # where they meet; null: a free one

    @property
    def world(self) -> int:
        """All processes on all machines."""
        return self.processes * self.nodes

    @model_validator(mode="after")
    def _check_world(self) -> "LaunchSettings":
        if self.strategy == "none" and self.world > 1:
            raise ValueError(f"strategy is none with {self.world} processes; choose ddp or fsdp")
        if self.strategy != "none" and self.world == 1:
            raise ValueError(f"strategy is {self.strategy} with one process; set processes or nodes, or strategy: none")
        return self


TRACKERS = (
    "azure_ml",
    "clearml",
    "codecarbon",
    "comet_ml",
    "dagshub",
    "dvclive",
    "flyte",
    "kubeflow",
    "mlflow",
    "neptune",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
)
"""The trackers that transformers' trainer can report to; each needs its own package."""


def _known_tracker(name: str) -> str:
    if name not in ("none", *TRACKERS):
        raise ValueError(f"no tracker '{name}'; {suggest(name, ('none', *TRACKERS))}")
    return name


Tracker = Annotated[str, AfterValidator(_known_tracker)]


OverlongPolicy = Literal["error", "drop", "truncate_reasoning", "truncate_right"]


class RowLimit(Settings):
    """How long a row may be, in tokens, and what becomes of longer ones."""

    max_length: int = Field(2048, ge=16)
    overlong: OverlongPolicy = "error"


class TrainSettings(Settings):
    """Supervised fine-tuning; the defaults are the authors'."""

    epochs: int = Field(10, ge=1)
    batch_size: int = Field(2, ge=1)  # samples a device and step
    accumulation: int = Field(8, ge=1)  # steps an update, shared by the processes of `launch`
    learning_rate: float = Field(5e-4, gt=0)
    weight_decay: float = Field(0.1, ge=0)
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.03
    clip: float = Field(1.0, gt=0)  # of the gradient's norm
    lora: LoraSettings = LoraSettings()
    max_length: int = Field(2048, ge=16)  # tokens of prompt and completion together
    # truncate_right: the row's end is cut off, its answer too, as the authors' release does.
    overlong: OverlongPolicy = "error"
    # What an update averages over: all its tokens, or first the tokens of each batch, as the authors' release does.
    loss: Literal["per_token", "per_micro_batch"] = "per_token"
    # With bf16. false: every layer computes in the dtype of its weights, the float32 adapter beside a bfloat16 backbone
    # too, as in the authors' release.
    autocast: bool = True
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    quantization: Quantization = "none"  # nf4: the frozen backbone in 4 bits (QLoRA), for small cards
    attention: Attention = "auto"  # FlashAttention-2 where it is installed and the GPU fits, else SDPA
    liger: Switch = "auto"  # Liger's kernels for norms and feed-forward layers, where installed, on a GPU
    # Rows that go through a GPU at once; auto: as many as fit. What an update learns from stays the same.
    micro_batch: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    gradient_checkpointing: Literal["auto"] | bool = "auto"  # auto: on a GPU where a row does not fit without
    select: Literal["best", "last"] = "best"  # epoch: by dev GMNER F1, or the last
    # Of dev, for `best`, spread evenly over it: 500 tweets tell epochs apart that differ by some two points; null: all.
    eval_samples: int | None = Field(500, ge=1)
    eval_batch_size: int = Field(32, ge=1)  # tweets of dev decoded at once; halved where a GPU has no room
    length_grouping: bool = True
    log_to: Tracker = "none"
    launch: LaunchSettings = LaunchSettings()

    @model_validator(mode="after")
    def _check_launch(self) -> "TrainSettings":
        if self.accumulation % self.launch.world:
            raise ValueError(
                f"accumulation is {self.accumulation}, no multiple of the {self.launch.world} processes of launch: "
                "they share an update's steps, so that it has the same samples whatever their number"
            )
        if self.loss == "per_micro_batch" and self.launch.world > 1:
            raise ValueError(
                "loss is per_micro_batch with several processes; only per_token is the same for any number"
            )
        if self.loss == "per_micro_batch" and self.micro_batch != "auto":
            raise ValueError("loss is per_micro_batch, which micro_batch would change; set batch_size and accumulation")
        return self


class GenerateSettings(Settings):
    """Greedy decoding."""

    engine: Literal["transformers", "vllm"] = "transformers"
    batch_size: int = Field(16, ge=1)
    shards: int = Field(1, ge=1)  # jobs that share a split's batches; no answer depends on their number
    max_new_tokens: int = Field(512, ge=1)
    constrained: bool = False  # rule out every token that would break the answer's grammar (docs/beyond.md)
    merge: bool = False  # the adapter into the backbone before decoding
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    quantization: Quantization = "none"
    attention: Attention = "auto"  # of the transformers engine
    gpu_memory: Annotated[float, Field(gt=0, le=1)] = 0.9  # share of the GPU's memory that vllm takes

    @model_validator(mode="after")
    def _check_merge(self) -> "GenerateSettings":
        if self.merge and self.quantization != "none":
            raise ValueError("merge is true and quantization is nf4: weights of 4 bits would round the adapter away")
        return self


class ScoreSettings(Settings):
    """Which convention counts (docs/metrics.md)."""

    profile: str = "paper"  # a name in the registry of conventions
    iou: Annotated[float, Field(gt=0, le=1)] = 0.5

    @field_validator("profile")
    @classmethod
    def _check_profile(cls, value: str) -> str:
        # By name: settings lie below the registries that they choose from.
        known = import_module("gmner.evaluation.conventions").CONVENTIONS
        if value not in known:
            raise ValueError(f"'{value}' is no convention of scoring; {suggest(value, known)}")
        return value


class ApiSettings(Settings):
    """A provider's model that answers by itself: how many examples of the training split it is shown."""

    shots: int = Field(0, ge=0, le=64)
    shots_seed: int = Field(0, ge=0)


class ExternalSettings(Settings):
    """Another system's predictions for the test split: a file in any form that `gmner score` reads."""

    file: str
    format: str | None = None  # as `gmner score` names it, to be sure of it; null: told by what the file holds


@dataclass(frozen=True)
class KindOfRun:
    """What the configuration has to know about a kind of run; `gmner.workflow.run_kinds` says how it is done."""

    backbone: bool = True  # it uses one of the configured backbones
    teacher: Literal["none", "reasoning", "model"] = "none"  # for its reasoning, or to answer itself
    trains: bool = False  # it is done for each seed; else for the first alone
    starts: bool = False  # it takes the adapter of another run, named by `from`


KINDS = {
    "tuned": KindOfRun(teacher="reasoning", trains=True),
    "refined": KindOfRun(trains=True, starts=True),
    "decoded": KindOfRun(trains=True, starts=True),
    "untuned": KindOfRun(),
    "api": KindOfRun(backbone=False, teacher="model"),
    "external": KindOfRun(backbone=False),
}


class RunSettings(Settings):
    """One run; it is done for each of its datasets and each seed."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    title: str | None = None  # in tables; null: the run's name
    # refined: a trained run made better by its own answers; decoded: a trained run that answers in another way
    # (`generate`); untuned: the backbone as it is; api: the teacher's model answers by itself; external: another
    # system's file
    kind: Literal["tuned", "refined", "decoded", "untuned", "api", "external"] = "tuned"
    start: Name | None = Field(None, alias="from")  # of refined and decoded runs: the run whose adapter they take
    datasets: tuple[str, ...] | None = Field(None, min_length=1)  # null: all that are configured
    backbone: Name = "qwen2.5-vl-7b"
    teacher: Name = "qwen2.5-vl-72b"
    cot: bool = True
    prompt: Literal["standard", "short", "release"] = "standard"
    grbp: GrbpSettings = GrbpSettings()
    train: TrainSettings = TrainSettings()
    refine: RefineSettings = RefineSettings()
    generate: GenerateSettings = GenerateSettings()
    api: ApiSettings = ApiSettings()
    external: ExternalSettings | None = None  # for kind external
    score: ScoreSettings = ScoreSettings()
    # Of the processor, for training and answers, however many cores there are: their number decides the last bits of
    # sums. null: 1 with the tiny backbone, 8 with others.
    threads: int | None = Field(None, ge=1, le=1024)
    # What is different for some datasets: {twitter-fmnerg: {train: {epochs: 12}}}; the rest is as above.
    per_dataset: dict[Name, "RunSettings"] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_external(self) -> "RunSettings":
        if self.kind == "external" and self.external is None:
            raise ValueError("kind is external without external.file; name the file of the system's predictions")
        return self
