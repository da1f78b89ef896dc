"""Asking through a provider's batch interface: half the price, and no batch is paid twice after a crash.

A batch is written down before it is submitted, with a tag that the provider keeps. After a crash, one that is
planned but has no id is looked for by its tag; only when the provider does not have it is it given up.
"""

import asyncio
import functools
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any

from gmner.config.teachers import Limits, Price
from gmner.core.records import Sample
from gmner.errors import GmnerError
from gmner.llm_client.answer_store import AnswerStore, StoredAnswer
from gmner.llm_client.ask import (
    FIRST_REJECTED,
    all_rejected_text,
    checked_wait,
    pause,
    rejected_text,
    with_cost,
)
from gmner.llm_client.chain import Outcome, Teaching, resolve
from gmner.llm_client.ledger import BudgetSpentError, Ledger, OpenBatch
from gmner.llm_client.pricing import NOTHING, Amount, cost_of, most_of
from gmner.llm_client.types import Answer, BatchFailure, BatchProvider, PassingError, Request

LOGGER = logging.getLogger(__name__)
_KEY_LETTERS = 48  # providers allow 64 letters for a question's id, and a tag may stand before it
_ANSWERS_AT_ONCE = 256
_LOOKS = 3  # for a batch that may have been created: a provider's list may lag behind


