"""Asking one question at a time, many of them together: durable, within the budget, at the server's pace."""

import asyncio
import contextlib
import logging
import random
import signal
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from gmner.config.teachers import Limits, Price
from gmner.core.records import Sample
from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore, StoredAnswer
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.concurrency import Gate
from gmner.llm_client.ledger import BudgetSpentError, Ledger, ended_record, sent_record
from gmner.llm_client.pricing import NOTHING, Amount, cost_of, most_of
from gmner.llm_client.types import Answer, PassingError, Provider, RejectedError, Request

LOGGER = logging.getLogger(__name__)
_FAILURES_IN_A_ROW = 100
FIRST_REJECTED = 5  # so many questions rejected and none answered: it is a setting, not the questions


class GaveUpError(Exception):
    """One question has no answer after all attempts; others may have."""


class StoppedError(Exception):
    """Asking has stopped for all."""


class Committer:
    """Writes answers and ledger records in groups: one flush to the disk serves all that wait for it."""

    def __init__(self, store: AnswerStore, ledger: Ledger) -> None:
        self._store, self._ledger = store, ledger
        self._waiting: list[tuple[StoredAnswer | None, dict[str, Any], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def write(self, record: dict[str, Any], answer: StoredAnswer | None = None) -> None:
        """Return once the record, and the answer, are on the disk; the answer gets there first."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, record, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        await asyncio.shield(future)

    async def _run(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._commit, group)
            except Exception as problem:  # every one that waits must hear of it
                error = problem
                if isinstance(problem, OSError):
                    error = GmnerError(
                        f"{self._store.folder}: cannot be written ({problem}); make room, then run again"
                    )
                for _, _, future in group:
                    if not future.done():
                        future.set_exception(error)
            else:
                for _, _, future in group:
                    if not future.done():
                        future.set_result(None)

    def _commit(self, group: list[tuple[StoredAnswer | None, dict[str, Any], asyncio.Future[None]]]) -> None:
        self._store.add([answer for answer, _, _ in group if answer is not None])
        self._ledger.write([record for _, record, _ in group])


class Asker:
    """Asks a provider and keeps its answers."""

    def __init__(
        self,
        provider: Provider,
        store: AnswerStore,
        ledger: Ledger,
        limits: Limits,
        price: Price | None,
        max_tokens: int,
    ) -> None:
        self.store, self.ledger, self.limits = store, ledger, limits
        self._provider, self._price, self._max_tokens = provider, price, max_tokens
        self._committer = Committer(store, ledger)
        self._gate = Gate(limits.start_in_flight, limits.max_in_flight)
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._room = asyncio.Event()
        self._jitter = random.SystemRandom()
        self._failures_in_a_row = 0
        self._answered = False
        self._rejected: set[str] = set()
        self._halt = asyncio.Event()
        self.stopped: BaseException | None = None
        self.last_failure = ""

    def stop(self, reason: BaseException) -> None:
        """Send nothing more; what is in flight may still arrive."""
        self.stopped = self.stopped or reason
        self._room.set()
        self._halt.set()
        self._gate.open()

    async def ask(self, request: Request) -> None:
        """Return once the store has an answer. The same question asked twice at once is sent once.

        Raises GaveUpError where all attempts failed and StoppedError where asking has stopped.
        """
        while other := self._asking.get(request.key):
            await asyncio.shield(other)
        if request.key in self.store:
            return
        if request.key in self._rejected:
            raise GaveUpError("rejected before")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asking[request.key] = done
        try:
            await self._attempts(request)
        except GmnerError as error:
            self.stop(error)
            raise StoppedError from error
        finally:
            self._asking.pop(request.key, None)
            done.set_result(None)

    async def _attempts(self, request: Request) -> None:
        for number in range(self.limits.attempts):
            try:
                await self._attempt(request)
            except RejectedError as error:
                self._reject(request, error)
                raise GaveUpError(str(error)) from None
            except PassingError as error:
                self._failed(error)
                if number + 1 < self.limits.attempts:
                    await self._back_off(number, error.wait_s)
            else:
                self._failures_in_a_row = 0
                self._answered = True
                self._gate.went_well()
                return
        raise GaveUpError(f"no answer after {self.limits.attempts} attempts")

    async def _attempt(self, request: Request) -> None:
        attempt, bound = uuid.uuid4().hex, most_of(request.messages, self._max_tokens, self._price, batch=False)
        await self._reserve(attempt, bound)
        fate: Amount | None = NOTHING
        stored: StoredAnswer | None = None
        try:
            # Written down before it waits for its turn: the disk then never keeps a place in flight empty.
            await self._committer.write(sent_record(attempt, request.key, bound))
            async with self._gate.passing():
                if self.stopped:
                    raise StoppedError
                fate = None
                answer = await self._answer(request)
            stored, fate = self._priced(request, answer, bound)
        except PassingError as error:
            fate = None if error.maybe_paid else NOTHING
            raise
        except (GmnerError, RejectedError):
            fate = NOTHING
            raise
        finally:
            await asyncio.shield(self._committer.write(ended_record(attempt, fate), stored))
            self.ledger.release(attempt, fate)
            self._room.set()

    async def _answer(self, request: Request) -> Answer:
        sent_at = time.monotonic()
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                return await self._provider.answer(request)
        except TimeoutError:
            raise PassingError(f"no answer in {self.limits.timeout_s:g} s", maybe_paid=True) from None
        except PassingError as error:
            if error.slow_down:
                self._gate.slow_down(sent_at, min(error.wait_s or 0.0, self.limits.longest_asked_wait_s))
            raise
        except GmnerError as error:
            self.stop(error)  # while this place is still held, so that nobody takes it
            raise

    async def _reserve(self, attempt: str, bound: Amount) -> None:
        while True:
            if self.stopped:
                raise StoppedError
            self._room.clear()
            if self.ledger.reserve(attempt, bound):
                return
            if not self.ledger.waits:
                raise BudgetSpentError(self.ledger.spent_text())
            await self._room.wait()

    def _priced(self, request: Request, answer: Answer, bound: Amount) -> tuple[StoredAnswer, Amount]:
        """Return an answer with its cost; one without usage fields is taken to cost what it may at most."""
        cost = cost_of(answer.usage, self._price, batch=False)
        fate = Amount(cost, answer.usage.tokens)
        if not answer.usage.tokens:
            fate = NOTHING if answer.finish_reason == "refused" else bound
            cost = fate.usd if self._price else None
        return StoredAnswer(request.key, request.sample.sample_id, with_cost(answer, cost)), fate

    def _reject(self, request: Request, error: RejectedError) -> None:
        self._rejected.add(request.key)
        self.last_failure = rejected_text(error, request.sample.sample_id)
        if not self._answered and len(self._rejected) >= FIRST_REJECTED:
            raise GmnerError(all_rejected_text(len(self._rejected), str(error)))

    def _failed(self, error: PassingError) -> None:
        self.last_failure = str(error)
        self._failures_in_a_row += 1
        LOGGER.debug("attempt failed: %s", error)
        if self._failures_in_a_row >= max(_FAILURES_IN_A_ROW, 3 * self.limits.max_in_flight):
            raise GmnerError(
                f"{self._failures_in_a_row} requests in a row failed, the last one with: {error}; look at the "
                "endpoint, then run again: nothing that was answered is lost"
            )

    async def _back_off(self, number: int, wait_s: float | None) -> None:
        most = min(self.limits.longest_wait_s, self.limits.first_wait_s * 2**number)
        await pause(max(checked_wait(wait_s, self.limits), self._jitter.uniform(0.5, 1.0) * most), self._halt)


async def pause(seconds: float, halt: asyncio.Event) -> None:
    """Wait, but not beyond the moment when asking stops."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(halt.wait(), seconds)


def checked_wait(wait_s: float | None, limits: Limits) -> float:
    """Return the seconds that a server asks to wait. Raises GmnerError where they are more than the limit."""
    if wait_s is not None and wait_s > limits.longest_asked_wait_s:
        raise GmnerError(
            f"the provider asks to wait {wait_s:g} s, longer than limits.longest_asked_wait_s "
            f"({limits.longest_asked_wait_s:g}); run again by then, or raise that limit; nothing that was answered is "
            "lost"
        )
    return wait_s or 0.0


def rejected_text(error: object, sample_id: str) -> str:
    """Say that one question is rejected, and what to do about its sample."""
    return (
        f"the provider rejects the question about sample '{sample_id}' ({error}); mend or leave out the sample, or "
        "give it a rationale by `gmner teacher import`"
    )


def all_rejected_text(count: int, text: str) -> str:
    """Say that the first questions were all rejected."""
    return (
        f"the provider rejected the first {count} questions and answered none, so that a setting is wrong and not a "
        f"question; look at the teacher's model, max_tokens, temperature and image; it said: {text}"
    )


def with_cost(answer: Answer, cost: float | None) -> Answer:
    """Return the answer with its cost."""
    return Answer(answer.text, answer.finish_reason, answer.usage, cost, answer.raw)


async def ask_all(
    asker: Asker, teaching: Teaching, samples: Iterable[Sample], on_done: Callable[[Sample], None]
) -> int:
    """Ask until every sample's chain of questions has its outcome; return how many have none.

    Samples are taken one by one as workers are free, never all at once. Raises what stopped the asking, once
    the requests in flight have ended.
    """
    iterator, gave_up = iter(samples), 0

    def lookup(request: Request) -> Answer | None:
        return asker.store.get(request.key)

    async def worker() -> None:
        nonlocal gave_up
        for sample in iterator:
            if asker.stopped:
                return
            try:
                while not isinstance(step := resolve(teaching, sample, lookup), Outcome):
                    await asker.ask(step)
            except GaveUpError:
                gave_up += 1
            except StoppedError:
                return
            except GmnerError as error:  # of this sample: its image is missing, for instance
                asker.stop(error)
                return
            on_done(sample)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(asker.limits.max_in_flight + max(8, asker.limits.max_in_flight // 2)):
            group.create_task(worker())
    if asker.stopped:
        raise asker.stopped
    return gave_up


def run_until_done(main: Coroutine[Any, Any, int], stop: Callable[[BaseException], None]) -> int:
    """Run `main`; Ctrl-C and SIGTERM let what is in flight arrive, a second one does not wait for it."""

    async def guarded() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(main)
        signals = 0

        def on_signal() -> None:
            nonlocal signals
            signals += 1
            if signals > 1:
                task.cancel()
                return
            LOGGER.warning("stopping: waiting for the answers in flight; once more to stop at once")
            stop(KeyboardInterrupt())

        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, on_signal)
            except (ValueError, NotImplementedError, RuntimeError):  # not the main thread
                break
        return await task

    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        with contextlib.suppress(ValueError):  # a closed loop leaves the system's own handlers, which clean nothing up
            for number, handler in kept.items():
                signal.signal(number, handler)
