"""A server without HTTP: pages of events, with every answer to what is unknown."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from tap_akuity.api.query import Query
from tap_akuity.reading.asks import Found, Nothing, Page, Probe, Range, Refused
from tap_akuity.reading.plan import Piece
from tap_akuity.records.event import Event
from tap_akuity.records.timestamps import SECOND, parse, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_akuity.reading.asks import Ask, Response


def event(instant: int, name: str, last: int | None = None) -> Event:
    """Make an event."""
    return Event(
        timestamp=to_text(instant),
        last_occurred="" if last is None else to_text(last),
        id=name,
        json=b'{"name":"%b"}' % name.encode(),
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

    deepest: int = 10**9
    """The largest offset that is not refused."""

    queries: list[Query] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    lock: Lock = field(default_factory=Lock)

    def fetch(self, ask: Ask) -> Callable[[], Response]:
        """Respond to a query or a probe."""
        assert ask.offset >= 0
        with self.lock:
            probe = isinstance(ask, Probe)
            if isinstance(ask, Probe):
                self.probes.append(ask)
                query = Query(*ask, 1)
            else:
                self.queries.append(query := ask)
            self.before(self, query)
            page = self.page(query)
        response: Response = page
        if probe and query.offset > self.deepest:
            response = Refused()
        elif probe:
            found = page.events
            response = (
                Found(parse(found[0].timestamp)) if found else Nothing(page.total)
            )
        return lambda: response

    def page(self, query: Query) -> Page:
        """Give a page; to be overridden by servers that misbehave."""
        matching = [e for e in self.events if self._matches(e, query)]
        page = self._ordered(matching)[query.offset :][: min(query.limit, self.cap)]
        return Page(page, len(matching))

    def whole(self, start: int, end: int, limit: int) -> Piece:
        """Give a range with its first page."""
        span = Range(start, end)
        self.queries.append(query := span.query(0, limit))
        page = self.page(query)
        return Piece(span, page.total, page)

    @property
    def requests(self) -> int:
        """How many requests were made."""
        return len(self.queries) + len(self.probes)

    @property
    def largest_offset(self) -> int:
        """How far a page began."""
        return max(query.offset for query in self.queries)

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
