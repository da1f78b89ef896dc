"""The stage `rationales`: the reasoning of each training sample, or why there is none."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmner.config.teachers import PublishedTeacher, RationalesSettings, TemplateTeacher
from gmner.core.records import Sample
from gmner.errors import GmnerError
from gmner.llm_client.answer_store import read_store
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.folders import store_folder
from gmner.llm_client.types import Answer, Request
from gmner.rationales.template import TemplateProvider, write_rationale
from gmner.rationales.template_questions import TemplateTeaching
from gmner.storage.files import write_json
from gmner.storage.tables import RATIONALES, iterate_samples, write_row_stream

if TYPE_CHECKING:
    from gmner.config.teachers import PromptedTeacher

LOGGER = logging.getLogger(__name__)
SPLIT = "train"


@dataclass(slots=True)
class Tally:
    """What the report counts."""

    samples: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    tries: Counter[int] = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float | None = None

    def add(self, outcome: Outcome) -> None:
        """Count one sample's outcome."""
        self.samples += 1
        self.tries[outcome.tries] += 1
        self.tokens_in += outcome.usage.tokens_in
        self.tokens_out += outcome.usage.tokens_out
        if outcome.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + outcome.cost_usd
        if outcome.refusal is None:
            self.accepted += 1
        else:
            self.refused[outcome.refusal.code] += 1

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "samples": self.samples,
            "accepted": self.accepted,
            "refused": sum(self.refused.values()),
            "refused_by_reason": dict(sorted(self.refused.items())),
            "samples_by_tries": {str(tries): count for tries, count in sorted(self.tries.items())},
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost_usd": None if self.cost_usd is None else round(self.cost_usd, 6),
        }


def make_rationales(
    settings: RationalesSettings, samples_path: Path, out: Path, report: Path, store: Path
) -> dict[str, Any]:
    """Write the table of rationales and its report; return the report.

    Only what the store does not have is asked. The table is written last and at once, so that a half-finished
    run never looks done. Raises GmnerError if the teacher cannot go on (a wrong key, a spent budget).
    """
    if isinstance(settings.teacher, TemplateTeacher):
        teaching: Teaching = TemplateTeaching(settings.teacher)
        with asyncio.Runner() as runner:
            provider = TemplateProvider(settings.teacher.style)
            return _write(settings, teaching, samples_path, out, report, lambda r: runner.run(provider.answer(r)))
    if isinstance(settings.teacher, PublishedTeacher):
        from gmner.rationales.published import PublishedTeaching, filled_store

        teaching = PublishedTeaching(settings.teacher)
        with filled_store(settings.teacher, samples_path, store) as texts:
            return _write(settings, teaching, samples_path, out, report, lambda request: texts.get(request.key))
    from gmner.llm_client.session import asked
    from gmner.rationales.prompted import PromptedTeaching

    teacher = settings.teacher
    teaching = PromptedTeaching(teacher, types_of(teacher, samples_path))
    with asked(teacher, teaching, lambda: iterate_samples(samples_path, SPLIT), store, settings.name) as answers:
        return _write(settings, teaching, samples_path, out, report, lambda request: answers.get(request.key))


def plan_rationales(settings: RationalesSettings, samples_path: Path, store: Path) -> list[str]:
    """Return what `make_rationales` would ask and what that would cost, in words; nothing is asked."""
    if isinstance(settings.teacher, TemplateTeacher):
        return ["the template teacher asks nobody and costs nothing"]
    if isinstance(settings.teacher, PublishedTeacher):
        return ["published reasoning is fetched once; nobody is asked and it costs nothing"]
    from gmner.llm_client.session import make_plan
    from gmner.rationales.prompted import PromptedTeaching

    teacher = settings.teacher
    teaching = PromptedTeaching(teacher, types_of(teacher, samples_path))
    with contextlib.closing(read_store(store_folder(store, teacher.provider, teacher.model))) as answers:
        return make_plan(teacher, teaching, iterate_samples(samples_path, SPLIT), answers).lines()


def types_of(teacher: "PromptedTeacher", samples_path: Path) -> list[str]:
    """Return the types that a blind teacher may answer with: those configured, or those of the table."""
    if teacher.types is not None or teacher.prompt != "blind":
        return list(teacher.types or ())
    return sorted({entity.type for sample in iterate_samples(samples_path) for entity in sample.entities})


def _write(
    settings: RationalesSettings,
    teaching: Teaching,
    samples_path: Path,
    out: Path,
    report: Path,
    lookup: Callable[[Request], Answer | None],
) -> dict[str, Any]:
    tally = Tally()
    metadata = {"teacher": settings.name, "when_refused": settings.teacher.when_refused}
    rows = _rows(settings, teaching, iterate_samples(samples_path, SPLIT), lookup, tally)
    write_row_stream(out, rows, RATIONALES, metadata)
    result = {
        "teacher": settings.name,
        "provider": settings.teacher.provider,
        "model": settings.teacher.model,
        "prompt_version": teaching.prompt_version,
        "when_refused": settings.teacher.when_refused,
        **tally.to_json(),
    }
    write_json(report, result)
    few = tally.accepted < settings.teacher.least_accepted * tally.samples
    level = logging.WARNING if few else logging.INFO
    LOGGER.log(level, "%s: %d rationales, %d accepted", out, tally.samples, tally.accepted)
    return result


def _rows(
    settings: RationalesSettings,
    teaching: Teaching,
    samples: Iterator[Sample],
    lookup: Callable[[Request], Answer | None],
    tally: Tally,
) -> Iterator[dict[str, Any]]:
    teacher = settings.teacher
    for sample in samples:
        outcome = resolve(teaching, sample, lookup)
        if isinstance(outcome, Request):
            raise GmnerError(f"sample {sample.sample_id}: no answer in the store; rerun the stage")
        tally.add(outcome)
        text = outcome.text
        if outcome.refusal is not None:
            text = write_rationale(sample, "evidence") if teacher.when_refused == "template" else None
        yield {
            "sample_id": sample.sample_id,
            "text": text,
            "accepted": outcome.refusal is None,
            "reason": None if outcome.refusal is None else str(outcome.refusal),
            "teacher": settings.name,
            "provider": teacher.provider,
            "model": teacher.model,
            "prompt_version": teaching.prompt_version,
            "key": outcome.key,
            "tries": outcome.tries,
            "tokens_in": outcome.usage.tokens_in,
            "tokens_out": outcome.usage.tokens_out,
            "cost_usd": outcome.cost_usd,
        }
