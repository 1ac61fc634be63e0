"""The query of one request."""

from typing import NamedTuple


class Query(NamedTuple):
    """A page of a range of time."""

    start: int
    """Nanoseconds since the Unix epoch, `filters.startTime`."""

    end: int
    """Nanoseconds since the Unix epoch, `filters.endTime`."""

    offset: int
    """How many of the range's events to skip."""

    limit: int
    """The most events to return."""
