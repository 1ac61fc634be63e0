"""Ranges of time, the queries for them, and the pages that answer these."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from tap_akuity.api.query import Query
from tap_akuity.records.event import Event
from tap_akuity.text.timestamps import SECOND, to_bound, to_text

MARGIN = SECOND
"""How much earlier than its range a query begins.

Bounds are whole seconds, so there is nothing to round or to truncate in them. With the
second before, it does not matter whether the start is exclusive, or whether the server
rounds or truncates the times of events to seconds.
"""


class IncompleteError(Exception):
    """What the server returns contradicts itself, so events may be missing."""


@dataclass(frozen=True)
class Page:
    """The response to a query."""

    events: list[Event]
    total: int
    """How many events the range holds, before limit and offset."""

    unsent: tuple[str, ...] = ()
    """Why events are missing that are too big to be sent, even alone: one each."""

    too_big: str = ""
    """Why it took several requests; empty if it did not."""

    date: int | None = None
    """The server's clock: nanoseconds since the Unix epoch; None if unknown."""

    @cached_property
    def size(self) -> int:
        """The size of the records in bytes."""
        return sum(len(event.json) for event in self.events)

    @property
    def rows(self) -> int:
        """How many rows the page has, sent or not."""
        return len(self.events) + len(self.unsent)

    def is_foreign_to(self, query: Query) -> bool:
        """Return whether the page responds to another query.

        An event may be in a range because of its first time, its last, or what lies
        between them, and by a server that rounds to seconds.
        """
        early, late = to_text(query.start - SECOND), to_text(query.end + SECOND)
        return any(
            (one.timestamp < early and one.last_occurred < early)
            or (one.timestamp > late and (one.last_occurred or late + "Z") > late)
            for one in self.events
        )


class Range(NamedTuple):
    """A half-open range of time, in nanoseconds since the Unix epoch."""

    start: int
    end: int

    @property
    def can_be_cut(self) -> bool:
        """Whether it holds more than two seconds.

        A cut behind a single second would make the next range begin with that second
        again, which may hold many events.
        """
        return self.end - self.start // SECOND * SECOND > 2 * SECOND

    def query(self, offset: int, limit: int) -> Query:
        """Query a page of the range, and of a little more: see `MARGIN`."""
        start = self.start // SECOND * SECOND - MARGIN
        return Query(start, -(-self.end // SECOND) * SECOND, offset, limit)

    def __str__(self) -> str:
        return f"{to_bound(self.start)} to {to_bound(self.end)}"
