"""OpenAI's chat completions and its batch interface, through the official SDK.

Any endpoint that speaks chat completions is reached by `base_url` (vLLM, DashScope, Gemini, OpenRouter, `transformers
serve`). https://platform.openai.com/docs/api-reference/chat and /batch.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2 as httpx
import openai

from gmner.config.teachers import OpenAITeacher
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

MARK = "gmner"  # the batch's metadata key that carries our tag
_CLOCKS_DIFFER_S = 2 * 86_400.0  # this machine's may be days off
_ENDED = ("completed", "expired", "cancelled")


class _Reply(Body):
    content: str | None = None
    refusal: str | None = None


class _Choice(Body):
    message: _Reply
    finish_reason: str | None = None


class _Completion(Body):
    choices: list[_Choice]
    usage: Any = None


class _Made(Body):
    id: str


class _Counts(Body):
    completed: int = 0
    failed: int = 0


class _Batch(Body):
    id: str
    status: str
    created_at: int | float = 0
    metadata: dict[str, Any] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: _Counts | None = None
    errors: Any = None


class _Page(Body):
    data: list[_Batch]
    has_more: bool = False


class _Response(Body):
    status_code: int
    body: Any = None


class _Named(Body):
    custom_id: str


class _Line(_Named):
    response: _Response | None = None
    error: Any = None


class OpenAIProvider:
    """Asks a chat completions endpoint."""

    most_batch_bytes = 64_000_000  # a batch file may have 200 MB; it is made in memory

    def __init__(self, settings: OpenAITeacher, secret: Secret) -> None:
        self._settings, self._secret = settings, secret
        self._calls = SdkCalls(openai, secret, settings.model)
        self._client = openai.AsyncOpenAI(
            api_key=secret.value,
            base_url=settings.base_url,
            max_retries=0,  # every attempt must be reserved in the store
            timeout=settings.limits.timeout_s,
        )

    async def answer(self, request: Request) -> Answer:
        """Ask one question."""
        body = await body_of(self._body, request.messages)
        # The bytes as they came: the SDK's own models cost more than all else, and trust what they read.
        result = await self._calls.question(self._client.post("/chat/completions", cast_to=httpx.Response, body=body))
        if isinstance(result, Answer):
            return result
        try:
            return self._answer_of(json_of(result.content))
        except UnusableError as error:
            raise PassingError(f"the answer is not a chat completion: {error}", maybe_paid=True) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def batch_line(self, request: Request) -> Mapping[str, Any]:
        """Return a question as a line of a batch file."""
        body = await body_of(self._body, request.messages)
        return {"custom_id": request.key, "method": "POST", "url": "/v1/chat/completions", "body": body}

    async def submit_batch(self, tag: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """Upload the lines and create a batch with `tag` in its metadata."""
        data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode("utf-8", "replace")
        upload = self._client.files.with_raw_response.create(file=(f"{tag}.jsonl", data), purpose="batch")
        try:
            uploaded = await self._calls.read(_Made, upload)
        except PassingError as error:  # a file alone is no batch, and costs nothing
            raise PassingError(str(error), wait_s=error.wait_s, maybe_paid=False, slow_down=error.slow_down) from None
        body = {
            "input_file_id": uploaded.id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {MARK: tag},
        }
        made = await self._calls.read(_Made, self._client.post("/batches", cast_to=httpx.Response, body=body))
        return made.id

    async def find_batch(self, tag: str, planned_at: float, count: int) -> str | None:
        """Look for a batch with `tag` in its metadata among those created since it was planned."""
        after: str | None = None
        while True:
            query: dict[str, Any] = {"limit": 100} | ({"after": after} if after else {})
            page = await self._calls.read(
                _Page, self._client.get("/batches", cast_to=httpx.Response, options={"params": query})
            )
            for batch in page.data:
                if (batch.metadata or {}).get(MARK) == tag:
                    return batch.id
            last = page.data[-1] if page.data else None
            if last is None or not page.has_more or last.id == after or last.created_at < planned_at - _CLOCKS_DIFFER_S:
                return None
            after = last.id

    async def batch_state(self, batch_id: str) -> BatchState:
        """Return how far a batch is; an expired or cancelled one ended with the results that it has."""
        batch = await self._retrieve(batch_id)
        if batch.status == "failed":
            counts = batch.request_counts or _Counts()
            untouched = not batch.output_file_id and not counts.completed and not counts.failed
            return BatchState(True, self._secret.scrub(shown(batch.errors or "no reason given")), untouched)
        return BatchState(batch.status in _ENDED)

    async def batch_results(self, batch_id: str) -> BatchResults:
        """Return the lines of a batch's output file and its error file."""
        batch = await self._retrieve(batch_id)
        lines: list[tuple[str | None, Answer | BatchFailure]] = []
        whole, completed = True, 0
        for file_id in (batch.output_file_id, batch.error_file_id):
            if not file_id:
                continue
            content = await self._calls.control(self._client.get(f"/files/{file_id}/content", cast_to=httpx.Response))
            for value in lines_of(content.content):
                name, result = self._line_of(value)
                whole = whole and not isinstance(value, UnusableError)
                completed += isinstance(result, Answer)
                lines.append((name, result))
        return BatchResults(lines, whole and completed >= (batch.request_counts or _Counts()).completed)

    async def _retrieve(self, batch_id: str) -> _Batch:
        return await self._calls.read(_Batch, self._client.get(f"/batches/{batch_id}", cast_to=httpx.Response))

    def _line_of(self, value: Any) -> tuple[str | None, Answer | BatchFailure]:
        name = None
        try:
            if isinstance(value, UnusableError):
                raise value
            name = read_body(_Named, value).custom_id
            line = read_body(_Line, value)
            if line.response is None:
                return name, BatchFailure(self._secret.scrub(shown(line.error)))
            if line.response.status_code == 200:
                return name, self._answer_of(line.response.body)
        except UnusableError as error:
            return name, BatchFailure(f"a line of the batch's results is unusable: {error}")
        body = line.response.body
        status, text = line.response.status_code, shown(body)
        if not 400 <= status < 600:  # no error of HTTP: it says nothing about a setting, nor that no work was done
            return name, BatchFailure(f"a line of the batch's results is unusable: its status is {status}")
        return name, batch_failure_of(failure_of_status(status, text, {}, self._secret, self._settings.model, body))

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": [_message_of(message, settings.detail) for message in messages],
            settings.max_tokens_name: settings.written_at_most,
        }
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        if settings.reasoning_effort is not None:
            body["reasoning_effort"] = settings.reasoning_effort
        return body | settings.extra_body

    def _answer_of(self, raw: Any) -> Answer:
        """Read a chat completion. Raises UnusableError."""
        completion = read_body(_Completion, raw)
        if not completion.choices:
            raise UnusableError("choices: it is empty")
        choice = completion.choices[0]
        usage = usage_of(
            completion.usage,
            tokens_in="prompt_tokens",
            tokens_out="completion_tokens",
            cached="prompt_tokens_details.cached_tokens",
        )
        refusal, text, finish = choice.message.refusal, choice.message.content or "", choice.finish_reason
        scrubbed = self._secret.scrub_json(dict(raw))
        if refusal or finish == "content_filter":
            return Answer(self._secret.scrub(refusal or text), "refused", usage, raw=scrubbed)
        return Answer(self._secret.scrub(text), "length" if finish == "length" else "stop", usage, raw=scrubbed)


def _message_of(message: Message, detail: str | None) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    parts: list[dict[str, Any]] = []
    for image in message.images:
        url = {"url": f"data:{image.media_type};base64,{image.encode_base64()}"}
        parts.append({"type": "image_url", "image_url": url if detail is None else {**url, "detail": detail}})
    return {"role": message.role, "content": [*parts, {"type": "text", "text": message.text}]}
