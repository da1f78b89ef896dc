"""Asking many questions together: the same one from many samples, stopping, and servers that ask to wait for long."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gmner.config.teachers import Budget, Limits
from gmner.core.records import Sample
from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore
from gmner.llm_client.ask import Asker, ask_all, run_until_done
from gmner.llm_client.ask_in_batches import BatchAsker
from gmner.llm_client.types import Answer, BatchResults, BatchState, PassingError, RejectedError, Request, Usage
from tests.helpers.teacher_samples import OneQuestion, make_sample

ANSWER = Answer("because", usage=Usage(10, 10))


class Scripted:
    """A provider that answers by a function of the number of the call."""

    def __init__(self, play: Callable[[int], Answer]) -> None:
        self.calls, self._play = 0, play

    async def answer(self, request: Request) -> Answer:
        self.calls += 1
        number = self.calls
        await asyncio.sleep(0.02)
        return self._play(number)

    async def close(self) -> None:
        pass


def asker_of(folder: Path, provider: Scripted, **limits: float) -> Asker:
    settings = Limits.model_validate({"attempts": 1, "start_in_flight": 8, "max_in_flight": 8, **limits})
    return Asker(provider, AnswerStore(folder), Budget(), settings, None, 10)


def fail(text: str, **more: float) -> Answer:
    raise PassingError(text, maybe_paid=False, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_same_question_is_in_flight_once_although_it_fails(tmp_path: Path, count: int) -> None:
    provider = Scripted(lambda number: fail("busy") if number == 1 else ANSWER)
    asker = asker_of(tmp_path, provider)
    gave_up = asyncio.run(ask_all(asker, OneQuestion(), [make_sample(1)] * count, lambda sample: None))
    paid = asker.store.spending().paid
    assert (gave_up, provider.calls, paid.requests, paid.tokens) == (1, 2, 1, 20)


def test_a_rejected_question_is_not_asked_for_each_of_its_samples(tmp_path: Path) -> None:
    def play(number: int) -> Answer:
        raise RejectedError("400: no")

    provider = Scripted(play)
    asker = asker_of(tmp_path, provider, attempts=5)
    assert asyncio.run(ask_all(asker, OneQuestion(), [make_sample(1)] * 4, lambda sample: None)) == 4
    assert provider.calls == 1 and "about sample 'train/1' (400: no)" in asker.last_failure


@pytest.mark.parametrize("slow_down", [True, False])
def test_a_signal_ends_the_waiting_that_a_server_asked_for(tmp_path: Path, slow_down: bool) -> None:
    asker = asker_of(tmp_path, Scripted(lambda n: fail("429", wait_s=60.0, slow_down=slow_down)), attempts=8)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    started = time.monotonic()
    samples = [make_sample(number) for number in range(20)]
    with pytest.raises(KeyboardInterrupt):
        run_until_done(ask_all(asker, OneQuestion(), samples, lambda sample: None), asker.stop)
    assert 0.2 < time.monotonic() - started < 10


def test_a_server_that_asks_to_wait_for_longer_than_allowed_is_an_error(tmp_path: Path) -> None:
    provider = Scripted(lambda number: fail("429", wait_s=86_400.0, slow_down=True))
    asker = asker_of(tmp_path, provider, attempts=8)
    samples = [make_sample(number) for number in range(20)]
    with pytest.raises(GmnerError, match=r"asks to wait 86400 s, longer than limits.longest_asked_wait_s \(900\)"):
        asyncio.run(ask_all(asker, OneQuestion(), samples, lambda sample: None))
    assert provider.calls <= 8


class LaggingBatches:
    """A provider whose first batch is created although its answer is lost; its list shows it after some looks."""

    most_batch_bytes = 10**8

    def __init__(self, looks: int) -> None:
        self.made: dict[str, tuple[str, list[str]]] = {}  # id: tag and keys
        self.created = self.looked = 0
        self._looks = looks

    async def batch_line(self, request: Request) -> dict[str, str]:
        return {"custom_id": request.key}

    async def submit_batch(self, tag: str, lines: list[dict[str, str]]) -> str:
        self.created += 1
        self.made[f"b{self.created}"] = tag, [line["custom_id"] for line in lines]
        if self.created == 1:
            raise PassingError("the connection broke", maybe_paid=True)
        return f"b{self.created}"

    async def find_batch(self, tag: str, planned_at: float, count: int) -> str | None:
        self.looked += 1
        if self.looked < self._looks:
            return None
        return next((name for name, (marked, _) in self.made.items() if marked == tag), None)

    async def batch_state(self, batch_id: str) -> BatchState:
        return BatchState(True)

    async def batch_results(self, batch_id: str) -> BatchResults:
        return BatchResults([(key, ANSWER) for key in self.made[batch_id][1]])


def ask_in_batches(folder: Path, provider: LaggingBatches, samples: list[Sample]) -> AnswerStore:
    store, limits = AnswerStore(folder), Limits(first_wait_s=0.01)
    asker = BatchAsker(provider, store, Budget(), limits, None, 10, 0.01, 100)  # type: ignore[arg-type]
    assert asyncio.run(asker.ask_all(OneQuestion(), lambda: samples, lambda sample: None)) == 0
    return store


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_a_batch_that_the_provider_s_list_shows_late_is_not_made_twice(tmp_path: Path, looks: int) -> None:
    provider = LaggingBatches(looks)
    store = ask_in_batches(tmp_path, provider, [make_sample(number) for number in range(3)])
    assert provider.created == 1 and store.committed().requests == 3


def test_a_batch_that_is_never_found_may_have_been_paid(tmp_path: Path) -> None:
    provider = LaggingBatches(10**9)
    store = ask_in_batches(tmp_path, provider, [make_sample(number) for number in range(3)])
    first, second = (tag for tag, _ in provider.made.values())
    assert provider.created == 2 and first != second
    spending = store.spending()
    assert (spending.paid.requests, spending.unknown.requests) == (3, 3)
    assert AnswerStore(tmp_path).spending() == spending
