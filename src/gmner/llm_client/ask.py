"""Asking one question at a time, many of them together: durable, within the budget, at the server's pace."""

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from gmner.config.teachers import Budget, Limits, Price
from gmner.core.records import Sample
from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore, Ending, Reservation, StoredAnswer
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.concurrency import Gate
from gmner.llm_client.pricing import NOTHING, Amount, cost_of, doubt_of, most_of
from gmner.llm_client.types import Answer, PassingError, Provider, RejectedError, Request, Usage

LOGGER = logging.getLogger(__name__)
_FAILURES_IN_A_ROW = 100
FIRST_REJECTED = 5  # so many questions rejected and none answered: it is a setting, not the questions
_SECONDS_BETWEEN_WARNINGS = 5.0
_BEGUN_TOGETHER = 16  # questions written down in one transaction, or as many as are needed to keep up
_SMOOTHING = 0.1  # of the measured times


_Waiting = tuple[Reservation | Ending, asyncio.Future[int | None]]


class BudgetSpentError(GmnerError):
    """Nothing may be sent any more."""


class GaveUpError(Exception):
    """One question has no answer after all attempts; others may have."""


class StoppedError(Exception):
    """Asking has stopped for all."""


class Committer:
    """Writes beginnings and ends of attempts in groups: one transaction serves all that wait for it."""

    def __init__(self, store: AnswerStore, budget: Budget) -> None:
        self._store, self._budget = store, budget
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None
        self.seconds = 0.0  # of one transaction, smoothed
        self.most_begun = _BEGUN_TOGETHER

    async def write(self, one: Reservation | Ending) -> int | None:
        """Return once it is on the disk: an attempt's id, or None if the budget has no room for it."""
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(future)

    async def _run(self) -> None:
        while self._waiting:
            group = self._next_group()
            started = time.monotonic()
            try:
                given = await asyncio.to_thread(self._store.write, [one for one, _ in group], self._budget)
            except Exception as error:  # every one that waits must hear of it
                for _, future in group:
                    if not future.done():
                        future.set_exception(error)
                continue
            self.seconds = smoothed(self.seconds, time.monotonic() - started)
            for (_, future), result in zip(group, given, strict=True):
                if not future.done():
                    future.set_result(result)

    def _next_group(self) -> "list[_Waiting]":
        """Take all ends, and a few beginnings.

        If all places began together, their answers would come together too and find no other beginning written down:
        a few at a time spread them out.
        """
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        begun = 0
        for one in self._waiting:
            begun += isinstance(one[0], Reservation)
            (left if isinstance(one[0], Reservation) and begun > self.most_begun else group).append(one)
        self._waiting = left
        return group


