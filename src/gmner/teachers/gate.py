"""How many requests may be in flight: more while all goes well, fewer when the server asks for it."""

import asyncio
import time
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
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Hold one of the places."""
        async with self._changed:
            while True:
                held_back = self._closed_until - time.monotonic()
                if held_back > 0:
                    await self._wait(held_back)
                elif self.in_flight >= int(self.limit):
                    await self._wait(None)
                else:
                    break
            self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            await self._notify()

    def went_well(self) -> None:
        """Let more through."""
        step = 1.0 / self.limit if self._complained else 1.0
        self.limit = min(self._most, self.limit + step)

    def slow_down(self, sent_at: float, wait_s: float | None) -> None:
        """Let fewer through, after a complaint about a request sent at `sent_at` (monotonic seconds)."""
        now = time.monotonic()
        if wait_s:
            self._closed_until = max(self._closed_until, now + wait_s)
        if sent_at >= self._fell_at:
            self._complained = True
            self._fell_at = now
            self.limit = max(1.0, self.limit * _FALL)

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
