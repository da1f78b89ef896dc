"""What one teacher asks about a sample, how its answer is judged, and what is asked after a refusal.

The chain of questions about a sample follows from the sample and the answers alone, so it can be walked again
from the store at any time: after a crash, after a change of code, or to write the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gmner.core.records import Sample
from gmner.llm_client.types import Answer, Request, Usage

RESULT_NEUTRAL = False  # decides what is asked


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a rationale is not accepted; `code` is one of `CODES`."""

    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


@dataclass(frozen=True, slots=True)
class Judged:
    """A judged answer: the rationale, or why it is refused."""

    text: str | None
    refusal: Refusal | None


class Teaching(Protocol):
    """One teacher's way to ask and to judge."""

    prompt_version: str
    max_tries: int

    def first(self, sample: Sample) -> Request:
        """Return the first question about a sample."""
        ...

    def again(self, request: Request, answer: Answer, refusal: Refusal) -> Request:
        """Return the next question, after an answer was refused."""
        ...

    def judge(self, sample: Sample, answer: Answer) -> Judged:
        """Judge an answer."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What all answers about a sample came to; `usage` and `cost_usd` are summed over them."""

    key: str
    text: str | None
    refusal: Refusal | None
    tries: int
    usage: Usage
    cost_usd: float | None


def resolve(teaching: Teaching, sample: Sample, lookup: Callable[[Request], Answer | None]) -> Outcome | Request:
    """Walk a sample's chain of questions through the answers there are.

    Returns the outcome, or the first question that has no answer yet.
    """
    request = teaching.first(sample)
    usage, cost = Usage(), None
    for tries in range(1, teaching.max_tries + 1):
        answer = lookup(request)
        if answer is None:
            return request
        usage += answer.usage
        cost = answer.cost_usd if cost is None else cost + (answer.cost_usd or 0.0)
        judged = teaching.judge(sample, answer)
        if judged.refusal is None or tries == teaching.max_tries:
            return Outcome(request.key, judged.text, judged.refusal, tries, usage, cost)
        request = teaching.again(request, answer, judged.refusal)
    raise AssertionError("max_tries is at least 1")
