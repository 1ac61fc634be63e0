"""A server without HTTP that responds in every way that the API may."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Any

from tap_akuity.api.errors import BadRequestError
from tap_akuity.api.query import Query
from tap_akuity.reading.plan import Piece
from tap_akuity.reading.ranges import Page, Range
from tap_akuity.reading.requests import Requests
from tap_akuity.reading.windows import windows
from tap_akuity.records.event import Event
from tap_akuity.text.timestamps import SECOND, parse, to_text

instant = cache(parse)


class Direct(Requests):
    """Makes no request ahead, so that tests are quick and the same each time."""

    def begin(self, queries):
        """Ignore the hint."""

    def drop(self, queries):
        """Ignore the hint."""

    def _response(self, query):
        return self._fetch(query)


def event(instant, name, last=None):
    """Return an event."""
    return Event(
        timestamp=to_text(instant),
        last_occurred="" if last is None else to_text(last),
        id=name,
        json=b'{"name":"%b"}' % name.encode(),
    )


def events(instants):
    """Return an event for each instant, named by its number."""
    return [event(instant, str(number)) for number, instant in enumerate(instants)]


def seconds(*values):
    """Return instants, so many seconds after the epoch."""
    return [round(value * SECOND) for value in values]


@dataclass
class Server:
    """Returns pages of events. Thread-safe."""

    events: list[Event]
    start_inclusive: bool = True
    end_inclusive: bool = False
    unit: int = 1
    """Times are compared in units of so many nanoseconds."""
    rounds: bool = False
    """Whether they are rounded to the unit, not truncated."""
    last: bool = False
    """Whether it filters and sorts by the last occurrence."""
    order: str = "newest"
    shuffle: bool = False
    """Whether events at one time are in another order on each page."""
    cap: int = 10**9
    deepest: int = 10**9
    """The largest offset that it does not refuse."""
    respond: Callable[["Server", Query], Page] = lambda self, query: self.page(query)
    asked: list[Query] = field(default_factory=list)
    earlier: list[Page] = field(default_factory=list)
    """The responses so far, where `respond` keeps them."""
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    lock: Any = field(default_factory=Lock)

    def fetch(self, query):
        """Respond to a query."""
        assert query.offset >= 0
        assert 1 <= query.limit <= 1000
        assert query.start % SECOND == query.end % SECOND == 0
        with self.lock:
            self.asked.append(query)
            if query.offset > self.deepest:
                message = "no such offset"
                raise BadRequestError(message)
            return self.respond(self, query)

    def page(self, query):
        """Return a page without surprises."""
        half = self.unit // 2 if self.rounds else 0
        start, end = ((bound + half) // self.unit for bound in (query.start, query.end))
        start += not self.start_inclusive
        end += self.end_inclusive
        found = [
            one
            for one in self.events
            if start <= (self.time(one) + half) // self.unit < end
        ]
        page = self._ordered(found)[query.offset :][: min(query.limit, self.cap)]
        return Page(page, len(found))

    def requests(self, concurrency=1):
        """Return what makes requests to this server."""
        kind = Direct if concurrency == 1 else Requests
        return kind(self.fetch, lambda _, page: page, concurrency)

    def whole(self, start, end, limit):
        """Return a range with its first page."""
        span = Range(start, end)
        with self.requests() as requests:
            page = requests.get(span.query(0, limit))
        return Piece(span, page.total, page)

    def windows(self, start, end, limits, beyond=0):
        """Read a range, and perhaps so much beyond it."""
        with self.requests(limits.concurrency) as requests:
            whole = self.whole(start, end + beyond, limits.page_size)
            yield from windows(requests, whole, limits, end)

    def read(self, start, end, limits):
        """Return the events of a range."""
        return [one for each in self.windows(start, end, limits) for one in each.events]

    @property
    def queries(self):
        """What was asked but probes."""
        return [query for query in self.asked if query.limit > 1]

    def time(self, one):
        """Return the time by which an event is filtered and sorted."""
        return instant((self.last and one.last_occurred) or one.timestamp)

    def _ordered(self, found):
        if self.order == "random":
            return self.rng.sample(found, len(found))
        if self.shuffle:
            found = self.rng.sample(found, len(found))
        found = sorted(found, key=self.time)
        return found if self.order == "oldest" else found[::-1]
