"""How many requests may be in flight: more while all goes well, fewer when the server asks for it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_FALL = 0.7


class Gate:
    """Lets requests through, `limit` at a time.

    The limit starts at `start` and grows by one with each answer until the first complaint (which doubles it in a
    round trip), then by one a round trip. A complaint lowers it to 70 %, once for all requests that were in
    flight together, and holds everything back for as long as the server asked.
    """

    def __init__(self, start: int, most: int) -> None:
        self.limit = float(start)
        self.in_flight = 0
        self._most = float(most)
        self._complained = False
        self._fell_at = 0.0
        self._closed_until = 0.0
        self._opened = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Hold one of the places; those who wait get theirs in the order in which they came."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise
        try:
            yield
        finally:
            self._leave()

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
        if self._waiting:
            self._let_in()

    def _leave(self) -> None:
        self.in_flight -= 1
        self._let_in()

    def _let_in(self) -> None:
        held_back = self._closed_until - time.monotonic()
        if held_back > 0:
            asyncio.get_running_loop().call_later(held_back + 0.001, self._let_in)
            return
        while self._waiting and self.in_flight < int(self.limit):
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
