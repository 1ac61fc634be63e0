"""How far a sync is, said now and then, and what it did, said at its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from tap_akuity.reading.windows import Window

INTERVAL_SECONDS = 5.0

_MINUTE = 60
_HOUR = 3600


class Progress:
    """Logs progress every few seconds; a short sync logs nothing."""

    def __init__(
        self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock.

        Args:
            logger: Where to log.
            clock: Gives seconds.
        """
        self.total = 0
        """How many events there are, says the server: not yet read by an earlier run,
        or read with the lookback."""

        self._logger = logger
        self._clock = clock
        self._emitted = self._again = self._windows = 0
        self._first = self._last = ""
        self._began = self._said = clock()

    def advance(self, window: Window) -> None:
        """Note what has been emitted, and say so if it is time.

        Args:
            window: It, and all before it, is done.
        """
        self._windows += 1
        self._emitted += len(window.events)
        if window.again:
            self._again += len(window.events)
        if window.events:
            self._first = self._first or window.events[0].timestamp
            self._last = window.events[-1].timestamp
        now = self._clock()
        if now - self._said < INTERVAL_SECONDS:
            return
        self._said = now
        done = self._emitted - self._again
        rate = done / (now - self._began)
        left = max(self.total - done, 0)
        # Short, because the SDK puts 70 characters before it.
        self._logger.info(
            "%d %% of %s, %s left",
            100 * done // max(self.total, 1),
            f"{self.total:,}",
            _duration(left / rate) if rate else "unknown time",
        )

    def figures(self) -> dict[str, Any]:
        """Tell what was done: numbers, and the first and the last timestamp."""
        return {
            "counted": self.total,
            "emitted": self._emitted,
            "read_again": self._again,
            "first": self._first,
            "last": self._last,
            "windows": self._windows,
            "seconds": round(self._clock() - self._began, 3),
        }


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} m"
    return f"{seconds / _HOUR:.1f} h"
