"""Anthropic's messages and message batches, through the official SDK.

https://docs.anthropic.com/en/api/messages and /creating-message-batches. What is the same for all samples is marked
for the prompt cache.
"""

import asyncio
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import anthropic
import httpx2 as httpx

from gmner.config.teachers import AnthropicTeacher
from gmner.llm_client.errors import Secret, batch_failure_of, failure_of_status
from gmner.llm_client.providers.bodies import (
    Body,
    UnusableError,
    json_of,
    lines_of,
    read_body,
    shown,
    usage_of,
)
from gmner.llm_client.providers.sdk_errors import SdkCalls
from gmner.llm_client.types import (
    Answer,
    BatchFailure,
    BatchResults,
    BatchState,
    Message,
    PassingError,
    Request,
    body_of,
)

_TAG_LETTERS, _KEY_LETTERS = 12, 48  # of a question's id in a batch, which may have 64
_CLOCKS_DIFFER_S = 2 * 86_400.0  # this machine's may be days off
_BATCHES = "/v1/messages/batches"
# The types of errors that asking again does not fix, and the status each has outside of batches.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
}


class _Part(Body):
    type: str
    text: str | None = None


class _Message(Body):
    content: list[_Part]
    stop_reason: str | None = None
    usage: Any = None


class _Made(Body):
    id: str


class _Counts(Body):
    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def total(self) -> int:
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


class _Batch(Body):
    id: str
    processing_status: str
    created_at: str = ""
    request_counts: _Counts = _Counts()


class _Page(Body):
    data: list[_Batch]
    has_more: bool = False


class _Named(Body):
    custom_id: str


class _Result(Body):
    type: str
    message: Any = None
    error: Any = None


class _Line(_Named):
    result: _Result


