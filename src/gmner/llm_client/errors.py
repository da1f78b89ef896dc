"""What a failed request means: which failures may pass, which stop everything, and what never leaks."""

import email.utils
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gmner.errors import ConfigError, GmnerError
from gmner.llm_client.types import Answer, BatchFailure, PassingError, RejectedError

SHORTEST_KEY = 8  # what is shorter is a placeholder for an endpoint without keys, and stands in many words
_NOT_DONE = frozenset({429, 500, 503, 529})  # the provider says itself that it did not do the work
_ABOUT_THIS_REQUEST = frozenset({400, 413, 422})
# The providers' codes and words for content that their policy refuses: OpenAI and Azure, Anthropic ("Output blocked by
# content filtering policy", an invalid_request_error like any other), OpenRouter, DashScope.
_POLICY = re.compile(
    r"\b(?:image_)?content_(?:filter|policy_violation)\b|\bmoderation_blocked\b|ResponsibleAIPolicyViolation"
    r"|\bdata_?inspection_?failed\b|flagged as potentially violating|content (?:management |filtering )?polic(?:y|ies)"
    r"|blocked by (?:\w+ )?content filter|(?:our|the) safety system|requires moderation and your input was flagged"
    r"|inappropriate content",
    re.IGNORECASE,
)
_NAMED = re.compile(r"\b(max_completion_tokens|max_tokens|temperature|cache_control)\b", re.IGNORECASE)
_UNFIT_MODEL = re.compile(
    r"\b(?:invalid|unknown|unsupported|no such) model\b"
    r"|\bmodel\b.{0,80}\b(?:is invalid|not exist|not found|not available|unknown|deprecated)\b",
    re.IGNORECASE | re.DOTALL,
)
_REMEDIES = {
    "max_tokens": "change the teacher's max_tokens",
    "max_completion_tokens": "set the teacher's max_tokens_name to max_tokens",
    "temperature": "set the teacher's temperature to one that the model takes, or to null, which sends none",
    "cache_control": "set the teacher's cache_prompt to false",
    "model": "set the teacher's model to one that the provider has",
}


@dataclass(frozen=True, slots=True)
class Secret:
    """A key, kept out of every text; its representation does not show it."""

    variable: str
    value: str

    def __repr__(self) -> str:
        return f"Secret({self.variable})"

    def scrub(self, text: str) -> str:
        """Return a text without the key, should a server have sent it back."""
        return text.replace(self.value, f"<{self.variable}>") if len(self.value) >= SHORTEST_KEY else text

    def scrub_json(self, value: Any) -> Any:
        """Return a JSON value without the key in any of its texts."""
        if isinstance(value, str):
            return self.scrub(value)
        if isinstance(value, Mapping):
            return {self.scrub(str(name)): self.scrub_json(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.scrub_json(item) for item in value]
        return value


def read_secret(variable: str, *, needed: bool) -> Secret:
    """Read a key from the environment. Raises ConfigError if it is needed and not there."""
    value = os.environ.get(variable, "").strip()
    if not value and needed:
        raise ConfigError(f"the environment has no {variable}; set it to the provider's key, then rerun")
    return Secret(variable, value or "no-key")


def failure_of_status(
    status: int, text: str, headers: Mapping[str, str], secret: Secret, model: str, body: object = None
) -> PassingError | RejectedError | GmnerError | Answer:
    """Return what an HTTP error status means.

    It may pass, it is about this one question, it stops everything, or, where the provider's content policy refuses
    the question, it is the answer. `body` is the error's JSON, where there is some.
    """
    text = secret.scrub(text)
    if status in (*_ABOUT_THIS_REQUEST, 403) and is_refusal(text):
        return Answer(text[:400], "refused", raw={"status": status, "error": text[:400]})
    text = text[:400]
    if status in (401, 403):
        return GmnerError(f"the provider refuses the key in {secret.variable} ({status}); set a valid one: {text}")
    if status == 402 or "insufficient_quota" in text or "credit balance" in text:
        return GmnerError(f"the provider's account of the key in {secret.variable} has no credit left: {text}")
    if status == 404:
        return GmnerError(f"the provider does not know the model '{model}' or the address ({status}): {text}")
    if status in _ABOUT_THIS_REQUEST:
        if remedy := _remedy(text, body):
            return GmnerError(f"the provider refuses the request ({status}): {text}; {remedy}, then rerun")
        return RejectedError(f"{status}: {text}")
    if status in (408, 409, 425, 429) or status >= 500:
        return PassingError(
            f"{status}: {text}",
            wait_s=wait_of(headers),
            maybe_paid=status not in _NOT_DONE,
            slow_down=status in (429, 503, 529),
            kind=f"answer with status {status}",
        )
    return GmnerError(f"the provider answers with status {status}, which is not expected: {text}")


def batch_failure_of(meaning: Exception | Answer) -> Answer | BatchFailure:
    """Return what a failure means for one question of a batch."""
    if isinstance(meaning, Answer):
        return meaning
    return BatchFailure(str(meaning), isinstance(meaning, RejectedError), isinstance(meaning, GmnerError))


def is_refusal(text: str) -> bool:
    """Say whether an error's text tells that the provider's content policy refuses the question."""
    return _POLICY.search(text) is not None


def _remedy(text: str, body: object) -> str | None:
    """Return which setting to change where an error names the parameter that it is about; else None."""
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    said = inner.get("message") if isinstance(inner, Mapping) else None
    text = said if isinstance(said, str) else text
    if re.search(r"\bcontext\b", text, re.IGNORECASE):  # this one question is too long, whatever it names
        return None
    param = str(inner.get("param") or "").split(".")[0] if isinstance(inner, Mapping) else ""
    if param not in _REMEDIES:
        found = _NAMED.search(text)
        param = found.group().lower() if found else "model" if _UNFIT_MODEL.search(text) else ""
    if param == "max_tokens" and "max_completion_tokens" in text:
        return "it names 'max_tokens': set the teacher's max_tokens_name to max_completion_tokens"
    return f"it names '{param}': {_REMEDIES[param]}" if param else None


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` (seconds, or a date) or `retry-after-ms` asks to wait.

    A date is counted from the server's own `Date`, where it says one: this machine's clock may be days off.
    """
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        if (value := headers.get("retry-after")) is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        now = email.utils.parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else time.time()
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return None
