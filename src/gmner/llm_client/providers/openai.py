"""OpenAI's chat completions and its batch interface, through the official SDK.

Any endpoint that speaks chat completions is reached by `base_url` (vLLM, DashScope, OpenRouter, `transformers
serve`). https://platform.openai.com/docs/api-reference/chat and /batch.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import openai

from gmner.config.teachers import OpenAITeacher
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

MARK = "gmner"  # the batch's metadata key that carries our tag
_CLOCKS_DIFFER_S = 2 * 86_400.0  # this machine's may be days off


class OpenAIProvider:
    """Asks a chat completions endpoint."""

    most_batch_bytes = 64_000_000  # a batch file may have 200 MB; it is made in memory

    def __init__(self, settings: OpenAITeacher, secret: Secret) -> None:
        self._settings, self._secret = settings, secret
        self._calls = SdkCalls(openai, secret, settings.model)
        self._client = openai.AsyncOpenAI(
            api_key=secret.value,
            base_url=settings.base_url,
            max_retries=0,  # every attempt must pass the ledger
            timeout=settings.limits.timeout_s,
        )

    async def answer(self, request: Request) -> Answer:
        """Ask one question."""
        body = await body_of(self._body, request.messages)
        # The SDK's own `create` walks every message through its typed dictionaries, and every answer through its
        # models, which costs more than all else; the JSON is what is kept and read here.
        result = await self._calls.question(self._client.post("/chat/completions", cast_to=object, body=body))
        if isinstance(result, Answer):
            return result
        if not isinstance(result, dict):
            raise PassingError("the answer is not a chat completion", maybe_paid=True)
        return self._answer_of(result)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def batch_line(self, request: Request) -> Mapping[str, Any]:
        """Return a question as a line of a batch file."""
        body = await body_of(self._body, request.messages)
        return {"custom_id": request.key, "method": "POST", "url": "/v1/chat/completions", "body": body}

    async def submit_batch(self, tag: str, lines: Sequence[Mapping[str, Any]]) -> str:
        """Upload the lines and create a batch with `tag` in its metadata."""
        data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode("utf-8")
        try:
            uploaded = await self._calls.control(
                self._client.files.create(file=(f"{tag}.jsonl", data), purpose="batch")
            )
        except PassingError as error:  # a file alone is no batch, and costs nothing
            raise PassingError(str(error), wait_s=error.wait_s, maybe_paid=False, slow_down=error.slow_down) from None
        batch = await self._calls.control(
            self._client.batches.create(
                input_file_id=uploaded.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={MARK: tag},
            )
        )
        return str(batch.id)

    async def find_batch(self, tag: str, planned_at: float, count: int) -> str | None:
        """Look for a batch with `tag` in its metadata among those created since it was planned."""
        after: Any = openai.omit
        while True:
            page = await self._calls.control(self._client.batches.list(limit=100, after=after))
            for batch in page.data:
                if (batch.metadata or {}).get(MARK) == tag:
                    return str(batch.id)
            if not page.data or not page.has_more or page.data[-1].created_at < planned_at - _CLOCKS_DIFFER_S:
                return None
            after = page.data[-1].id

    async def batch_state(self, batch_id: str) -> BatchState:
        """Return how far a batch is; an expired or cancelled one ended with the results that it has."""
        batch = await self._calls.control(self._client.batches.retrieve(batch_id))
        if batch.status == "failed":
            problems = "; ".join(str(problem.message) for problem in (batch.errors and batch.errors.data) or [])
            return BatchState(True, self._secret.scrub(problems or "no reason given"))
        return BatchState(batch.status in ("completed", "expired", "cancelled"))

    async def batch_results(self, batch_id: str) -> AsyncIterator[tuple[str, Answer | BatchFailure]]:
        """Yield the lines of a batch's output file and its error file."""
        batch = await self._calls.control(self._client.batches.retrieve(batch_id))
        completed = 0
        for file_id in (batch.output_file_id, batch.error_file_id):
            if not file_id:
                continue
            content = await self._calls.control(self._client.files.content(file_id))
            for line in content.text.split("\n"):  # splitlines also cuts inside a JSON text, at U+2028
                try:
                    result = json.loads(line) if line.strip() else None
                except ValueError:
                    raise PassingError("a batch's result file is cut", maybe_paid=True) from None
                if result is not None:
                    completed += bool(result.get("response"))
                    yield str(result["custom_id"]), self._result_of(result)
        if batch.request_counts and completed < batch.request_counts.completed:
            raise PassingError("a batch's results are cut", maybe_paid=True)

    def _result_of(self, result: Mapping[str, Any]) -> Answer | BatchFailure:
        response = result.get("response")
        if not response:
            return BatchFailure(self._secret.scrub(json.dumps(result.get("error"))))
        if response["status_code"] == 200:
            try:
                return self._answer_of(response["body"])
            except PassingError as error:
                return BatchFailure(str(error))
        body = response.get("body")
        return batch_failure_of(
            failure_of_status(response["status_code"], json.dumps(body), {}, self._secret, self._settings.model, body)
        )

    def _body(self, messages: Sequence[Message]) -> dict[str, Any]:
        settings = self._settings
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": [_message_of(message, settings.detail) for message in messages],
            settings.max_tokens_name: settings.max_tokens,
        }
        if settings.temperature is not None:
            body["temperature"] = settings.temperature
        return body

    def _answer_of(self, raw: Mapping[str, Any]) -> Answer:
        try:
            choice = raw["choices"][0]
            message = choice["message"]
            refusal, text = message.get("refusal"), message.get("content") or ""
            finish = choice.get("finish_reason")
            usage = _usage_of(raw.get("usage") or {})
        except (KeyError, IndexError, TypeError, AttributeError):
            raise PassingError("the answer is not a chat completion", maybe_paid=True) from None
        reason = "refused" if refusal or finish == "content_filter" else "length" if finish == "length" else "stop"
        if not isinstance(text, str):
            raise PassingError("the answer's content is not text", maybe_paid=True)
        scrubbed = self._secret.scrub_json(dict(raw))
        return Answer(self._secret.scrub(str(refusal or text)), reason, usage, raw=scrubbed)  # type: ignore[arg-type]


def _usage_of(usage: Mapping[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )


def _message_of(message: Message, detail: str | None) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role, "content": message.text}
    parts: list[dict[str, Any]] = []
    for image in message.images:
        url = {"url": f"data:{image.media_type};base64,{image.encode_base64()}"}
        parts.append({"type": "image_url", "image_url": url if detail is None else {**url, "detail": detail}})
    return {"role": message.role, "content": [*parts, {"type": "text", "text": message.text}]}
