"""From a teacher's settings to answers in the store: what will be asked, what it will cost, and the asking."""

import contextlib
import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.config.teachers import AnthropicTeacher, Limits, LocalTeacher, OpenAITeacher, PromptedTeacher
from gmner.core.records import Sample
from gmner.errors import GmnerError
from gmner.generation.shares import Shard
from gmner.llm_client.answer_store import AnswerStore, lock_of, store_folder
from gmner.llm_client.ask import Asker, ask_all, run_until_done
from gmner.llm_client.ask_in_batches import BatchAsker
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.errors import read_secret
from gmner.llm_client.ledger import Ledger
from gmner.llm_client.parts import part_folder, take_in_parts, take_known
from gmner.llm_client.pricing import NOTHING, Amount, expected_of, most_of
from gmner.llm_client.types import Provider
from gmner.runtime.progress import Progress

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will ask: samples in all, those that still need answers, and what the next question of each costs."""

    samples: int
    unanswered: int
    expected: Amount
    most: Amount

    def lines(self) -> list[str]:
        """Return the plan in words."""
        answered = f"{self.samples} samples, {self.samples - self.unanswered} of them answered in the store"
        if not self.unanswered:
            return [answered, "nothing to ask"]
        return [
            answered,
            f"requests: {self.unanswered}, and one more for each answer that is refused",
            f"tokens: about {self.expected.tokens}, at most {self.most.tokens}",
            "dollars: "
            + (
                "no price is configured"
                if self.expected.usd is None or self.most.usd is None
                else f"about {self.expected.usd:.2f}, at most {self.most.usd:.2f}"
            ),
        ]


def make_provider(teacher: PromptedTeacher) -> Provider:
    """Return the provider of a teacher; its SDK is imported now and not before."""
    names = {
        "openai": ("openai", "OpenAIProvider"),
        "anthropic": ("anthropic", "AnthropicProvider"),
        "local": ("local", "LocalProvider"),
    }
    for noisy in ("httpx", "httpx2", "openai", "anthropic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    module_name, class_name = names[teacher.provider]
    provider_class: Any = getattr(importlib.import_module(f"gmner.llm_client.providers.{module_name}"), class_name)
    if isinstance(teacher, LocalTeacher):
        return provider_class(teacher)
    needed = teacher.base_url is None or isinstance(teacher, AnthropicTeacher)
    return provider_class(teacher, read_secret(teacher.key_variable, needed=needed))


def make_plan(teacher: PromptedTeacher, teaching: Teaching, samples: Iterable[Sample], store: AnswerStore) -> Plan:
    """Walk all samples and count what the store does not have."""
    count, unanswered = 0, 0
    expected, most = NOTHING, NOTHING
    price, batch = _price_of(teacher), _is_batch(teacher)
    for sample in samples:
        count += 1
        step = resolve(teaching, sample, lambda request: store.get(request.key))
        if not isinstance(step, Outcome):
            unanswered += 1
            expected += expected_of(step.messages, teacher.max_tokens, price, batch=batch)
            most += most_of(step.messages, teacher.max_tokens, price, batch=batch)
    return Plan(count, unanswered, expected, most)


@contextlib.contextmanager
def asked(
    teacher: PromptedTeacher, teaching: Teaching, samples: Callable[[], Iterable[Sample]], root: Path, name: str
) -> Iterator[AnswerStore]:
    """Ask until the store has what every sample needs, then yield the store.

    The store's folder is held alone until the end. Raises GmnerError where the teacher cannot go on (a wrong key, a
    spent budget), and where some samples have no answer after all attempts; what was answered stays.
    """
    folder = store_folder(root, teacher.provider, teacher.model)
    with lock_of(folder):
        if taken := take_in_parts(folder):
            LOGGER.info("%s: %d answers of parts taken into the store", name, taken)
        store, ledger = AnswerStore(folder), Ledger(folder, teacher.budget)
        try:
            plan = make_plan(teacher, teaching, samples(), store)
            for line in plan.lines():
                LOGGER.info("%s: %s", name, line)
            if plan.unanswered:
                _ask(teacher, teaching, samples, store, ledger, plan, name)
            store.compact()  # a run that was killed behind its last answer did not come to it
            yield store
        finally:
            ledger.close()
            store.close()


def ask_part(
    teacher: PromptedTeacher,
    teaching: Teaching,
    samples: Callable[[], Iterable[Sample]],
    root: Path,
    name: str,
    shard: Shard,
) -> int:
    """Ask a shard's questions that nobody has answered, into a store of the shard's own; return how many samples.

    Raises GmnerError as `asked` does; the next call of `asked` takes the answers into the main store.
    """
    folder = store_folder(root, teacher.provider, teacher.model)
    part = part_folder(folder, shard)
    with lock_of(part):
        store, ledger = AnswerStore(part), Ledger(part, teacher.budget)
        try:
            left = take_known(teaching, shard.passing(samples()), store, folder)
            plan = make_plan(teacher, teaching, left, store)
            for line in plan.lines():
                LOGGER.info("%s, %s: %s", name, shard, line)
            if plan.unanswered:
                _ask(teacher, teaching, lambda: left, store, ledger, plan, name)
            return len(left)
        finally:
            ledger.close()
            store.close()


def _ask(
    teacher: PromptedTeacher,
    teaching: Teaching,
    samples: Callable[[], Iterable[Sample]],
    store: AnswerStore,
    ledger: Ledger,
    plan: Plan,
    name: str,
) -> None:
    progress = Progress(name, plan.samples, "samples")

    def on_done(sample: Sample) -> None:
        progress.advance(note=f"${ledger.sums.paid.usd:.4f} paid" if ledger.sums.paid.usd else "")

    provider = make_provider(teacher)
    asker = _make_asker(teacher, provider, store, ledger)

    async def ask_and_close() -> int:
        try:
            if isinstance(asker, BatchAsker):
                return await asker.ask_all(teaching, samples, on_done)
            return await ask_all(asker, teaching, samples(), on_done)
        finally:
            await provider.close()

    gave_up = run_until_done(ask_and_close(), asker.stop)
    progress.finish()
    store.compact()
    if gave_up:
        raise GmnerError(
            f"{gave_up} of {plan.samples} samples have no answer after {asker.limits.attempts} attempts each; the last "
            f"failure was: {asker.last_failure}; run again to go on, nothing that was answered is lost"
        )


def _make_asker(teacher: PromptedTeacher, provider: Provider, store: AnswerStore, ledger: Ledger) -> Asker | BatchAsker:
    limits, price = limits_of(teacher), _price_of(teacher)
    if isinstance(teacher, LocalTeacher) or teacher.mode == "sync":
        return Asker(provider, store, ledger, limits, price, teacher.max_tokens)
    in_batches: Any = provider  # both remote providers have the batch interface
    poll_s, most = teacher.batch_poll_s, teacher.batch_requests
    return BatchAsker(in_batches, store, ledger, limits, price, teacher.max_tokens, poll_s, most)


def limits_of(teacher: PromptedTeacher) -> Limits:
    """Return a teacher's limits; a model in this process works on one batch and has the next one waiting."""
    if isinstance(teacher, LocalTeacher):
        in_flight = 2 * teacher.batch_size
        return Limits(start_in_flight=in_flight, max_in_flight=in_flight, timeout_s=3600.0, attempts=1)
    return teacher.limits


def _price_of(teacher: PromptedTeacher) -> Any:
    return teacher.price if isinstance(teacher, OpenAITeacher | AnthropicTeacher) else None


def _is_batch(teacher: PromptedTeacher) -> bool:
    return isinstance(teacher, OpenAITeacher | AnthropicTeacher) and teacher.mode == "batch"
