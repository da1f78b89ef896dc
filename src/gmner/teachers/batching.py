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
from gmner.errors import GmnerError
from gmner.records import Sample
from gmner.teachers.asking import with_cost
from gmner.teachers.ledger import BudgetSpentError, Ledger, OpenBatch
from gmner.teachers.pricing import NOTHING, Amount, cost_of, most_of
from gmner.teachers.protocol import Answer, BatchProvider, PassingError, Request
from gmner.teachers.store import AnswerStore, StoredAnswer
from gmner.teachers.teaching import Outcome, Teaching, resolve

LOGGER = logging.getLogger(__name__)
_KEY_LETTERS = 48  # providers allow 64 letters for a question's id, and a tag may stand before it
_ANSWERS_AT_ONCE = 256


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
        self.stopped: BaseException | None = None
        self.last_failure = ""

    def stop(self, reason: BaseException) -> None:
        """Submit nothing more; what is submitted is found again by the next run."""
        self.stopped = self.stopped or reason

    async def ask_all(
        self, teaching: Teaching, samples: Callable[[], Iterable[Sample]], on_done: Callable[[Sample], None]
    ) -> int:
        """Ask until every sample's chain of questions has its outcome; return how many have none.

        `samples` is called once a round: an answer that is refused is asked again in the next batch.
        """
        done: set[bytes] = set()
        await self._settle()
        while True:
            gave_up = await self._submit_round(teaching, samples(), done, on_done)
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
        await self._submit_planned(batch, [line for _, line in taken])

    async def _submit_planned(self, batch: OpenBatch, lines: list[Mapping[str, Any]]) -> None:
        for number in range(self.limits.attempts):
            try:
                batch_id = await self._provider.submit_batch(batch.tag, lines)
            except PassingError as error:
                self.last_failure = str(error)
                await self._back_off(number, error.wait_s)
                # It may have been created although no answer arrived: never create it twice.
                if error.maybe_paid and (found := await self._find(batch)):
                    batch_id = found
                else:
                    continue
            except GmnerError:
                self.ledger.collected(batch.tag, NOTHING)
                raise
            self.ledger.submitted(batch.tag, batch_id)
            LOGGER.info("batch %s submitted with %d questions", batch_id, len(lines))
            return
        raise GmnerError(
            f"the provider did not take a batch in {self.limits.attempts} attempts, the last one failed with: "
            f"{self.last_failure}; run again: what was submitted is found again"
        )

    async def _settle(self) -> None:
        """Find the batches that an earlier run planned and perhaps submitted."""
        for batch in self.ledger.open_batches:
            if batch.batch_id is not None:
                continue
            found = await self._find(batch)
            if found is None:  # a provider's list may lag behind; how long ago it was no clock says for certain
                await asyncio.sleep(self._poll_s)
                found = await self._find(batch)
            if found is None:
                LOGGER.info("a batch of %d questions was planned and never submitted", len(batch.keys))
                self.ledger.collected(batch.tag, NOTHING)
            else:
                LOGGER.info("batch %s of an earlier run is found again", found)
                self.ledger.submitted(batch.tag, found)

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
            await asyncio.sleep(self._poll_s)

    async def _collect(self, batch: OpenBatch, batch_id: str) -> None:
        """Keep a batch's answers, then write down what it came to."""

        async def read() -> Amount:
            return await self._keep(batch, self._provider.batch_results(batch_id))

        actual = await self._patiently(read)
        self.ledger.collected(batch.tag, actual)
        LOGGER.info("batch %s: %d answers", batch_id, actual.requests)

    async def _keep(self, batch: OpenBatch, results: AsyncIterator[tuple[str, Any]]) -> Amount:
        by_letters = {key[:_KEY_LETTERS]: key for key in batch.keys}
        answers: dict[str, StoredAnswer] = {}
        actual, failures = NOTHING, set()
        async for letters, result in results:
            key = by_letters.get(letters[:_KEY_LETTERS])
            if key is None or key in answers:  # not ours, or told twice
                continue
            if isinstance(result, Answer):
                cost = cost_of(result.usage, self._price, batch=True)
                answers[key] = StoredAnswer(key, f"batch {batch.tag}", with_cost(result, cost))
                actual += Amount(cost, result.usage.tokens)
            else:
                failures.add(key)
                self.last_failure = result.text
        kept = list(answers.values())
        for start in range(0, len(kept), _ANSWERS_AT_ONCE):
            await asyncio.to_thread(self.store.add, kept[start : start + _ANSWERS_AT_ONCE])
        for key in set(batch.keys) - answers.keys():
            self._failures[key] += 1
        return actual

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
        await asyncio.sleep(max(wait_s or 0.0, min(self.limits.longest_wait_s, self.limits.first_wait_s * 2**number)))

    def _check_stopped(self) -> None:
        if self.stopped:
            raise self.stopped
