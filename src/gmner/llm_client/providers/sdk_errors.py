"""Calls through a provider's official SDK: what its errors mean. OpenAI's and Anthropic's name them alike."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from gmner.errors import GmnerError
from gmner.llm_client.errors import Secret, failure_of_status
from gmner.llm_client.providers.bodies import Model, UnusableError, json_of, read_body
from gmner.llm_client.types import Answer, PassingError, RejectedError

_NEVER_CONNECTED = ("ConnectError", "ConnectTimeout", "PoolTimeout")


@dataclass(frozen=True)
class SdkCalls:
    """How calls of one SDK with one key, for one model, are awaited."""

    sdk: Any  # the module; both have APIError and its kinds
    secret: Secret
    model: str

    async def question(self, call: Awaitable[Any]) -> Any:
        """Await a question and return what came, an Answer where a content policy refuses it.

        Raises PassingError for what may pass, RejectedError for what is about this question, GmnerError for what stops
        the run.
        """
        sdk = self.sdk
        try:
            return await call
        except sdk.APIStatusError as error:
            meaning = failure_of_status(
                error.status_code, _said(error), error.response.headers, self.secret, self.model, error.body
            )
        except sdk.APITimeoutError:
            meaning = PassingError("the connection timed out", maybe_paid=True, kind="timeout")
        except sdk.APIConnectionError as error:
            refused = type(error.__cause__).__name__ in _NEVER_CONNECTED
            reason = self.secret.scrub(f"{type(error.__cause__).__name__}: {error.__cause__}")
            meaning = PassingError(f"the connection failed ({reason})", maybe_paid=not refused, kind="connection error")
        except (sdk.APIError, ValueError, TypeError, RecursionError) as error:
            reason = self.secret.scrub(f"{type(error).__name__}: {error}")[:200]
            meaning = PassingError(f"the answer is not readable ({reason})", maybe_paid=True)
        if isinstance(meaning, Answer):
            return meaning
        raise meaning

    async def control(self, call: Awaitable[Any]) -> Any:
        """Await a call that is no question: a refusal of it is an error of the user's."""
        try:
            result = await self.question(call)
        except RejectedError as error:
            raise GmnerError(f"the provider refuses the batch: {error}") from None
        if isinstance(result, Answer):
            raise GmnerError(f"the provider refuses the batch: {result.text}")
        return result

    async def read(self, model: type[Model], call: Awaitable[Any]) -> Model:
        """Await a call that is no question and read what came as `model`."""
        result = await self.control(call)
        try:
            return read_body(model, json_of(result.content))
        except UnusableError as error:
            raise PassingError(f"what the provider says about a batch is unusable: {error}", maybe_paid=True) from None


def _said(error: Any) -> str:
    """Return an error's message, and its code if it has one: some servers name a content policy there alone."""
    body = error.body.get("error", error.body) if isinstance(error.body, dict) else None
    code = body.get("code") if isinstance(body, dict) else None
    return (
        f"{error.message} ({code})" if isinstance(code, str) and code not in str(error.message) else str(error.message)
    )
