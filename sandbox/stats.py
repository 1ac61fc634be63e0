"""Statistics of the requests that the sandbox has received."""

from __future__ import annotations

from collections import Counter, deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_QUERIES = 10_000


class Stats:
    """Counts of requests, for the audit log and for the other endpoints."""

    def __init__(self) -> None:
        """Set up all counts at zero."""
        self._in_flight = 0
        self.reset()

    def reset(self) -> None:
        """Reset everything except the count of requests in progress."""
        self.requests = 0
        self.in_flight_max = self._in_flight
        self.faults: Counter[str] = Counter()
        self.queries: deque[str] = deque(maxlen=KEPT_QUERIES)
        self.neighbours: Counter[str] = Counter()

    @contextmanager
    def request(self, query_string: str) -> Iterator[None]:
        """Count a request, and track it while it is in progress."""
        self.requests += 1
        self.queries.append(query_string)
        self._in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1

    def report(self) -> dict[str, Any]:
        """Return all statistics, ready for JSON."""
        return {
            "requests": self.requests,
            "in_flight_max": self.in_flight_max,
            "faults": dict(self.faults),
            "queries": list(self.queries),
            "neighbours": dict(self.neighbours),
        }
