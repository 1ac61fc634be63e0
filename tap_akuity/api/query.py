"""What one request asks for."""

from __future__ import annotations

from typing import NamedTuple

MAX_EXCESS = 2
"""How many times its limit a page may hold: more than that is no page of the query.

A server that caps the limit holds less; one that ignores it may hold anything.
"""


class Query(NamedTuple):
    """A page of a range of time."""

    start: int
    """Nanoseconds since the Unix epoch, `filters.startTime`."""

    end: int
    """Nanoseconds since the Unix epoch, `filters.endTime`."""

    offset: int
    """How many of the range's audit logs to skip."""

    limit: int
    """How many to give at most."""
