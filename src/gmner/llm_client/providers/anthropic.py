"""Anthropic's messages and message batches, through the official SDK.

https://docs.anthropic.com/en/api/messages and /creating-message-batches. What is the same for all samples is marked
for the prompt cache.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import anthropic
from anthropic.types import Message as AnthropicMessage

from gmner.config.teachers import AnthropicTeacher
from gmner.llm_client.errors import Secret, batch_failure_of, failure_of_status
from gmner.llm_client.providers.sdk_errors import SdkCalls
from gmner.llm_client.types import (
    Answer,
    BatchFailure,
    BatchState,
    Message,
    PassingError,
    Request,
    Usage,
    body_of,
)

_TAG_LETTERS, _KEY_LETTERS = 12, 48  # of a question's id in a batch, which may have 64
_CLOCKS_DIFFER_S = 2 * 86_400.0  # this machine's may be days off
# The types of errors that asking again does not mend, and the status each has outside of batches.
_STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
}


class AnthropicProvider:
    """Asks the messages endpoint."""

    most_batch_bytes = 64_000_000  # a batch may have 256 MB; it is made in memory

    def __init__(self, settings: AnthropicTeacher, secret: Secret) -> None:
        self._settings, self._secret = settings, secret
        self._calls = SdkCalls(anthropic, secret, settings.model)
        self._client = anthropic.AsyncAnthropic(
            api_key=secret.value,
            base_url=settings.base_url,
            max_retries=0,  # every attempt must pass the ledger
            timeout=settings.limits.timeout_s,
        )

    async def answer(self, request: Request) -> Answer:
        """Ask one question."""
        body = await body_of(self._body, request.messages)
        # The SDK's own `create` walks every message through its typed dictionaries, which costs more than all else.
        result = await self._calls.question(self._client.post("/v1/messages", cast_to=AnthropicMessage, body=body))
        if isinstance(result, Answer):
            return result
        if not isinstance(result, AnthropicMessage):
            raise PassingError("the answer is not a message", maybe_paid=True)
        return self._answer_of(result.model_dump(mode="json", exclude_none=True, warnings=False))

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
        marked: Any = [{**line, "custom_id": f"{tag[:_TAG_LETTERS]}-{line['custom_id']}"} for line in lines]
        batch = await self._calls.control(self._client.messages.batches.create(requests=marked))
        return str(batch.id)

    async def find_batch(self, tag: str, planned_at: float, count: int) -> str | None:
        """Look for the batch whose questions carry `tag`: a batch has no other mark, so its results are read."""
        after: Any = anthropic.omit
        while True:
            page = await self._calls.control(self._client.messages.batches.list(limit=100, after_id=after))
            for batch in page.data:
                young = batch.created_at.timestamp() > planned_at - _CLOCKS_DIFFER_S
                if young and _total_of(batch) == count and await self._carries(batch.id, tag):
                    return str(batch.id)
            last = page.data[-1] if page.data else None
            if last is None or not page.has_more or last.created_at.timestamp() < planned_at - _CLOCKS_DIFFER_S:
                return None
            after = last.id

    async def batch_state(self, batch_id: str) -> BatchState:
        """Return how far a batch is."""
        batch = await self._calls.control(self._client.messages.batches.retrieve(batch_id))
        return BatchState(batch.processing_status == "ended")

    async def batch_results(self, batch_id: str) -> AsyncIterator[tuple[str, Answer | BatchFailure]]:
        """Yield a batch's results."""
        batch = await self._calls.control(self._client.messages.batches.retrieve(batch_id))
        count = 0
        async for _, key, result in self._results(batch_id):
            count += 1
            yield key, self._result_of(result)
        if count < _total_of(batch):
            raise PassingError("a batch's results are cut", maybe_paid=True)

    async def _results(self, batch_id: str) -> AsyncIterator[tuple[str, str, Mapping[str, Any]]]:
        stream = await self._calls.control(self._client.messages.batches.results(batch_id))
        try:
            async for line in stream:
                tag, _, key = line.custom_id.partition("-")
                yield tag, key, line.result.model_dump(mode="json", exclude_none=True, warnings=False)
        except (ValueError, TypeError, AttributeError, anthropic.APIError) as error:
            reason = self._secret.scrub(f"{type(error).__name__}: {error}")[:200]
            raise PassingError(f"a batch's results are cut ({reason})", maybe_paid=True) from None

    async def _carries(self, batch_id: str, tag: str) -> bool:
        while not (await self.batch_state(batch_id)).ended:
            await asyncio.sleep(self._settings.batch_poll_s)
        async for found, _, _ in self._results(batch_id):
            return found == tag[:_TAG_LETTERS]
        return False

    def _result_of(self, result: Mapping[str, Any]) -> Answer | BatchFailure:
        if result.get("type") == "succeeded":
            try:
                return self._answer_of(result["message"])
            except (PassingError, KeyError) as error:
                return BatchFailure(str(error))
        said = result.get("error") or {}
        text = self._secret.scrub(json.dumps(said or result.get("type")))
        inner = said.get("error", said) if isinstance(said, Mapping) else {}
        status = _STATUS_OF_TYPE.get(str(inner.get("type")) if isinstance(inner, Mapping) else "")
        if status is None:
            return BatchFailure(text)
        return batch_failure_of(failure_of_status(status, text, {}, self._secret, self._settings.model, said))

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        settings = self._settings
        caching = settings.cache_prompt
        body: dict[str, Any] = {
            "model": settings.model,
            "max_tokens": settings.max_tokens,
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
        return body

    def _answer_of(self, raw: Mapping[str, Any]) -> Answer:
        try:
            text = "".join(part["text"] for part in raw["content"] if part["type"] == "text")
            finish = raw.get("stop_reason")
            usage = _usage_of(raw.get("usage") or {})
        except (KeyError, TypeError, AttributeError):
            raise PassingError("the answer is not a message", maybe_paid=True) from None
        reason = "refused" if finish == "refusal" else "length" if finish == "max_tokens" else "stop"
        scrubbed = self._secret.scrub_json(dict(raw))
        return Answer(self._secret.scrub(text), reason, usage, raw=scrubbed)  # type: ignore[arg-type]


def _total_of(batch: Any) -> int:
    counts = batch.request_counts
    return int(counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired)


def _usage_of(usage: Mapping[str, Any]) -> Usage:
    read = int(usage.get("cache_read_input_tokens") or 0)
    written = int(usage.get("cache_creation_input_tokens") or 0)
    plain = int(usage.get("input_tokens") or 0)
    return Usage(plain + read + written, int(usage.get("output_tokens") or 0), read, written)


def _parts_of(message: Message, caching: bool) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for image in message.images:
        source = {"type": "base64", "media_type": image.media_type, "data": image.encode_base64()}
        parts.append({"type": "image", "source": source})
    parts.append({"type": "text", "text": message.text})
    if caching and message.cached:
        parts[-1]["cache_control"] = {"type": "ephemeral"}
    return parts
