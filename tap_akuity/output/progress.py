"""The progress of a long sync, logged now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

INTERVAL_SECONDS = 5.0

_MINUTE = 60
_HOUR = 3600


class Progress:
    """Logs progress every few seconds; a short sync logs nothing."""

    def __init__(
        self,
        total: int,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock.

        Args:
            total: How many records there are.
            logger: Where to log.
            clock: Gives seconds.
        """
        self._total = total
        self._logger = logger
        self._clock = clock
        self._done = 0
        self._began = self._said = clock()

    def advance(self, count: int) -> None:
        """Count emitted records, and log the progress if it is time.

        Args:
            count: How many more records were emitted.
        """
        self._done += count
        now = self._clock()
        if now - self._said < INTERVAL_SECONDS:
            return
        self._said = now
        rate = self._done / (now - self._began)
        left = max(self._total - self._done, 0)
        # Short, because the SDK puts 70 characters before it.
        self._logger.info(
            "%d %% of %s, %s left",
            100 * self._done // max(self._total, 1),
            f"{self._total:,}",
            _duration(left / rate) if rate else "unknown time",
        )


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} m"
    return f"{seconds / _HOUR:.1f} h"
