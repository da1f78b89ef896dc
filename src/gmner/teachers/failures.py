"""What a failed request means: which failures may pass, which stop everything, and what never leaks."""

import email.utils
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gmner.errors import ConfigError, GmnerError
from gmner.teachers.protocol import Answer, PassingError

SHORTEST_KEY = 8  # what is shorter is a placeholder for an endpoint without keys, and stands in many words
_NOT_DONE = frozenset({429, 500, 503, 529})  # the provider says itself that it did not do the work
_ABOUT_THIS_QUESTION = frozenset({400, 413, 422})


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
    """Read a key from the environment. Raises ConfigError where it is needed and not there."""
    value = os.environ.get(variable, "").strip()
    if not value and needed:
        raise ConfigError(f"the environment has no {variable}; set it to the provider's key and run again")
    return Secret(variable, value or "no-key")


def failure_of_status(
    status: int, text: str, headers: Mapping[str, str], secret: Secret, model: str
) -> PassingError | GmnerError | Answer:
    """Return what an HTTP error status means: it may pass, it stops everything, or it is the answer."""
    text = secret.scrub(text)[:400]
    if status in (401, 403):
        return GmnerError(f"the provider refuses the key in {secret.variable} ({status}); set a valid one: {text}")
    if status == 402 or "insufficient_quota" in text or "credit balance" in text:
        return GmnerError(f"the provider's account of the key in {secret.variable} has no credit left: {text}")
    if status == 404:
        return GmnerError(f"the provider does not know the model '{model}' or the address ({status}): {text}")
    if status in _ABOUT_THIS_QUESTION:
        return Answer(text, "refused", raw={"status": status, "error": text})
    if status in (408, 409, 425, 429) or status >= 500:
        return PassingError(
            f"{status}: {text}",
            wait_s=wait_of(headers),
            maybe_paid=status not in _NOT_DONE,
            slow_down=status in (429, 503, 529),
        )
    return GmnerError(f"the provider answers with status {status}, which is not expected: {text}")


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
