"""Queries about a range of time, and what their responses mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tap_akuity.api.query import Query
from tap_akuity.text.timestamps import MILLISECOND, SECOND, to_bound

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import TypeAlias

    from tap_akuity.records.event import Event

MARGIN = MILLISECOND
"""How much earlier than a whole second a query begins.

It makes exclusive and inclusive starts equivalent, even for a server that drops
fractions of a second, which then starts one second earlier.
"""

WIDE_MARGIN = SECOND + MILLISECOND
"""The margin for servers that need more than `MARGIN`, whatever they do."""


class Probe(NamedTuple):
    """A probe: the time of the event that has `offset` newer ones in a range."""

    start: int
    """Nanoseconds since the Unix epoch, as is the end."""

    end: int
    offset: int
    """How many events of the range are newer."""


@dataclass(frozen=True)
class Page:
    """The response to a query."""

    events: list[Event]
    total: int
    """How many events the range holds, before limit and offset."""

    @cached_property
    def size(self) -> int:
        """The size of the records in bytes."""
        return sum(len(event.json) for event in self.events)


class Found(NamedTuple):
    """The response to a probe: an event."""

    instant: int
    """When it happened: nanoseconds since the Unix epoch."""


class Nothing(NamedTuple):
    """The response to a probe: no event at this offset."""

    total: int
    """How many events the range holds now."""


class Refused(NamedTuple):
    """The response to a probe: the server rejects so large an offset."""


class OverloadError(Exception):
    """The query was abandoned because others of the task returned too much."""


Ask: TypeAlias = "Query | Probe"
Response: TypeAlias = "Page | Found | Nothing | Refused"
Outcome: TypeAlias = "Response | Exception"
"""A response, or why there is none."""

_T = TypeVar("_T")
Asking: TypeAlias = "Generator[list[Ask], list[Outcome], _T]"
"""A generator that yields queries, receives their outcomes in order, and returns a
result."""


class Range(NamedTuple):
    """A half-open range of time, in nanoseconds since the Unix epoch."""

    start: int
    end: int

    @property
    def can_be_cut(self) -> bool:
        """Whether a whole second lies inside."""
        return self.end - self.start // SECOND * SECOND > SECOND

    def query(self, offset: int, limit: int, margin: int = MARGIN) -> Query:
        """Query a page of the range and a little more: see `MARGIN`."""
        return Query(*self._bounds(margin), offset, limit)

    def probe(self, offset: int, margin: int = MARGIN) -> Probe:
        """Probe when the event with `offset` newer ones happened."""
        return Probe(*self._bounds(margin), offset)

    def _bounds(self, margin: int) -> tuple[int, int]:
        start = self.start // SECOND * SECOND - margin
        return start, -(-self.end // SECOND) * SECOND

    def __str__(self) -> str:
        """Name the range in messages."""
        return f"{to_bound(self.start)} to {to_bound(self.end)}"


def leading(outcomes: Sequence[Outcome], kind: type[_T]) -> list[_T]:
    """Return the responses before the first failure.

    Args:
        outcomes: In the order of the queries.
        kind: The type of the responses.

    Returns:
        At least one response.

    Raises:
        Exception: The first failure, if there is no response before it.
    """
    responses: list[_T] = []
    for outcome in outcomes:
        if not isinstance(outcome, kind):
            if not responses and isinstance(outcome, Exception):
                raise outcome
            break
        responses.append(outcome)
    return responses
