"""What a teacher is: one settings model a provider, told apart by the key `provider`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from gmner.config.base import Settings


class AcceptanceLimits(Settings):
    """How long an accepted rationale may be."""

    max_words: int = Field(250, ge=1)
    max_characters: int = Field(2000, ge=1)


class Price(Settings):
    """US dollars per million tokens, as the provider's price list has them."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached_input: float | None = Field(None, ge=0)  # read from the provider's cache; null: as input
    cache_write: float | None = Field(None, ge=0)  # written to it; null: as input
    batch_factor: float = Field(0.5, gt=0, le=1)  # what a batched request costs of a plain one


class Budget(Settings):
    """What all requests to one model through one store may cost together; null is without a limit."""

    usd: float | None = Field(None, ge=0)
    tokens: int | None = Field(None, ge=0)
    requests: int | None = Field(None, ge=0)


class SentImage(Settings):
    """The image as it is sent: its longest side in pixels, its format, JPEG's quality."""

    max_side: int = Field(1024, ge=28)
    format: Literal["jpeg", "png"] = "jpeg"
    quality: int = Field(90, ge=1, le=95)
    tokens: int | None = Field(None, ge=0)  # at most, for estimate and budget; null: by its size


class Limits(Settings):
    """How many requests are in flight, and what happens when one fails for a passing reason."""

    start_in_flight: int = Field(8, ge=1)
    max_in_flight: int = Field(64, ge=1)
    timeout_s: float = Field(120.0, gt=0)
    attempts: int = Field(8, ge=1)  # per request, for failures that may pass
    first_wait_s: float = Field(1.0, gt=0)  # doubled with each attempt, with jitter
    longest_wait_s: float = Field(60.0, gt=0)
    longest_asked_wait_s: float = Field(900.0, gt=0)  # where the server asks for more, the stage stops and says so

    @model_validator(mode="after")
    def _check(self) -> "Limits":
        if self.start_in_flight > self.max_in_flight:
            raise ValueError(f"start_in_flight is {self.start_in_flight}, more than max_in_flight {self.max_in_flight}")
        return self


LEAST_ACCEPTED = 0.5
Share = Annotated[float, Field(ge=0, le=1)]
# What training does with a sample whose rationale was refused: an empty `<think></think>` before the answer, the answer
# alone, the template's text, or no row at all.
WhenRefused = Literal["empty_think", "no_reasoning", "template", "drop"]


class _Teacher(Settings):
    max_tries: int = Field(1, ge=1)  # answers asked for one sample, the refusal's reason given back
    acceptance: AcceptanceLimits = AcceptanceLimits()
    when_refused: WhenRefused = "empty_think"
    least_accepted: Share = LEAST_ACCEPTED  # of all rationales (or outputs); with fewer nothing is trained (or scored)


class TemplateTeacher(_Teacher):
    """Writes a rationale from the gold annotation by rule, offline."""

    provider: Literal["template"] = "template"
    style: Literal["evidence", "terse", "decide_first"] = "evidence"

    @property
    def model(self) -> str:
        """What stands for the model in the table of rationales."""
        return self.style


class _Prompted(_Teacher):
    model: str = Field(min_length=1)
    prompt: Literal["gold", "blind"] = "gold"  # explain the annotation, or answer first and be checked
    prompt_version: str = Field("v1", pattern=r"^v\d+$")
    types: tuple[str, ...] | None = None  # a blind teacher may answer with; null: those of the samples
    max_tries: int = Field(3, ge=1)
    max_tokens: int = Field(512, ge=1)  # of one answer
    temperature: float | None = Field(0.0, ge=0, le=2)  # null: not sent
    image: SentImage | None = SentImage()  # null: the text alone is sent
    budget: Budget = Budget()
    shards: int = Field(1, ge=1)  # jobs that share the samples; limits hold for each, the budget for all


class _Remote(_Prompted):
    base_url: str | None = None  # null: the SDK's own
    endpoint: str | None = None  # its name in the answers' keys, so that it may move; null: base_url
    mode: Literal["sync", "batch"] = "sync"
    limits: Limits = Limits()
    price: Price | None = None  # null: unknown; then a budget in dollars is an error
    batch_poll_s: float = Field(30.0, gt=0)
    batch_requests: int = Field(2000, ge=1, le=50000)  # in one batch

    @model_validator(mode="after")
    def _check_budget(self) -> "_Remote":
        if self.budget.usd is not None and self.price is None:
            raise ValueError("budget.usd needs a price (input and output, dollars per million tokens)")
        return self


class OpenAITeacher(_Remote):
    """OpenAI's chat completions, or any endpoint that speaks them (`base_url`)."""

    provider: Literal["openai"] = "openai"
    key_variable: str = Field("OPENAI_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]*$")  # where the key is read from
    detail: Literal["auto", "low", "high"] | None = None  # of the image; null: not sent
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"


class AnthropicTeacher(_Remote):
    """Anthropic's messages."""

    provider: Literal["anthropic"] = "anthropic"
    key_variable: str = Field("ANTHROPIC_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]*$")
    temperature: float | None = Field(None, ge=0, le=1)  # null: not sent; newer models take none
    cache_prompt: bool = True  # mark the instruction for the provider's prompt cache


class LocalTeacher(_Prompted):
    """A transformers model in this process; `model` is a folder that `from_pretrained` loads."""

    provider: Literal["local"] = "local"
    temperature: float | None = None  # greedy
    batch_size: int = Field(8, ge=1)


PromptedTeacher = OpenAITeacher | AnthropicTeacher | LocalTeacher
TeacherSettings = Annotated[
    TemplateTeacher | OpenAITeacher | AnthropicTeacher | LocalTeacher, Field(discriminator="provider")
]


class RationalesSettings(Settings):
    """What the stage `rationales` needs: the teacher's name in the configuration and its settings."""

    name: str = Field(min_length=1)
    teacher: TeacherSettings


# Settings that decide how fast, how safely and how dearly answers come, but never what they are.
_OPERATIONAL = frozenset(
    {"mode", "limits", "budget", "price", "batch_poll_s", "batch_requests", "key_variable", "batch_size", "shards"}
    | {"max_tokens_name", "least_accepted"}
)


def content_settings(teacher: BaseModel) -> dict[str, Any]:
    """Return the settings that decide what a teacher's rationales are: all but the operational ones."""
    exclude: dict[str, Any] = {**dict.fromkeys(_OPERATIONAL, True), "image": {"tokens"}}
    if getattr(teacher, "endpoint", None) is not None:  # it stands for the address
        exclude["base_url"] = True
    return teacher.model_dump(mode="json", exclude=exclude)