class Failures:
    """Counts failures since the last answer, and says so: the first at once, then every few seconds."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._answered_at: float | None = None
        self._said_at = 0.0

    @property
    def count(self) -> int:
        """How many in a row."""
        return self._kinds.total()

    def answered(self) -> None:
        """Begin to count again."""
        self._kinds.clear()
        self._answered_at = time.monotonic()

    def add(self, kind: str, next_try_s: float) -> None:
        """Count one, and say how many there are and when the next question goes out."""
        self._kinds[kind] += 1
        now = time.monotonic()
        silent_s = 0.0 if self._answered_at is None else now - self._answered_at
        if now - self._said_at < _SECONDS_BETWEEN_WARNINGS or (self._answered_at is not None and silent_s < 2.0):
            return
        self._said_at = now
        since = "no answer yet" if self._answered_at is None else f"no answer for {silent_s:.0f} s"
        kinds = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in self._kinds.most_common())
        LOGGER.warning("%s; %s; next try in %s", since, kinds, _seconds(next_try_s))


class Asker:
    """Asks a provider and keeps its answers. `max_tokens` bounds all that the model writes, its thinking included."""

    def __init__(
        self,
        provider: Provider,
        store: AnswerStore,
        budget: Budget,
        limits: Limits,
        price: Price | None,
        max_tokens: int,
    ) -> None:
        self.store, self.limits = store, limits
        self._provider, self._budget, self._price, self._max_tokens = provider, budget, price, max_tokens
        self._committer = Committer(store, budget)
        self._gate = Gate(limits.start_in_flight, limits.max_in_flight)
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._room = asyncio.Event()
        self._reserved = 0
        self._jitter = random.SystemRandom()
        self._failures = Failures()
        self._answered = False
        self._answer_s = 0.0  # from sending to the answer, smoothed
        self._rejected: set[str] = set()
        self._halt = asyncio.Event()
        self.stopped: BaseException | None = None
        self.last_failure = ""
        self.doubts: Counter[str] = Counter()

    def stop(self, reason: BaseException) -> None:
        """Send nothing more; what is in flight may still arrive."""
        self.stopped = self.stopped or reason
        self._room.set()
        self._halt.set()
        self._gate.open()

    async def ask(self, request: Request) -> None:
        """Return once the store has an answer. The same question asked twice at once is sent once.

        Raises GaveUpError if all attempts failed and StoppedError if asking has stopped.
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
                await self._failed(error, number)
            else:
                self._failures.answered()
                self._answered = True
                self._gate.went_well()
                return
        raise GaveUpError(f"no answer after {self.limits.attempts} attempts")

    async def _attempt(self, request: Request) -> None:
        bound = most_of(request.messages, self._max_tokens, self._price, batch=False)
        attempt: int | None = None
        actual: Amount | None = NOTHING
        stored: StoredAnswer | None = None
        try:
            async with self._gate.admitting():  # only now: what is written down as sent is really about to be sent
                attempt = await self._reserve(request.key, bound)
                async with self._gate.passing():
                    if self.stopped:
                        raise StoppedError
                    actual = None
                    answer = await self._answer(request)
            stored, actual = self._priced(request, answer, bound)
        except PassingError as error:
            actual = None if error.maybe_paid else NOTHING
            raise
        except (GmnerError, RejectedError):
            actual = NOTHING
            raise
        finally:
            if attempt is not None:
                await asyncio.shield(self._end(Ending(attempt, actual, stored)))

    async def _end(self, ending: Ending) -> None:
        try:
            await self._committer.write(ending)
        finally:
            self._reserved -= 1
            self._room.set()

    async def _answer(self, request: Request) -> Answer:
        sent_at = time.monotonic()
        try:
            async with asyncio.timeout(self.limits.timeout_s):
                answer = await self._provider.answer(request)
            self._answer_s = smoothed(self._answer_s, time.monotonic() - sent_at)
            # As many as arrive while one group is written may be written ahead; with slow answers that is none.
            arriving = self._gate.limit * self._committer.seconds / max(self._answer_s, 1e-3)
            self._gate.ahead = int(min(1.5 * arriving, self._gate.limit / 4))
            self._committer.most_begun = max(_BEGUN_TOGETHER, int(2 * arriving))
            return answer
        except TimeoutError:
            raise PassingError(f"no answer in {self.limits.timeout_s:g} s", maybe_paid=True, kind="timeout") from None
        except PassingError as error:
            if error.slow_down:
                self._gate.slow_down(sent_at, min(error.wait_s or 0.0, self.limits.longest_asked_wait_s))
            raise
        except GmnerError as error:
            self.stop(error)  # while this place is still held, so that nobody takes it
            raise

    async def _reserve(self, key: str, bound: Amount) -> int:
        while True:
            if self.stopped:
                raise StoppedError
            self._room.clear()
            self._reserved += 1
            try:
                attempt = await self._committer.write(Reservation(key, bound))
            except BaseException:
                self._reserved -= 1
                raise
            if attempt is not None:
                return attempt
            self._reserved -= 1
            if not self._reserved:
                self._room.set()  # others that wait must hear of it too
                raise BudgetSpentError(spent_text(self.store.committed(), self._budget))
            await self._room.wait()  # what is in flight may cost less than its bound

    def _priced(self, request: Request, answer: Answer, bound: Amount) -> tuple[StoredAnswer, Amount | None]:
        """Return an answer with its cost; without a believable usage its bound stays, and stands for the cost."""
        stored, actual, doubt = priced(
            request.key, request.sample.sample_id, answer, self._price, bound, self._max_tokens, batch=False
        )
        note_doubt(self.doubts, doubt)
        return stored, actual

    def _reject(self, request: Request, error: RejectedError) -> None:
        self._rejected.add(request.key)
        self.last_failure = rejected_text(error, request.sample.sample_id)
        if not self._answered and len(self._rejected) >= FIRST_REJECTED:
            raise GmnerError(all_rejected_text(len(self._rejected), str(error)))

    async def _failed(self, error: PassingError, number: int) -> None:
        """Wait before the next attempt; stop everything after very many failures in a row."""
        self.last_failure = str(error)
        LOGGER.debug("attempt failed: %s", error)
        most = min(self.limits.longest_wait_s, self.limits.first_wait_s * 2**number)
        wait_s = max(checked_wait(error.wait_s, self.limits), self._jitter.uniform(0.5, 1.0) * most)
        self._failures.add(error.kind, max(wait_s, self._gate.held_back_s))
        if self._failures.count >= max(_FAILURES_IN_A_ROW, 3 * self.limits.max_in_flight):
            raise GmnerError(
                f"{self._failures.count} requests in a row failed, the last one with: {error}; look at the "
                "endpoint, then rerun: nothing that was answered is lost"
            )
        if number + 1 < self.limits.attempts:
            await pause(wait_s, self._halt)


