"""Asking through a provider's batch interface: half the price, and no batch is paid twice after a crash.

A batch is written down before it is submitted, with a tag that the provider keeps. After a crash, one that is
planned but has no id is looked for by its tag; only when the provider does not have it is it given up.

Whatever comes back, a question that was submitted keeps its bound until a believable price replaces it: what expired,
was cancelled or cannot be read may have been charged. So asking it again in another batch cannot pass the budget.
"""

import asyncio
import functools
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from gmner.config.teachers import Budget, Limits, Price
from gmner.core.records import Sample
from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore, OpenBatch, Reservation, StoredAnswer
from gmner.llm_client.ask import (
    FIRST_REJECTED,
    BudgetSpentError,
    Failures,
    all_rejected_text,
    checked_wait,
    note_doubt,
    pause,
    priced,
    rejected_text,
    spent_text,
)
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.pricing import Amount, most_of
from gmner.llm_client.types import BatchFailure, BatchProvider, BatchResults, PassingError, Request

LOGGER = logging.getLogger(__name__)
_KEY_LETTERS = 48  # providers allow 64 letters for a question's id, and a tag may stand before it
_LOOKS = 3  # for a batch that may have been created: a provider's list may lag behind
_READINGS = 3  # of results that seem to be cut; then what can be read is taken


