"""The stage `generate` of an api run: a provider's model as a system of its own, zero- or few-shot.

Answers come through the same store, ledger and budget as a teacher's; the table is the one that `generate`
writes, so that parser, scorer and tables are the same.
"""

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gmner.config.stages import GenerateApiStage
from gmner.core.answer import render_answer
from gmner.core.frame import Frame
from gmner.core.records import Record, Sample
from gmner.errors import DataError
from gmner.llm_client.answer_key import key_of
from gmner.llm_client.answer_store import AnswerStore, read_store
from gmner.llm_client.chain import Judged, Refusal
from gmner.llm_client.folders import store_folder
from gmner.llm_client.sent_images import ImageToSend, image_of
from gmner.llm_client.session import asked, make_plan
from gmner.llm_client.types import Answer, Message, Request
from gmner.prompts.model import build_messages, prompt_version
from gmner.rationales.template import write_rationale
from gmner.storage.files import write_json
from gmner.storage.tables import OUTPUTS, iterate_samples, write_row_stream

LOGGER = logging.getLogger(__name__)


class ApiTeaching:
    """Asks for the answer itself, once a sample; whatever comes is for the parser to judge."""

    max_tries = 1

    def __init__(self, settings: GenerateApiStage, examples: list[Sample]) -> None:
        self._settings = settings
        self._examples = [message for sample in examples for message in self._example(sample)]
        if self._examples:
            self._examples[-1] = dataclasses.replace(self._examples[-1], cached=True)
        self.prompt_version = f"api-{prompt_version(settings.question.prompt)}"

    def first(self, sample: Sample) -> Request:
        """Return the question about a sample: instruction, examples, image and tweet."""
        system, user = self._turns(sample)
        messages = (*system, *self._examples, user)
        return Request(key_of(self._settings.teacher, self.prompt_version, messages), sample, messages)

    def again(self, request: Request, answer: Answer, refusal: Refusal) -> Request:
        """Refuse to ask again: a system has one answer."""
        raise AssertionError("a system is asked once")

    def judge(self, sample: Sample, answer: Answer) -> Judged:
        """Take any answer."""
        return Judged(answer.text, None)

    def _turns(self, sample: Sample) -> tuple[list[Message], Message]:
        settings, question = self._settings, self._settings.question
        images: tuple[ImageToSend, ...] = ()
        if settings.teacher.image is not None:
            images = (image_of(sample.image_path, sample.size_wh, settings.teacher.image),)
        turns = build_messages(
            question.prompt, question.types, sample.text, question.cot, coordinates=settings.coordinates
        )
        texts = [(turn["role"], "".join(part.get("text", "") for part in turn["content"])) for turn in turns]
        system = [Message(role, text, cached=True) for role, text in texts[:-1]]
        return system, Message("user", texts[-1][1], images)

    def _example(self, sample: Sample) -> tuple[Message, Message]:
        settings, question = self._settings, self._settings.question
        frame = Frame(settings.coordinates, 28 * 28, 1 << 30)
        records = []
        for entity in sample.entities:
            boxes: Any = frame.to_model(list(entity.boxes), sample.size_wh) if entity.boxes else []
            label = entity.fine_type if question.fine and entity.fine_type else entity.type
            whole = tuple(tuple(float(round(value)) for value in box) for box in boxes)
            records.append(Record(entity.mention, label, whole))  # type: ignore[arg-type]
        reasoning = write_rationale(sample, "evidence") if question.cot else None
        return self._turns(sample)[1], Message("assistant", render_answer(records, reasoning))


def make_api_outputs(
    settings: GenerateApiStage, samples_path: Path, split: str, out: Path, report: Path | None, store: Path
) -> None:
    """Write the table of outputs of a split, one row per sample, and a report of what it cost.

    An answer that the provider refused to give is an empty output. Raises GmnerError as asking a teacher does, and
    DataError where the provider refused so many that a score would say nothing of the model.
    """
    teaching = make_teaching(settings, samples_path)
    teacher = settings.teacher
    totals: dict[str, Any] = {"samples": 0, "refused": 0, "tokens_in": 0, "tokens_out": 0, "cost_usd": None}

    def rows(answers: AnswerStore) -> Iterator[dict[str, Any]]:
        for sample in iterate_samples(samples_path, split):
            answer = answers.get(teaching.first(sample).key)
            if answer is None:
                raise DataError(f"sample {sample.sample_id}: no answer in the store; run the stage again")
            _count(totals, answer)
            yield {
                "sample_id": sample.sample_id,
                "output": "" if answer.finish_reason == "refused" else answer.text,
                "prompt_tokens": answer.usage.tokens_in,
                "output_tokens": answer.usage.tokens_out,
                "finish_reason": "length" if answer.finish_reason == "length" else "stop",
            }
        _check_answered(settings, totals)  # within the writing, so that there is no table

    with asked(teacher, teaching, lambda: iterate_samples(samples_path, split), store, settings.name) as answers:
        write_row_stream(out, rows(answers), OUTPUTS)
    if report:
        version = {"prompt_version": teaching.prompt_version, "shots": settings.shots}
        write_json(report, {"provider": teacher.provider, "model": teacher.model, **version, **totals})


def plan_api_outputs(settings: GenerateApiStage, samples_path: Path, split: str, store: Path) -> list[str]:
    """Return what `make_api_outputs` would ask and what that would cost, in words; nothing is asked."""
    teaching = make_teaching(settings, samples_path)
    folder = store_folder(store, settings.teacher.provider, settings.teacher.model)
    with contextlib.closing(read_store(folder)) as answers:
        return make_plan(settings.teacher, teaching, iterate_samples(samples_path, split), answers).lines()


def make_teaching(settings: GenerateApiStage, samples_path: Path) -> ApiTeaching:
    """Return the way of asking, with its examples. Raises DataError if there are too few to draw from."""
    return ApiTeaching(settings, _draw(samples_path, settings.shots, settings.shots_seed) if settings.shots else [])


def _draw(samples_path: Path, count: int, seed: int) -> list[Sample]:
    """Draw training samples with entities, the same ones whatever the order of the table."""

    def order(sample: Sample) -> str:
        return hashlib.sha256(f"{seed} {sample.sample_id}".encode()).hexdigest()

    drawn = sorted((sample for sample in iterate_samples(samples_path, "train") if sample.entities), key=order)
    if len(drawn) < count:
        raise DataError(f"{samples_path}: {count} examples are wanted, but {len(drawn)} training samples have entities")
    return drawn[:count]


def _check_answered(settings: GenerateApiStage, totals: dict[str, Any]) -> None:
    answered, least = totals["samples"] - totals["refused"], settings.teacher.least_accepted
    if answered < least * totals["samples"]:
        raise DataError(
            f"{settings.name}: the provider refused {totals['refused']} of {totals['samples']} questions, expected an "
            f"answer to at least {least:.0%} (the teacher's least_accepted); see `gmner teacher status` for its words, "
            "ask again with `gmner teacher retry`, or lower least_accepted to score them as empty"
        )


def _count(totals: dict[str, Any], answer: Answer) -> None:
    totals["samples"] += 1
    totals["refused"] += answer.finish_reason == "refused"
    totals["tokens_in"] += answer.usage.tokens_in
    totals["tokens_out"] += answer.usage.tokens_out
    if answer.cost_usd is not None:
        totals["cost_usd"] = (totals["cost_usd"] or 0.0) + answer.cost_usd
