"""The progress of a sync, logged at intervals, and its figures, logged at the end."""

import logging
import time
from collections.abc import Callable
from typing import Any

from tap_akuity.reading.ranges import Range
from tap_akuity.reading.windows import Window
from tap_akuity.text.timestamps import to_bound

INTERVAL_SECONDS = 5.0

_MINUTE = 60
_HOUR = 3600


class Progress:
    """Logs progress every few seconds; a short sync logs nothing."""

    def __init__(
        self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.emitted = 0
        """How many records have been written, after stream maps."""

        self._logger = logger
        self._clock = clock
        self._since = self._until = self._shard = ""
        self._total = self._read = self._again = self._windows = 0
        self._first = self._last = ""
        self._started = self._last_logged = clock()

    def begin(self, span: Range, total: int, *, is_shard: bool) -> None:
        """Log the range that is read, which has so many events with the lookback's.

        Each line of a shard names it, as other runs may write to the same log.
        """
        self._total = total
        self._since, self._until = map(to_bound, span)
        if is_shard:
            self._shard = f"{_day(self._since)} to {_day(self._until)}: "
        self._logger.info("Reading events from %s to %s.", self._since, self._until)

    def advance(self, window: Window) -> None:
        """Count an emitted window, and log the progress if the interval has passed."""
        self._windows += 1
        if window.again:
            self._again += len(window.events)
        else:
            self._read += len(window.events)
        if window.events:
            self._first = self._first or window.events[0].timestamp
            self._last = window.events[-1].timestamp
        now = self._clock()
        if now - self._last_logged < INTERVAL_SECONDS:
            return
        self._last_logged = now
        rate = self._read / (now - self._started)
        left = max(self._total - self._read, 0)
        # Short, because the SDK puts 70 characters before it.
        self._logger.info(
            "%s%d %% of %s, %s left",
            self._shard,
            100 * self._read // max(self._total, 1),
            f"{self._total:,}",
            _duration(left / rate) if rate else "unknown time",
        )

    def figures(self) -> dict[str, Any]:
        """Return the range of the sync, its figures, and its first and last event."""
        return {
            "since": self._since,
            "until": self._until,
            "counted": self._total,
            "read": self._read + self._again,
            "read_again": self._again,
            "emitted": self.emitted,
            "first": self._first,
            "last": self._last,
            "windows": self._windows,
            "seconds": round(self._clock() - self._started, 3),
        }


def _day(bound: str) -> str:
    return bound.removesuffix("T00:00:00Z")


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} m"
    return f"{seconds / _HOUR:.1f} h"
