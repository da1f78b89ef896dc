"""A line of progress now and then: how far, how fast, how long still."""

import logging
import time

log = logging.getLogger("gmner.runtime.progress")

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts up to `total` units and logs rate and remaining time, at most one line per ten seconds.

    `done` says where an interrupted job resumes; it is left out of the rate.
    """

    def __init__(self, name: str, total: int, unit: str, done: int = 0) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, done
        self._first, self._started = done, time.monotonic()
        self._last_line = self._started

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more units; `note` is added to the line."""
        self.done += count
        now = time.monotonic()
        if now - self._last_line >= _SECONDS_BETWEEN_LINES and self.done < self.total:
            self._last_line = now
            rate = (self.done - self._first) / (now - self._started)
            left = (self.total - self.done) / rate if rate > 0 else 0.0
            self._line(f"{rate:.2f} {self.unit}/s, {_clock(left)} left", note)

    def finish(self) -> None:
        """Log how long it took."""
        self._line(f"in {_clock(time.monotonic() - self._started)}", "")

    def _line(self, text: str, note: str) -> None:
        log.info("%s: %d of %d %s, %s%s", self.name, self.done, self.total, self.unit, text, note and f", {note}")


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
