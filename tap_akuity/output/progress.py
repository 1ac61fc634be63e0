"""The progress of a sync, logged at intervals, and its figures, logged at the end."""

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
            clock: Returns seconds.
        """
        self.total = 0
        """The server's count of the events to read, including those of the lookback."""

        self._logger = logger
        self._clock = clock
        self._emitted = self._again = self._windows = 0
        self._first = self._last = ""
        self._started = self._last_logged = clock()

    def advance(self, window: Window) -> None:
        """Count an emitted window, and log the progress if the interval has passed.

        Args:
            window: The window that was emitted last.
        """
        self._windows += 1
        self._emitted += len(window.events)
        if window.again:
            self._again += len(window.events)
        if window.events:
            self._first = self._first or window.events[0].timestamp
            self._last = window.events[-1].timestamp
        now = self._clock()
        if now - self._last_logged < INTERVAL_SECONDS:
            return
        self._last_logged = now
        done = self._emitted - self._again
        rate = done / (now - self._started)
        left = max(self.total - done, 0)
        # Short, because the SDK puts 70 characters before it.
        self._logger.info(
            "%d %% of %s, %s left",
            100 * done // max(self.total, 1),
            f"{self.total:,}",
            _duration(left / rate) if rate else "unknown time",
        )

    def figures(self) -> dict[str, Any]:
        """Return the figures of the sync, and its first and last timestamp."""
        return {
            "counted": self.total,
            "emitted": self._emitted,
            "read_again": self._again,
            "first": self._first,
            "last": self._last,
            "windows": self._windows,
            "seconds": round(self._clock() - self._started, 3),
        }


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} m"
    return f"{seconds / _HOUR:.1f} h"
