"""From a teacher's settings to answers in the store: what will be asked, what it will cost, and the asking."""

import contextlib
import datetime
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmner.config.teachers import Budget, PromptedTeacher
from gmner.core.records import Sample
from gmner.errors import ConfigError, GmnerError
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.ask import Asker, ask_all, run_until_done
from gmner.llm_client.ask_in_batches import BatchAsker
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.folders import lock_of, store_folder
from gmner.llm_client.pricing import NOTHING, Amount, expected_of, most_of
from gmner.llm_client.providers import make_provider
from gmner.llm_client.types import Provider
from gmner.runtime.progress import Progress

_WARNED_DAYS = 31  # before a model retires
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


def make_plan(teacher: PromptedTeacher, teaching: Teaching, samples: Iterable[Sample], store: AnswerStore) -> Plan:
    """Walk all samples and count what the store does not have."""
    count, unanswered = 0, 0
    expected, most = NOTHING, NOTHING
    price, batch, most_out = teacher.price_or_none, teacher.in_batches, teacher.written_at_most
    for sample in samples:
        count += 1
        step = resolve(teaching, sample, lambda request: store.get(request.key))
        if not isinstance(step, Outcome):
            unanswered += 1
            expected += expected_of(step.messages, most_out, price, batch=batch)
            most += most_of(step.messages, most_out, price, batch=batch)
    return Plan(count, unanswered, expected, most)


@contextlib.contextmanager
def asked(
    teacher: PromptedTeacher, teaching: Teaching, samples: Callable[[], Iterable[Sample]], root: Path, name: str
) -> Iterator[AnswerStore]:
    """Ask until the store has what every sample needs, then yield the store.

    The store's folder is held alone until the end. Raises GmnerError if the teacher cannot go on (a wrong key, a
    spent budget, a retired model), and if some samples have no answer after all attempts; what was answered stays.
    """
    folder = store_folder(root, teacher.provider, teacher.model)
    with lock_of(folder):
        store = AnswerStore(folder)
        try:
            for damage in store.damage:
                LOGGER.warning("%s: %s", store.path, damage)
            plan = make_plan(teacher, teaching, samples(), store)
            for line in plan.lines():
                LOGGER.info("%s: %s", name, line)
            try:
                if plan.unanswered:
                    check_retirement(teacher, name)
                    _ask(teacher, teaching, samples, store, plan, name)
            finally:
                store.export()
            yield store
        finally:
            store.close()


def check_retirement(teacher: PromptedTeacher, name: str, today: datetime.date | None = None) -> None:
    """Warn a month before a teacher's model retires; raise ConfigError once it has."""
    retires, today = teacher.retires, today or datetime.datetime.now(tz=datetime.UTC).date()
    if retires is None:
        return
    if today >= retires:
        raise ConfigError(
            f"teacher '{name}': its model '{teacher.model}' retired on {retires}, and some questions have no answer in "
            "the store; name its successor as a teacher of its own (another model's answers are another teacher's), "
            "or correct 'retires'"
        )
    if (retires - today).days <= _WARNED_DAYS:
        LOGGER.warning(
            "teacher '%s': its model '%s' retires on %s, in %d days; ask what you need by then, or name its successor",
            name, teacher.model, retires, (retires - today).days,
        )  # fmt: skip


def _ask(
    teacher: PromptedTeacher,
    teaching: Teaching,
    samples: Callable[[], Iterable[Sample]],
    store: AnswerStore,
    plan: Plan,
    name: str,
) -> None:
    progress = Progress(name, plan.samples, "samples")

    def on_done(sample: Sample) -> None:
        committed = store.committed().usd
        progress.advance(note=f"${committed:.4f} spent or reserved" if committed else "")

    provider = make_provider(teacher)
    asker = _make_asker(teacher, provider, store)

    async def ask_and_close() -> int:
        try:
            if isinstance(asker, BatchAsker):
                return await asker.ask_all(teaching, samples, on_done)
            return await ask_all(asker, teaching, samples(), on_done)
        finally:
            await provider.close()

    try:
        gave_up = run_until_done(ask_and_close(), asker.stop)
    finally:
        for doubt, count in asker.doubts.items():
            LOGGER.warning("%s: the usage of %d answers is not believable: %s", name, count, doubt)
    progress.finish()
    if gave_up:
        raise GmnerError(
            f"{gave_up} of {plan.samples} samples have no answer after {asker.limits.attempts} attempts each; the last "
            f"failure was: {asker.last_failure}; rerun to go on: nothing that was answered is lost"
        )


def _make_asker(teacher: PromptedTeacher, provider: Provider, store: AnswerStore) -> Asker | BatchAsker:
    limits, price, most_out = teacher.limits, teacher.price_or_none, teacher.written_at_most
    budget: Budget = teacher.budget
    if not teacher.in_batches:
        return Asker(provider, store, budget, limits, price, most_out)
    in_batches: Any = provider  # its settings have a mode, so that it has the batch interface and these settings of it
    settings: Any = teacher
    return BatchAsker(
        in_batches, store, budget, limits, price, most_out, settings.batch_poll_s, settings.batch_requests
    )
