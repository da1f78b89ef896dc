"""What a teacher is: one settings model per provider, told apart by the key `provider`.

A new provider has its class here, and its name in `PromptedTeacher`; see docs/extending.md.
"""

import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, JsonValue, model_validator

from gmner.config.base import Settings

Check = Literal["none", "format", "verdicts"]


class Acceptance(Settings):
    """Which rationales training may learn from.

    `none` takes every text as it is; `format` refuses one that is too long or has tags or coordinates; `verdicts`
    also wants each annotated mention named and called visible or absent as the annotation has it.
    """

    check: Check = "verdicts"
    max_words: int = Field(250, ge=1)
    max_characters: int = Field(2000, ge=1)


def _acceptance(value: Any) -> Any:
    return {"check": value} if isinstance(value, str) else value


# In a configuration `acceptance: format` is short for `acceptance: {check: format}`.
AcceptanceSettings = Annotated[Acceptance, BeforeValidator(_acceptance, json_schema_input_type=Check | Acceptance)]


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
    longest_asked_wait_s: float = Field(900.0, gt=0)  # if the server asks for more, the stage stops and says so

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
    acceptance: AcceptanceSettings = Acceptance()
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


class PublishedTeacher(_Teacher):
    """Reasoning that others have published: JSONL of `image_path` and `think`, fetched at run time, never shipped.

    The default is the training reasoning of the paper's authors, at the commit that their release has. `mirror` is
    used in place of `url`: another URL, or a local file.
    """

    provider: Literal["published"] = "published"
    name: str = Field("E2E-GMNER", min_length=1)  # of the collection, in the store and in the table
    url: str = "https://github.com/Finch-coder/E2E-GMNER/raw/d90c1eb/data/cot/teacher_cot_train.jsonl"
    mirror: str | None = None
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")  # of the file; null: not compared
    image_key: str = "image_path"
    text_key: str = "think"
    acceptance: AcceptanceSettings = Acceptance(check="none")

    @property
    def model(self) -> str:
        """What stands for the model in the table of rationales."""
        return self.name


class _Prompted(_Teacher):
    model: str = Field(min_length=1)
    retires: datetime.date | None = None  # when the provider shuts the model down: warned of a month before
    # Explain the annotation; answer first and be checked; or explain it in two sentences, on knowledge and image.
    prompt: Literal["gold", "blind", "knowledge-visual"] = "gold"
    prompt_version: str = Field("v1", pattern=r"^v\d+$")
    types: tuple[str, ...] | None = None  # a blind teacher may answer with; null: those of the samples
    max_tries: int = Field(3, ge=1)
    max_tokens: int = Field(512, ge=1)  # of the answer, without what is thought before it
    thinking_tokens: int = Field(0, ge=0, le=1_000_000)  # that the model may think before it, and are paid like others
    temperature: float | None = Field(0.0, ge=0, le=2)  # null: not sent
    image: SentImage | None = SentImage()  # null: the text alone is sent
    budget: Budget = Budget()

    @model_validator(mode="before")
    @classmethod
    def _acceptance_of_prompt(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("prompt") == "knowledge-visual":  # it is not asked for verdicts
            return {"acceptance": "format", **data}
        return data

    @property
    def written_at_most(self) -> int:
        """How many tokens the model may write for one question, its thinking included."""
        return self.max_tokens + self.thinking_tokens

    @property
    def price_or_none(self) -> Price | None:
        """The provider's price, or None if none is known or there is none."""
        return getattr(self, "price", None)

    @property
    def in_batches(self) -> bool:
        """Whether the provider's batch interface is used."""
        return getattr(self, "mode", "sync") == "batch"

    @property
    def key_needed(self) -> bool:
        """Whether the provider cannot be asked without a key."""
        return True

    @property
    def answer_parameters(self) -> dict[str, JsonValue]:
        """What decides an answer beside the model and the conversation; it is in the answer's key."""
        named: dict[str, JsonValue] = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        return named | ({"thinking_tokens": self.thinking_tokens} if self.thinking_tokens else {})


class _Remote(_Prompted):
    base_url: str | None = None  # null: the SDK's own
    endpoint: str | None = None  # its name in the answers' keys, so that it may move; null: base_url
    mode: Literal["sync", "batch"] = "sync"
    limits: Limits = Limits()
    price: Price | None = None  # null: unknown; then a budget in dollars is an error
    batch_poll_s: float = Field(30.0, gt=0)
    batch_requests: int = Field(2000, ge=1, le=50000)  # in one batch
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)  # put into every request as it is

    @model_validator(mode="after")
    def _check_budget(self) -> "_Remote":
        if self.budget.usd is not None and self.price is None:
            raise ValueError("budget.usd needs a price (input and output, dollars per million tokens)")
        if limited := sorted({"max_tokens", "max_completion_tokens", "n", "stream"} & self.extra_body.keys()):
            raise ValueError(f"extra_body.{limited[0]} would pass the budget or change the answer's form; leave it out")
        return self

    @property
    def answer_parameters(self) -> dict[str, JsonValue]:
        """What decides an answer beside the model and the conversation; it is in the answer's key."""
        named = {**super().answer_parameters, "endpoint": self.endpoint or self.base_url}
        return named | ({"extra_body": self.extra_body} if self.extra_body else {})


