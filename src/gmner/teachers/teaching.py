"""What one teacher asks about a sample, how its answer is judged, and what is asked after a refusal.

The chain of questions about a sample follows from the sample and the answers alone, so it can be walked again
from the store at any time: after a crash, after a change of code, or to write the table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gmner.config.teachers import TemplateTeacher
from gmner.records import Sample
from gmner.teachers import template
from gmner.teachers.acceptance import Refusal, judge
from gmner.teachers.protocol import Answer, Request, Usage
from gmner.teachers.store import answer_key


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


class TemplateTeaching:
    """The template teacher: asked once, from the sample alone."""

    max_tries = 1

    def __init__(self, settings: TemplateTeacher) -> None:
        self._settings = settings
        self.prompt_version = f"template-{settings.style}-{template.VERSION}"

    def first(self, sample: Sample) -> Request:
        """Return the only question about a sample."""
        content = {
            "text": sample.text,
            "caption": sample.caption,
            "entities": [
                [entity.mention, entity.type, entity.fine_type, entity.description, len(entity.boxes)]
                for entity in sample.entities
            ],
        }
        key = answer_key(
            provider="template",
            model=self._settings.style,
            parameters={},
            prompt_version=self.prompt_version,
            content=content,
        )
        return Request(key, sample)

    def again(self, request: Request, answer: Answer, refusal: Refusal) -> Request:
        """Refuse to ask again: the same sample gives the same answer."""
        raise AssertionError("a template is asked once")

    def judge(self, sample: Sample, answer: Answer) -> Judged:
        """Judge by the common checks."""
        refusal = judge(answer.text, sample.entities, self._settings.acceptance)
        return Judged(None if refusal else answer.text, refusal)


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
