"""How far a long sync is, said now and then."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_akuity.records.timestamps import to_text

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

INTERVAL_SECONDS = 5.0


class Progress:
    """Logs how far a sync is, every few seconds; a short sync logs nothing."""

    def __init__(
        self,
        total: int,
        logger: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin.

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

    def advance(self, count: int, reached: int) -> None:
        """Note what has been emitted, and say so if it is time.

        Args:
            count: How many records more.
            reached: All before this instant is done: nanoseconds since the Unix epoch.
        """
        self._done += count
        now = self._clock()
        if now - self._said < INTERVAL_SECONDS:
            return
        self._said = now
        rate = self._done / (now - self._began)
        left = max(self._total - self._done, 0)
        self._logger.info(
            "%d of %d records (%.0f %%), %.0f per second, %s left, reached %s",
            self._done,
            self._total,
            100 * self._done / max(self._total, 1),
            rate,
            _duration(left / rate) if rate else "unknown time",
            to_text(reached)[:19] + "Z",
        )


def _duration(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
