"""How many requests may be in flight: more while all goes well, fewer when the server asks for it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_FALL = 0.7


class Gate:
    """Lets requests through, `limit` at a time.

    The limit starts at `start` and grows by one with each answer until the first complaint (which doubles it per
    round trip), then by one per round trip. A complaint lowers it to 70 %, once for all requests that were in
    flight together, and holds everything back for as long as the server asked.

    A request is admitted before it passes: in between it is written down. `ahead` more are admitted than may pass, as
    many as answers arrive during one writing, so that the disk never keeps a place in flight empty.
    """

    def __init__(self, start: int, most: int) -> None:
        self.limit = float(start)
        self.ahead = 0
        self.admitted = self.in_flight = 0
        self._most = float(most)
        self._complained = False
        self._fell_at = 0.0
        self._closed_until = 0.0
        self._opened = False
        self._waiting_to_enter: deque[asyncio.Future[None]] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def held_back_s(self) -> float:
        """Seconds for which the server asked to be left alone."""
        return max(0.0, self._closed_until - time.monotonic())

    @asynccontextmanager
    async def admitting(self) -> AsyncIterator[None]:
        """Hold one of the places for what is about to be sent, or is in flight."""
        await self._turn(self._waiting_to_enter, entering=True)
        try:
            yield
        finally:
            self._leave(entering=True)

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Hold one of the places in flight; those who wait get theirs in the order in which they came."""
        await self._turn(self._waiting, entering=False)
        try:
            yield
        finally:
            self._leave(entering=False)

    def went_well(self) -> None:
        """Let more through."""
        step = 1.0 / self.limit if self._complained else 1.0
        self.limit = min(self._most, self.limit + step)
        self._let_in()

    def slow_down(self, sent_at: float, wait_s: float | None) -> None:
        """Let fewer through, after a complaint about a request sent at `sent_at` (monotonic seconds)."""
        if self._opened:
            return
        now = time.monotonic()
        if wait_s:
            self._closed_until = max(self._closed_until, now + wait_s)
        if sent_at >= self._fell_at:
            self._complained = True
            self._fell_at = now
            self.limit = max(1.0, self.limit * _FALL)

    def open(self) -> None:
        """Hold nothing back any more: those who wait are let in to find that asking has stopped."""
        self._closed_until, self.limit, self._opened = 0.0, self._most, True
        if self._waiting or self._waiting_to_enter:
            self._let_in()

    async def _turn(self, queue: "deque[asyncio.Future[None]]", *, entering: bool) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave(entering=entering)
            raise

    def _leave(self, *, entering: bool) -> None:
        if entering:
            self.admitted -= 1
        else:
            self.in_flight -= 1
        self._let_in()

    def _let_in(self) -> None:
        held_back = self.held_back_s
        if held_back > 0:
            asyncio.get_running_loop().call_later(held_back + 0.001, self._let_in)
            return
        most = int(self.limit)
        while self._waiting and self.in_flight < most:
            if not (place := self._waiting.popleft()).done():
                self.in_flight += 1
                place.set_result(None)
        while self._waiting_to_enter and self.admitted < most + self.ahead:
            if not (place := self._waiting_to_enter.popleft()).done():
                self.admitted += 1
                place.set_result(None)