class AnthropicProvider:
    """Asks the messages endpoint."""

    most_batch_bytes = 64_000_000  # a batch may have 256 MB; it is made in memory

    def __init__(self, settings: AnthropicTeacher, secret: Secret) -> None:
        self._settings, self._secret = settings, secret
        self._calls = SdkCalls(anthropic, secret, settings.model)
        self._client = anthropic.AsyncAnthropic(
            api_key=secret.value,
            base_url=settings.base_url,
            max_retries=0,  # every attempt must be reserved in the store
            timeout=settings.limits.timeout_s,
        )

    async def answer(self, request: Request) -> Answer:
        """Ask one question."""
        body = await body_of(self._body, request.messages)
        # The bytes as they came: the SDK's own models cost more than all else, and trust what they read.
        result = await self._calls.question(self._client.post("/v1/messages", cast_to=httpx.Response, body=body))
        if isinstance(result, Answer):
            return result
        try:
            return self._answer_of(json_of(result.content))
        except UnusableError as error:
            raise PassingError(f"the answer is not a message: {error}", maybe_paid=True) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def batch_line(self, request: Request) -> Mapping[str, Any]:
        """Return a question as a request of a batch; the batch's tag is put before its id on submission."""
        body = await body_of(self._body, request.messages)
        return {
            "custom_id": request.key[:_KEY_LETTERS],
            "params": body,
        }

    async def submit_batch(self, tag: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """Create a batch whose questions' ids carry `tag`."""
        marked = [{**line, "custom_id": f"{tag[:_TAG_LETTERS]}-{line['custom_id']}"} for line in lines]
        call = self._client.post(_BATCHES, cast_to=httpx.Response, body={"requests": marked})
        return (await self._calls.read(_Made, call)).id

    async def find_batch(self, tag: str, planned_at: float, count: int) -> str | None:
        """Look for the batch whose questions carry `tag`: a batch has no other mark, so its results are read."""
        after: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 100} | ({"after_id": after} if after else {})
            page = await self._calls.read(
                _Page, self._client.get(_BATCHES, cast_to=httpx.Response, options={"params": query})
            )
            for batch in page.data:
                young = _seconds_of(batch.created_at) > planned_at - _CLOCKS_DIFFER_S
                if young and batch.request_counts.total == count and await self._carries(batch.id, tag):
                    return batch.id
            last = page.data[-1] if page.data else None
            if last is None or not page.has_more or last.id == after:
                return None
            if _seconds_of(last.created_at) < planned_at - _CLOCKS_DIFFER_S:
                return None
            after = last.id

    async def batch_state(self, batch_id: str) -> BatchState:
        """Return how far a batch is."""
        return BatchState((await self._retrieve(batch_id)).processing_status == "ended")

    async def batch_results(self, batch_id: str) -> BatchResults:
        """Return a batch's results."""
        batch = await self._retrieve(batch_id)
        values = await self._results(batch_id)
        lines = [self._line_of(value) for value in values]
        whole = not any(isinstance(value, UnusableError) for value in values)
        return BatchResults(lines, whole and len(lines) >= batch.request_counts.total)

    async def _retrieve(self, batch_id: str) -> _Batch:
        return await self._calls.read(_Batch, self._client.get(f"{_BATCHES}/{batch_id}", cast_to=httpx.Response))

    async def _results(self, batch_id: str) -> list[Any]:
        call = self._client.get(f"{_BATCHES}/{batch_id}/results", cast_to=httpx.Response)
        return list(lines_of((await self._calls.control(call)).content))

    async def _carries(self, batch_id: str, tag: str) -> bool:
        while not (await self.batch_state(batch_id)).ended:
            await asyncio.sleep(self._settings.batch_poll_s)
        for value in await self._results(batch_id):
            try:
                return read_body(_Named, value).custom_id.partition("-")[0] == tag[:_TAG_LETTERS]
            except UnusableError:
                continue  # a bad line; another one carries the tag
        return False

    def _line_of(self, value: Any) -> tuple[str | None, Answer | BatchFailure]:
        name = None
        try:
            if isinstance(value, UnusableError):
                raise value
            name = read_body(_Named, value).custom_id.partition("-")[2]
            result = read_body(_Line, value).result
            if result.type == "succeeded":
                return name, self._answer_of(result.message)
        except UnusableError as error:
            return name, BatchFailure(f"a line of the batch's results is unusable: {error}")
        text = self._secret.scrub(shown(result.error or result.type))
        said = result.error if isinstance(result.error, Mapping) else {}
        inner = said.get("error", said)
        kind = inner.get("type") if isinstance(inner, Mapping) else None
        status = _STATUS_OF_TYPE.get(kind) if isinstance(kind, str) else None
        if status is None:
            return name, BatchFailure(text)
        meaning = failure_of_status(status, text, {}, self._secret, self._settings.model, said)
        return name, batch_failure_of(meaning)

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        settings = self._settings
        caching = settings.cache_prompt
        body: dict[str, Any] = {
            "model": settings.model,
            "max_tokens": settings.written_at_most,
            "messages": [
                {"role": message.role, "content": _parts_of(message, caching)}
                for message in messages
                if message.role != "system"
            ],
        }
        system = [part for message in messages if message.role == "system" for part in _parts_of(message, caching)]
        if system:
            body["system"] = system
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        if settings.thinking_tokens:
            body["thinking"] = {"type": "enabled", "budget_tokens": settings.thinking_tokens}
        return body | settings.extra_body

    def _answer_of(self, raw: Any) -> Answer:
        """Read a message. Raises UnusableError."""
        message = read_body(_Message, raw)
        usage = usage_of(
            message.usage,
            tokens_in="input_tokens",
            tokens_out="output_tokens",
            beside={"cached": "cache_read_input_tokens", "written": "cache_creation_input_tokens"},
        )
        text = "".join(part.text or "" for part in message.content if part.type == "text")
        scrubbed = self._secret.scrub_json(dict(raw))
        reason = message.stop_reason
        if reason == "refusal":
            return Answer(self._secret.scrub(text), "refused", usage, raw=scrubbed)
        return Answer(self._secret.scrub(text), "length" if reason == "max_tokens" else "stop", usage, raw=scrubbed)


def _seconds_of(stamp: str) -> float:
    """Return a time as seconds; one that cannot be read is taken to be now, so that its batch is looked at."""
    try:
        return datetime.datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return datetime.datetime.now(tz=datetime.UTC).timestamp()


def _parts_of(message: Message, caching: bool) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for image in message.images:
        source = {"type": "base64", "media_type": image.media_type, "data": image.encode_base64()}
        parts.append({"type": "image", "source": source})
    parts.append({"type": "text", "text": message.text})
    if caching and message.cached:
        parts[-1]["cache_control"] = {"type": "ephemeral"}
    return parts