class BatchAsker:
    """Asks a provider in batches and keeps its answers."""

    def __init__(
        self,
        provider: BatchProvider,
        store: AnswerStore,
        ledger: Ledger,
        limits: Limits,
        price: Price | None,
        max_tokens: int,
        poll_s: float,
        most_requests: int,
    ) -> None:
        self.store, self.ledger, self.limits = store, ledger, limits
        self._provider, self._price, self._max_tokens = provider, price, max_tokens
        self._poll_s, self._most_requests = poll_s, most_requests
        self._failures: Counter[str] = Counter()
        self._answered = self._lost = False
        self._rejected = 0  # of the batch that was read last
        self._submitted: set[str] = set()  # tags of this run
        self._rejected_texts: dict[str, str] = {}
        self._wrong_setting: str | None = None
        self._halt = asyncio.Event()
        self.stopped: BaseException | None = None
        self.last_failure = ""

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
            if not self.ledger.open_batches:
                return gave_up
            await self._wait_for_one()

    async def _submit_round(
        self, teaching: Teaching, samples: Iterable[Sample], done: set[bytes], on_done: Callable[[Sample], None]
    ) -> int:
        """Submit every question that has no answer and is in no batch; return how many samples gave up."""
        open_keys = {key for batch in self.ledger.open_batches for key in batch.keys}
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
        taken, amount = [], NOTHING
        for request, line, _ in lines.values():
            more = amount + most_of(request.messages, self._max_tokens, self._price, batch=True)
            if not self.ledger.allows(more):
                break
            amount = more
            taken.append((request, line))
        if not taken:
            if self.ledger.open_batches:
                return  # the next round tries again, once a batch has come to its real cost
            raise BudgetSpentError(self.ledger.spent_text())
        keys = tuple(request.key for request, _ in taken)
        batch = OpenBatch(uuid.uuid4().hex, keys, amount, time.time())
        self.ledger.plan_batch(batch)
        self._submitted.add(batch.tag)
        await self._submit_planned(batch, [line for _, line in taken])

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
                self.ledger.collected(batch.tag, NOTHING)
                raise
            self.ledger.submitted(batch.tag, batch_id)
            LOGGER.info("batch %s submitted with %d questions", batch_id, len(lines))
            return
        self.ledger.collected(batch.tag, NOTHING)  # it says so itself, and its list does not have it
        raise GmnerError(
            f"the provider did not take a batch in {self.limits.attempts} attempts, the last one failed with: "
            f"{self.last_failure}; run again: what was submitted is found again"
        )

    async def _settle(self) -> None:
        """Find the batches that an earlier run planned and perhaps submitted."""
        for batch in self.ledger.open_batches:
            if batch.batch_id is not None:
                continue
            found = await self._look_for(batch)
            if found is None:
                self._lose(batch)
            else:
                LOGGER.info("batch %s of an earlier run is found again", found)
                self.ledger.submitted(batch.tag, found)

    async def _look_for(self, batch: OpenBatch) -> str | None:
        """Look for a batch again and again, waiting longer each time; how long ago it was no clock says for certain."""
        for number in range(_LOOKS):
            if number:
                await self._pause(number * self._poll_s)
            if (found := await self._find(batch)) is not None:
                return found
        return None

    def _lose(self, batch: OpenBatch) -> None:
        """Give a batch up: its questions are asked in another one, and what it may have cost stays in the ledger."""
        LOGGER.warning(
            "the provider does not have a batch of %d questions that was planned; what it may have cost counts as paid",
            len(batch.keys),
        )
        self.ledger.lost(batch.tag)
        self._lost = True
        self._failures.update(batch.keys)

    async def _find(self, batch: OpenBatch) -> str | None:
        return await self._patiently(lambda: self._provider.find_batch(batch.tag, batch.planned_at, len(batch.keys)))

    async def _wait_for_one(self) -> None:
        """Return once at least one open batch is collected."""
        while True:
            for batch in self.ledger.open_batches:
                self._check_stopped()
                batch_id = batch.batch_id
                assert batch_id is not None
                state = await self._patiently(functools.partial(self._provider.batch_state, batch_id))
                if state.failed is not None:
                    self.ledger.collected(batch.tag, NOTHING)
                    raise GmnerError(f"the provider refuses batch {batch_id}: {state.failed}")
                if state.ended:
                    await self._collect(batch, batch_id)
                    return
            await self._pause(self._poll_s)

    async def _collect(self, batch: OpenBatch, batch_id: str) -> None:
        """Keep a batch's answers, then write down what it came to."""

        async def read() -> Amount:
            return await self._keep(batch, self._provider.batch_results(batch_id))

        actual = await self._patiently(read)
        self.ledger.collected(batch.tag, actual)
        LOGGER.info("batch %s: %d answers", batch_id, actual.requests)
        self._answered = self._answered or actual.requests > 0
        if self._wrong_setting is not None:
            raise GmnerError(self._wrong_setting)
        if not self._answered and FIRST_REJECTED <= len(batch.keys) == self._rejected:
            raise GmnerError(all_rejected_text(self._rejected, self.last_failure))

    async def _keep(self, batch: OpenBatch, results: AsyncIterator[tuple[str, Any]]) -> Amount:
        by_letters = {key[:_KEY_LETTERS]: key for key in batch.keys}
        answers: dict[str, StoredAnswer] = {}
        actual, failed = NOTHING, dict[str, BatchFailure]()
        async for letters, result in results:
            key = by_letters.get(letters[:_KEY_LETTERS])
            if key is None or key in answers:  # not ours, or told twice
                continue
            if isinstance(result, Answer):
                cost = cost_of(result.usage, self._price, batch=True)
                answers[key] = StoredAnswer(key, f"batch {batch.tag}", with_cost(result, cost))
                actual += Amount(cost, result.usage.tokens)
            else:
                failed[key] = result
        kept = list(answers.values())
        for start in range(0, len(kept), _ANSWERS_AT_ONCE):
            await asyncio.to_thread(self.store.add, kept[start : start + _ANSWERS_AT_ONCE])
        for key in set(batch.keys) - answers.keys():
            self._failures[key] += 1
        self._rejected = 0
        if batch.tag in self._submitted:  # those of an earlier run may have been asked with other settings
            self._note_failures({key: one for key, one in failed.items() if key not in answers})
        return actual

    def _note_failures(self, failed: Mapping[str, BatchFailure]) -> None:
        for key, one in failed.items():
            self.last_failure = one.text
            if one.stops:
                self._wrong_setting = one.text
            if one.rejected:
                self._rejected += 1
                self._rejected_texts[key] = one.text
                self._failures[key] = self.limits.attempts

    async def _patiently(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Await a call to the provider, again after a failure that may pass."""
        for number in range(self.limits.attempts):
            try:
                return await call()
            except PassingError as error:
                self.last_failure = str(error)
                await self._back_off(number, error.wait_s)
        raise GmnerError(
            f"the provider's batch interface failed {self.limits.attempts} times, the last time with: "
            f"{self.last_failure}; run again: what was submitted is found again"
        )

    async def _back_off(self, number: int, wait_s: float | None) -> None:
        own = min(self.limits.longest_wait_s, self.limits.first_wait_s * 2**number)
        await self._pause(max(checked_wait(wait_s, self.limits), own))

    async def _pause(self, seconds: float) -> None:
        await pause(seconds, self._halt)
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self.stopped:
            raise self.stopped
