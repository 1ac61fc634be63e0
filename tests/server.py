"""A server without HTTP: pages of events, with every answer to what is unknown."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from tap_akuity.reading.windows import Page, Part, Range
from tap_akuity.records.event import Event
from tap_akuity.records.timestamps import SECOND, parse, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_akuity.api.query import Query


def event(instant: int, name: str, last: int | None = None) -> Event:
    """Make an event."""
    return Event(
        timestamp=to_text(instant),
        last_occurred=None if last is None else to_text(last),
        id=name,
        json=b"{}",
    )


def events(instants: Iterable[int]) -> list[Event]:
    """Make an event for each instant."""
    return [event(instant, str(number)) for number, instant in enumerate(instants)]


@dataclass
class Server:
    """Gives pages of events. Safe to use from several threads."""

    events: list[Event]
    start_inclusive: bool = True
    end_inclusive: bool = False
    unit: int = 1
    """How exactly it looks at times, in nanoseconds."""

    rounds: bool = False
    """Whether it rounds to the unit instead of dropping what is finer."""

    last: bool = False
    """Whether it looks at the last occurrence."""

    order: str = "newest"
    shuffle: bool = False
    cap: int = 10**9
    before: Callable[[Server, Query], None] = lambda _server, _query: None
    """Called before each answer."""

    queries: list[Query] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    lock: Lock = field(default_factory=Lock)

    def fetch(self, query: Query) -> Page:
        """Answer a query."""
        with self.lock:
            self.queries.append(query)
            self.before(self, query)
            matching = [e for e in self.events if self._matches(e, query)]
            page = self._ordered(matching)[query.offset :][: min(query.limit, self.cap)]
            return Page(page, len(matching))

    def whole(self, start: int, end: int, limit: int) -> Part:
        """Give a range with its first page."""
        span = Range(start, end)
        return Part(span, self.fetch(span.query(0, limit)))

    @property
    def largest_offset(self) -> int:
        """How far a page began, a look at one event aside."""
        return max(query.offset for query in self.queries if query.limit > 1)

    def _seen(self, instant: int) -> int:
        return (instant + (self.unit // 2 if self.rounds else 0)) // self.unit

    def _key(self, one: Event) -> int:
        text = one.last_occurred if self.last else None
        return parse(text or one.timestamp)

    def _matches(self, one: Event, query: Query) -> bool:
        when = self._seen(self._key(one))
        start, end = self._seen(query.start), self._seen(query.end)
        after = when >= start if self.start_inclusive else when > start
        return after and (when <= end if self.end_inclusive else when < end)

    def _ordered(self, matching: list[Event]) -> list[Event]:
        if self.order == "random":
            return self.rng.sample(matching, len(matching))
        if self.shuffle:
            ties = defaultdict(list)
            for one in matching:
                ties[self._key(one)].append(one)
            matching = [
                one
                for key in sorted(ties)
                for one in self.rng.sample(ties[key], len(ties[key]))
            ]
        else:
            matching = sorted(matching, key=self._key)
        return matching if self.order == "oldest" else matching[::-1]


def seconds(*values: float) -> list[int]:
    """Give instants, so many seconds after the epoch."""
    return [round(value * SECOND) for value in values]