class BatchAsker:
    """Asks a provider in batches and keeps its answers."""

    def __init__(
        self,
        provider: BatchProvider,
        store: AnswerStore,
        budget: Budget,
        limits: Limits,
        price: Price | None,
        max_tokens: int,
        poll_s: float,
        most_requests: int,
    ) -> None:
        self.store, self.limits = store, limits
        self._provider, self._budget, self._price, self._max_tokens = provider, budget, price, max_tokens
        self._poll_s, self._most_requests = poll_s, most_requests
        self._failures: Counter[str] = Counter()
        self._silence = Failures()
        self._answered = self._lost = False
        self._rejected = 0  # of the batch that was read last
        self._submitted: set[str] = set()  # tags of this run
        self._rejected_texts: dict[str, str] = {}
        self._wrong_setting: str | None = None
        self._halt = asyncio.Event()
        self.stopped: BaseException | None = None
        self.last_failure = ""
        self.doubts: Counter[str] = Counter()

    def stop(self, reason: BaseException) -> None:
        """Submit nothing more; what is submitted is found again by the next run."""
        self.stopped = self.stopped or reason
        self._halt.set()

    async def ask_all(
        self, teaching: Teaching, samples: Callable[[], Iterable[Sample]], on_done: Callable[[Sample], None]
    ) -> int:
        """Ask until every sample's chain of questions has its outcome; return how many have none.

        `samples` is called once a round: an answer that is refused is asked again in the next batch.
        """
        done: set[bytes] = set()
        await self._settle()
        while True:
            self._lost = False
            gave_up = await self._submit_round(teaching, samples(), done, on_done)
            if self._lost:
                continue
            if not self.store.open_batches():
                return gave_up
            await self._wait_for_one()

    async def _submit_round(
        self, teaching: Teaching, samples: Iterable[Sample], done: set[bytes], on_done: Callable[[Sample], None]
    ) -> int:
        """Submit every question that has no answer and is in no batch; return how many samples gave up."""
        open_keys = {key for batch in self.store.open_batches() for key in batch.bounds}
        lines: dict[str, tuple[Request, Mapping[str, Any], int]] = {}
        gave_up, size = 0, 0
        for sample in samples:
            self._check_stopped()
            await asyncio.sleep(0)
            step = resolve(teaching, sample, lambda request: self.store.get(request.key))
            if isinstance(step, Outcome):
                number = sample.sample_id.encode()
                if number not in done:
                    done.add(number)
                    on_done(sample)
                continue
            if self._failures[step.key] >= self.limits.attempts:
                gave_up += 1
                if step.key in self._rejected_texts:
                    self.last_failure = rejected_text(self._rejected_texts[step.key], sample.sample_id)
                continue
            if step.key in open_keys:
                continue
            line = await self._provider.batch_line(step)
            length = len(json.dumps(line))
            if lines and (size + length > self._provider.most_batch_bytes or len(lines) == self._most_requests):
                await self._submit(lines)
                lines, size = {}, 0
            lines[step.key] = (step, line, length)
            open_keys.add(step.key)
            size += length
        if lines:
            await self._submit(lines)
        return gave_up

    async def _submit(self, lines: dict[str, tuple[Request, Mapping[str, Any], int]]) -> None:
        """Submit as many of the questions as the budget has room for."""
        questions = [
            Reservation(request.key, most_of(request.messages, self._max_tokens, self._price, batch=True))
            for request, _, _ in lines.values()
        ]
        tag, planned_at = uuid.uuid4().hex, time.time()
        taken = self.store.plan_batch(tag, planned_at, questions, self._budget)
        if not taken:
            if self.store.open_batches():
                return  # the next round tries again, once a batch has come to its real cost
            raise BudgetSpentError(spent_text(self.store.committed(), self._budget))
        self._submitted.add(tag)
        bounds = {one.key: one.bound for one in questions[:taken]}
        await self._submit_planned(
            OpenBatch(tag, bounds, planned_at, None), [line for _, line, _ in list(lines.values())[:taken]]
        )

    async def _submit_planned(self, batch: OpenBatch, lines: list[Mapping[str, Any]]) -> None:
        for number in range(self.limits.attempts):
            try:
                batch_id = await self._provider.submit_batch(batch.tag, lines)
            except PassingError as error:
                self.last_failure = str(error)
                await self._back_off(number, error.wait_s)
                # It may have been created although no answer arrived: never create it twice.
                if error.slow_down:
                    continue
                found = await self._look_for(batch) if error.maybe_paid else await self._find(batch)
                if found is None and error.maybe_paid:
                    self._lose(batch)
                    return
                if found is None:
                    continue
                batch_id = found
            except GmnerError:
                self.store.close_batch(batch.tag)
                raise
            self.store.submitted(batch.tag, batch_id)
            LOGGER.info("batch %s submitted with %d questions", batch_id, len(lines))
            return
        self.store.close_batch(batch.tag)  # it says so itself, and its list does not have it
        raise GmnerError(
            f"the provider did not take a batch in {self.limits.attempts} attempts, the last one failed with: "
            f"{self.last_failure}; rerun: what was submitted is found again"
        )

    async def _settle(self) -> None:
        """Find the batches that an earlier run planned and perhaps submitted."""
        for batch in self.store.open_batches():
            if batch.batch_id is not None:
                continue
            found = await self._look_for(batch)
            if found is None:
                self._lose(batch)
            else:
                LOGGER.info("batch %s of an earlier run is found again", found)
                self.store.submitted(batch.tag, found)

    async def _look_for(self, batch: OpenBatch) -> str | None:
        """Look for a batch again and again, waiting longer each time; how long ago it was no clock says for certain."""
        for number in range(_LOOKS):
            if number:
                await self._pause(number * self._poll_s)
            if (found := await self._find(batch)) is not None:
                return found
        return None

    def _lose(self, batch: OpenBatch) -> None:
        """Give a batch up: its questions are asked in another one, and what it may have cost stays counted."""
        LOGGER.warning(
            "the provider does not have a batch of %d questions that was planned; what it may have cost counts as paid",
            len(batch.bounds),
        )
        self.store.close_batch(batch.tag, prices={})
        self._lost = True
        self._failures.update(batch.bounds.keys())

    async def _find(self, batch: OpenBatch) -> str | None:
        return await self._patiently(lambda: self._provider.find_batch(batch.tag, batch.planned_at, len(batch.bounds)))

    async def _wait_for_one(self) -> None:
        """Return once at least one open batch is collected."""
        while True:
            for batch in self.store.open_batches():
                self._check_stopped()
                batch_id = batch.batch_id
                assert batch_id is not None
                state = await self._patiently(functools.partial(self._provider.batch_state, batch_id))
                if state.failed is not None:
                    self.store.close_batch(batch.tag, prices=None if state.untouched else {})
                    raise GmnerError(f"the provider refuses batch {batch_id}: {state.failed}")
                if state.ended:
                    await self._collect(batch, batch_id)
                    return
            await self._pause(self._poll_s)

    async def _collect(self, batch: OpenBatch, batch_id: str) -> None:
        """Keep a batch's answers and what each question came to, in one transaction."""
        results = await self._read(batch_id)
        by_letters = {key[:_KEY_LETTERS]: key for key in batch.bounds}
        answers: dict[str, StoredAnswer] = {}
        prices: dict[str, Amount] = {}
        failed: dict[str, BatchFailure] = {}
        for name, result in results.lines:
            key = by_letters.get(name[:_KEY_LETTERS]) if name else None
            if isinstance(result, BatchFailure) and name is None:
                LOGGER.warning("batch %s: %s", batch_id, result.text)
                self.last_failure = result.text
            if key is None or key in answers:  # not ours, or told twice
                continue
            if isinstance(result, BatchFailure):
                failed[key] = result
                continue
            answers[key], price, doubt = priced(
                key, f"batch {batch.tag}", result, self._price, batch.bounds[key], self._max_tokens, batch=True
            )
            note_doubt(self.doubts, doubt)
            if price is not None:
                prices[key] = price
        failed = {key: one for key, one in failed.items() if key not in answers}
        missing = batch.bounds.keys() - answers.keys()
        self._failures.update(missing)
        self._rejected = 0
        if batch.tag in self._submitted:  # those of an earlier run may have been asked with other settings
            self._note_failures(failed)
        self._answered = self._answered or bool(answers)
        all_rejected = not self._answered and FIRST_REJECTED <= len(batch.bounds) == self._rejected
        # No question of it was taken, and the run stops: nothing was charged.
        free = not answers and self._rejected == len(batch.bounds) and (all_rejected or bool(self._wrong_setting))
        await asyncio.to_thread(self.store.close_batch, batch.tag, list(answers.values()), None if free else prices)
        LOGGER.info("batch %s: %d answers to %d questions", batch_id, len(answers), len(batch.bounds))
        if self._wrong_setting is not None:
            raise GmnerError(self._wrong_setting)
        if all_rejected:
            raise GmnerError(all_rejected_text(self._rejected, self.last_failure))

    async def _read(self, batch_id: str) -> BatchResults:
        """Return a batch's results. If they seem to be cut they are read again, and then taken as they are."""
        for number in range(_READINGS):
            results: BatchResults = await self._patiently(functools.partial(self._provider.batch_results, batch_id))
            if results.whole:
                break
            if number + 1 < _READINGS:
                await self._back_off(number, None)
        else:
            LOGGER.warning(
                "batch %s: its results are cut or have lines that cannot be read; the others are kept", batch_id
            )
        return results

    def _note_failures(self, failed: Mapping[str, BatchFailure]) -> None:
        for key, one in failed.items():
            self.last_failure = one.text
            if one.stops:
                self._wrong_setting = one.text
                self._rejected += 1
            if one.rejected:
                self._rejected += 1
                self._rejected_texts[key] = one.text
                self._failures[key] = self.limits.attempts

    async def _patiently(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Await a call to the provider, again after a failure that may pass."""
        for number in range(self.limits.attempts):
            try:
                result = await call()
                self._silence.answered()
                return result
            except PassingError as error:
                self.last_failure = str(error)
                self._silence.add(error.kind, self._own_wait(number))
                await self._back_off(number, error.wait_s)
        raise GmnerError(
            f"the provider's batch interface failed {self.limits.attempts} times, the last time with: "
            f"{self.last_failure}; rerun: what was submitted is found again"
        )

    async def _back_off(self, number: int, wait_s: float | None) -> None:
        await self._pause(max(checked_wait(wait_s, self.limits), self._own_wait(number)))

    def _own_wait(self, number: int) -> float:
        return min(self.limits.longest_wait_s, self.limits.first_wait_s * 2**number)

    async def _pause(self, seconds: float) -> None:
        await pause(seconds, self._halt)
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self.stopped:
            raise self.stopped
