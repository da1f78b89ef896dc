"""What a teacher is asked and what it answers: the one small protocol every provider implements."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gmner.core.records import Sample
from gmner.llm_client.sent_images import ImageToSend


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; images stand before the text.

    `cached` says that the conversation up to here is the same for all samples: worth a place in a prompt cache.
    """

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[ImageToSend, ...] = ()
    cached: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One question. `key` names it in the store; `sample` serves teachers that need no conversation."""

    key: str
    sample: Sample
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; all zero if it did not, or not in a form that can be read.

    `tokens_cached` are those of `tokens_in` that were read from its cache, `tokens_cache_written` those that
    were written to it.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_cache_written: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.tokens_cached + other.tokens_cached,
            self.tokens_cache_written + other.tokens_cache_written,
        )

    @property
    def tokens(self) -> int:
        """All tokens, in and out."""
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered, before anybody judges it.

    `finish_reason` is `stop`, `length` (cut at the token limit) or `refused` (the provider would not answer).
    `raw` is the provider's own answer as JSON values; `cost_usd` is None where no price is known.
    """

    text: str
    finish_reason: Literal["stop", "length", "refused"] = "stop"
    usage: Usage = Usage()
    cost_usd: float | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # JSON can write half of a surrogate pair, which is no character and in no file of text.
        whole = self.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        object.__setattr__(self, "text", whole)


class Provider(Protocol):
    """Answers questions. A new provider is one module with a class of this form.

    A failure that may pass raises `PassingError`, one of this question alone `RejectedError`, one that cannot pass for
    any question a `GmnerError`.
    """

    async def answer(self, request: Request) -> Answer:
        """Answer one question."""
        ...

    async def close(self) -> None:
        """Release what the provider holds (connections, a model)."""
        ...


async def body_of(build: Callable[[Sequence[Message]], dict[str, Any]], messages: Sequence[Message]) -> dict[str, Any]:
    """Return `build(messages)`; in a thread where there are images to encode, so that answers are read meanwhile."""
    if any(message.images for message in messages):
        return await asyncio.to_thread(build, messages)
    return build(messages)  # a few microseconds; a thread's turn is a hundred times that


class PassingError(Exception):
    """A failure that may pass: too many requests, a fault of the server, a broken connection.

    `wait_s` is what the server asked to wait, or None. `maybe_paid` says that the server may have done the work
    although no answer arrived. `slow_down` says that the server asked for fewer requests. `kind` names the failure
    in a count of many.
    """

    def __init__(
        self,
        text: str,
        *,
        wait_s: float | None = None,
        maybe_paid: bool,
        slow_down: bool = False,
        kind: str = "unreadable answer",
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.wait_s = wait_s
        self.maybe_paid = maybe_paid
        self.slow_down = slow_down


class RejectedError(Exception):
    """The provider will not process this one question, for another reason than its content policy.

    It did no work and will do none if it is asked the same again.
    """


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """Why a batch has no answer to one of its questions; `text` is the provider's own.

    `rejected` says that the same question will never be answered, `stops` that none will be until a setting changes.
    """

    text: str
    rejected: bool = False
    stops: bool = False


@dataclass(frozen=True, slots=True)
class BatchState:
    """How far a batch is.

    `failed` is the provider's reason if it will never have results; `untouched` says that none of its questions was
    worked on.
    """

    ended: bool
    failed: str | None = None
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class BatchResults:
    """What an ended batch came to, a line each: its question's id (None if it has none) and its answer or failure.

    `whole` is False if there should be more: the file was cut, or lines of it cannot be read.
    """

    lines: Sequence[tuple[str | None, "Answer | BatchFailure"]]
    whole: bool = True


class BatchProvider(Provider, Protocol):
    """A provider that also has a batch interface: many questions now, all answers within a day."""

    most_batch_bytes: int

    async def batch_line(self, request: Request) -> Mapping[str, Any]:
        """Return a question as it stands in a batch."""
        ...

    async def submit_batch(self, tag: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """Submit a batch marked with `tag`; return its id."""
        ...

    async def find_batch(self, tag: str, planned_at: float, count: int) -> str | None:
        """Return the id of the batch that was submitted with `tag`, or None if there is none."""
        ...

    async def batch_state(self, batch_id: str) -> BatchState:
        """Return how far a batch is."""
        ...

    async def batch_results(self, batch_id: str) -> BatchResults:
        """Return what an ended batch came to."""
        ...
