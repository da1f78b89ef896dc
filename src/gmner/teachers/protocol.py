"""What a teacher is asked and what it answers: the one small protocol every provider implements."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gmner.records import Sample


@dataclass(frozen=True, slots=True)
class Image:
    """A picture as a provider sends it: encoded bytes and their media type."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; pictures stand before the text."""

    role: Literal["system", "user", "assistant"]
    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One question. `key` names it in the store; `sample` serves teachers that need no conversation."""

    key: str
    sample: Sample
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; `tokens_cached` are those of `tokens_in` read from its cache."""

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0


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


class Provider(Protocol):
    """Answers questions. A new provider is one module with a class of this form.

    A failure that may pass raises `PassingError`, one that cannot a `GmnerError`.
    """

    async def answer(self, request: Request) -> Answer:
        """Answer one question."""
        ...

    async def close(self) -> None:
        """Release what the provider holds (connections, a model)."""
        ...


class PassingError(Exception):
    """A failure that may pass: too many requests, a fault of the server, a broken connection.

    `wait_s` is what the server asked to wait, or None. `maybe_paid` says that the server may have done the
    work although no answer arrived. `slow_down` says that the server asked for fewer requests.
    """

    def __init__(self, text: str, *, wait_s: float | None = None, maybe_paid: bool, slow_down: bool = False):
        super().__init__(text)
        self.wait_s = wait_s
        self.maybe_paid = maybe_paid
        self.slow_down = slow_down