async def pause(seconds: float, halt: asyncio.Event) -> None:
    """Wait, but not beyond the moment when asking stops."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(halt.wait(), seconds)


def checked_wait(wait_s: float | None, limits: Limits) -> float:
    """Return the seconds that a server asks to wait. Raises GmnerError if they are more than the limit."""
    if wait_s is not None and wait_s > limits.longest_asked_wait_s:
        raise GmnerError(
            f"the provider asks to wait {wait_s:g} s, longer than limits.longest_asked_wait_s "
            f"({limits.longest_asked_wait_s:g}); rerun by then, or raise that limit; nothing that was answered is "
            "lost"
        )
    return wait_s or 0.0


def rejected_text(error: object, sample_id: str) -> str:
    """Say that one question is rejected, and what to do about its sample."""
    return (
        f"the provider rejects the question about sample '{sample_id}' ({error}); fix or leave out the sample, or "
        "give it a rationale by `gmner teacher import`"
    )


def all_rejected_text(count: int, text: str) -> str:
    """Say that the first questions were all rejected."""
    return (
        f"the provider rejected the first {count} questions and answered none, so that a setting is wrong and not a "
        f"question; look at the teacher's model, max_tokens, temperature and image; it said: {text}"
    )


def priced(
    key: str, sample_id: str, answer: Answer, price: Price | None, bound: Amount, max_tokens: int, *, batch: bool
) -> tuple[StoredAnswer, Amount | None, str | None]:
    """Return an answer to keep, its believable price (None: its bound stays), and why it is not believable.

    A refusal that came as an error, without any usage, was no work for the provider and costs nothing outside of a
    batch.
    """
    cost = cost_of(answer.usage, price, batch=batch)
    doubt = doubt_of(answer.usage, cost, bound, max_tokens)
    if doubt is None:
        stored = Answer(answer.text, answer.finish_reason, answer.usage, cost, answer.raw)
        return StoredAnswer(key, sample_id, stored), Amount(cost, answer.usage.tokens), None
    free = not batch and answer.finish_reason == "refused" and "error" in answer.raw and "choices" not in answer.raw
    stored = Answer(answer.text, answer.finish_reason, Usage(), 0.0 if free and price else bound.usd, answer.raw)
    return StoredAnswer(key, sample_id, stored), NOTHING if free else None, None if free else doubt


def note_doubt(doubts: "Counter[str]", doubt: str | None) -> None:
    """Count a usage that is not believed; the first one is told."""
    if doubt is None:
        return
    if not doubts:
        LOGGER.warning(
            "the usage that came with an answer is not believable (%s); the answer is kept, and the most that it may "
            "cost stays counted",
            doubt,
        )
    doubts[doubt] += 1


def smoothed(before: float, seconds: float) -> float:
    """Return a running mean of times."""
    return before + _SMOOTHING * (seconds - before) if before else seconds


def spent_text(committed: Amount, budget: Budget) -> str:
    """Say how much of the budget is gone and what to do."""
    dollars = f"${committed.usd:.4f}, " if committed.usd else ""
    limits = ", ".join(
        text
        for text, limit in (
            (f"${budget.usd:.4f}" if budget.usd is not None else "", budget.usd),
            (f"{budget.tokens} tokens", budget.tokens),
            (f"{budget.requests} requests", budget.requests),
        )
        if limit is not None
    )
    return (
        f"the budget is spent: {dollars}{committed.tokens} tokens, {committed.requests} requests of {limits} are paid "
        "or may have to be paid, and another request may cost more than the rest; raise the teacher's budget and "
        "rerun: nothing that was answered is lost"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 2 else f"{seconds:.0f} s"


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
            else:
                on_done(sample)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for _ in range(2 * asker.limits.max_in_flight):  # those that wait to try again keep no place empty
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
