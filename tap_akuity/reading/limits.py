"""How much is read at a time."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

from tap_akuity.records.event import Event


@dataclass(frozen=True)
class Limits:
    """Limits for what is requested and held in memory at a time."""

    page_size: int
    """How many events to request per page."""

    concurrency: int
    """How many requests may run at a time."""

    max_events: int = 11_000
    """How many events a window may hold before it is divided; also limits offsets."""

    max_bytes: int = 16 << 20
    """How large the records of a window may be before it is divided."""

    slack: int = 90
    """How many events fewer than full pages a window aims at: it is cut at a whole
    second, so it also holds the rest of that second."""

    @property
    def goal(self) -> int:
        """How many events a window aims at.

        Full pages, which overlap by a row, minus the slack, and fewer than it may hold,
        as more may arrive.
        """
        pages = (self.max_events - self.max_events // 25) // self.page_size
        rows = max(1, pages) * (self.page_size - 1) + 1
        return min(max(1, rows - self.slack), self.max_events)

    @property
    def events_ahead(self) -> int:
        """How many events may be in progress while all threads stay busy."""
        if self.concurrency == 1:
            return 1
        return self.max_events + 4 * self.concurrency * self.page_size

    def up_to(self, max_events: int) -> Self:
        """Return the limits for windows of no more than so many events."""
        if max_events >= self.max_events:
            return self
        return replace(self, max_events=max(1, max_events))

    def suited_to(self, events: Collection[Event]) -> Self:
        """Return the limits for windows of events of this size."""
        size = sum(len(event.json) for event in events)
        if size * self.max_events <= self.max_bytes * len(events):
            return self
        return self.up_to(self.max_bytes * len(events) // size)