class OpenAITeacher(_Remote):
    """OpenAI's chat completions, or any endpoint that speaks them (`base_url`)."""

    provider: Literal["openai"] = "openai"
    key_variable: str = Field("OPENAI_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]*$")  # where the key is read from
    detail: Literal["auto", "low", "high"] | None = None  # of the image; null: not sent
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    reasoning_effort: str | None = Field(None, pattern=r"^[a-z]+$")  # low, medium, high …; null: not sent

    @property
    def key_needed(self) -> bool:
        """Whether the provider cannot be asked without a key: an endpoint of one's own can."""
        return self.base_url is None

    @property
    def answer_parameters(self) -> dict[str, JsonValue]:
        """What decides an answer beside the model and the conversation; it is in the answer's key."""
        named = {**super().answer_parameters, "detail": self.detail}
        return named | ({"reasoning_effort": self.reasoning_effort} if self.reasoning_effort else {})


class AnthropicTeacher(_Remote):
    """Anthropic's messages. With `thinking_tokens` the model may think: at least 1024, and without a temperature."""

    provider: Literal["anthropic"] = "anthropic"
    key_variable: str = Field("ANTHROPIC_API_KEY", pattern=r"^[A-Z_][A-Z0-9_]*$")
    temperature: float | None = Field(None, ge=0, le=1)  # null: not sent; newer models take none
    cache_prompt: bool = True  # mark the instruction for the provider's prompt cache

    @model_validator(mode="after")
    def _check_thinking(self) -> "AnthropicTeacher":
        if 0 < self.thinking_tokens < 1024:
            raise ValueError(f"thinking_tokens is {self.thinking_tokens}, but Anthropic takes 0 or at least 1024")
        if self.thinking_tokens and self.temperature is not None:
            raise ValueError("temperature and thinking_tokens exclude each other; leave temperature out")
        return self


class LocalTeacher(_Prompted):
    """A transformers model in this process; `model` is a folder that `from_pretrained` loads."""

    provider: Literal["local"] = "local"
    temperature: float | None = None  # greedy
    batch_size: int = Field(8, ge=1)

    @property
    def limits(self) -> Limits:
        """One batch is worked on and the next one waits."""
        in_flight = 2 * self.batch_size
        return Limits(start_in_flight=in_flight, max_in_flight=in_flight, timeout_s=3600.0, attempts=1)


PromptedTeacher = OpenAITeacher | AnthropicTeacher | LocalTeacher
TeacherSettings = Annotated[TemplateTeacher | PublishedTeacher | PromptedTeacher, Field(discriminator="provider")]


class RationalesSettings(Settings):
    """What the stage `rationales` needs: the teacher's name in the configuration and its settings."""

    name: str = Field(min_length=1)
    teacher: TeacherSettings


# Settings that decide how fast, how safely and how dearly answers come, but never what they are.
_OPERATIONAL = frozenset(
    {"mode", "limits", "budget", "price", "batch_poll_s", "batch_requests", "key_variable", "batch_size"}
    | {"max_tokens_name", "least_accepted", "retires", "mirror"}
)


def content_settings(teacher: BaseModel) -> dict[str, Any]:
    """Return the settings that decide what a teacher's rationales are: all but the operational ones."""
    exclude: dict[str, Any] = {**dict.fromkeys(_OPERATIONAL, True), "image": {"tokens"}}
    if getattr(teacher, "endpoint", None) is not None:  # it stands for the address
        exclude["base_url"] = True
    return teacher.model_dump(mode="json", exclude=exclude)
