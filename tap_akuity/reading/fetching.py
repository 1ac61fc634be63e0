"""Several requests at a time, and their windows one after the other.

Knows neither HTTP nor Singer. What to ask for, `tap_akuity.reading.windows` decides;
here it is asked, by as many threads as wanted, and what comes back is put in order.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tap_akuity.api.query import Query
from tap_akuity.reading.windows import (
    MARGIN,
    MAX_EVENTS,
    WIDE_MARGIN,
    IncompleteError,
    Page,
    Part,
    Range,
    plan,
    read,
    wanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import TypeAlias

    from typing_extensions import Self

    from tap_akuity.reading.windows import Reading
    from tap_akuity.records.event import Event

_T = TypeVar("_T")
_Packed: TypeAlias = "Callable[[], Page]"

Fetch: TypeAlias = "Callable[[Query], _Packed]"
"""Fetches a page, and gives what unpacks it.

Several threads fetch at a time. One unpacks, so that the others are back at the network
at once: in Python they would only wait for each other.
"""

PARTS_AHEAD = 4
"""How many parts may be planned and not yet begun; of each, the first page is kept.

To plan one may take several requests, one after the other.
"""

_logger = logging.getLogger(__name__)


class Window(NamedTuple):
    """A part of the range that was read completely."""

    range: Range
    events: list[Event]
    """In ascending order, each once."""


def windows(
    fetch: Fetch, whole: Part, *, limit: int, concurrency: int
) -> Generator[Window, None, None]:
    """Read a range, completely and in order.

    Args:
        fetch: Fetches a page.
        whole: The range and its first page.
        limit: How many events to ask for in one request.
        concurrency: How many requests may be under way at a time; with 1, they are
            made in this thread.

    Yields:
        Windows in ascending order that together are the range.

    Raises:
        IncompleteError: If the server counts more events in a window than it gives.
        Exception: What `fetch` or the unpacking raises, after the windows before have
            been yielded.
    """
    held = yield from _windows(fetch, whole, limit, concurrency, MARGIN)
    if held >= whole.first.total:
        return
    first = fetch(whole.range.query(0, limit))()
    if held < first.total:
        _logger.warning(
            "The windows held %d events, but their range %d: reading it once more.",
            held,
            first.total,
        )
        whole = Part(whole.range, first)
        yield from _windows(fetch, whole, limit, concurrency, WIDE_MARGIN)


def _windows(
    fetch: Fetch, whole: Part, limit: int, concurrency: int, margin: int
) -> Generator[Window, None, int]:
    # As many events may be under way as keep all threads busy while the oldest window
    # is waited for.
    ahead = MAX_EVENTS + 4 * concurrency * limit if concurrency > 1 else 1
    seen: set[str] = set()
    with _Requests(fetch, concurrency) as requests:
        work = _Work(whole, limit, margin, requests)
        while True:
            work.go_on(ahead)
            if window := work.next_window():
                span = window.range
                first = span.start == whole.range.start
                events = [
                    event
                    for event in wanted(window.events, span, first=first, margin=margin)
                    if event.id not in seen
                ]
                seen = {event.id for event in events}  # Only neighbours overlap.
                yield Window(span, events)
            elif work.finished:
                return work.held
            else:
                work.take(requests.wait())


class _Work:
    """The plan, and the windows that are being read by it."""

    def __init__(
        self, whole: Part, limit: int, margin: int, requests: _Requests
    ) -> None:
        self.held = 0
        """How many events the windows hold, once it is all planned."""

        self._limit = limit
        self._margin = margin
        self._requests = requests
        self._planning = plan(whole, limit, margin, at_once=requests.concurrency)
        self._planned = False
        self._asked: _Batch | None = None
        self._pages: list[Page] | None = None
        self._error: Exception | None = None
        self._parts: deque[Part] = deque()
        self._readers: deque[_Reader] = deque()

    @property
    def finished(self) -> bool:
        """Whether all is planned and read."""
        return self._planned and not self._parts and not self._readers

    def go_on(self, ahead: int) -> None:
        """Plan a little ahead, and begin to read until so many events are under way."""
        while self._begin_next(ahead) or self._plan_next():
            pass

    def _begin_next(self, ahead: int) -> bool:
        under_way = sum(reader.size for reader in self._readers)
        if not self._parts or under_way >= ahead:
            return False
        part = self._parts.popleft()
        reader = _Reader(part, read(part, self._limit, self._margin))
        self._readers.append(reader)
        self._ask(reader, reader.go_on())
        return True

    def _plan_next(self) -> bool:
        too_far = len(self._parts) >= PARTS_AHEAD
        if self._planned or self._asked or self._error or too_far:
            return False
        try:
            # The first time, there is nothing to send.
            step = self._planning.send(self._pages)  # type: ignore[arg-type]
        except StopIteration as stop:
            self._planned, self.held = True, stop.value
            return False
        self._pages = None
        if isinstance(step, Part):
            self._parts.append(step)
        else:
            self._asked = _Batch(len(step))
            self._ask(None, step)
        return True

    def next_window(self) -> Window | None:
        """Give the next window in order, if it has been read.

        Raises:
            Exception: If it cannot be read, or nothing after the last one can.
        """
        if not self._readers:
            if self._error and not self._parts:
                raise self._error
            return None
        reader = self._readers[0]
        if reader.error:
            raise reader.error
        if reader.events is None:
            return None
        self._readers.popleft()
        return Window(reader.range, reader.events)

    def take(self, answer: _Answer) -> None:
        """Take an answer to whoever asked."""
        reader, batch = answer.reader, self._asked
        if reader is None:
            if batch and batch.take(answer.place, answer.page):
                self._asked = None
                # What failed is asked for again when it is the next that is due.
                self._pages = batch.pages
                if not self._pages:
                    failure = batch.answers[0]
                    self._error = failure if isinstance(failure, Exception) else None
        else:
            self._ask(reader, reader.take(answer.place, answer.page))
            if reader.error:
                # Nothing after it will be due.
                self._error = reader.error
                self._parts.clear()

    def _ask(self, reader: _Reader | None, queries: list[Query]) -> None:
        for place, query in enumerate(queries):
            self._requests.begin(query, reader, place)


class _Reader:
    """A window that is being read: what it asks for, and what has come so far."""

    def __init__(self, part: Part, reading: Reading) -> None:
        self.range = part.range
        self.size = part.first.total
        self.events: list[Event] | None = None
        self.error: Exception | None = None
        self._reading = reading
        self._batch = _Batch(0)

    def take(self, place: int, page: Page | Exception) -> list[Query]:
        """Take the answer to one of the queries, and go on when it was the last."""
        if isinstance(page, Exception):
            self.error = page
        elif self._batch.take(place, page) and not self.error:
            return self.go_on(self._batch.pages)
        return []

    def go_on(self, pages: list[Page] | None = None) -> list[Query]:
        """Go on with the pages that were asked for, None at the beginning."""
        try:
            queries = self._reading.send(pages)  # type: ignore[arg-type]
        except StopIteration as stop:
            self.events = stop.value
            return []
        except IncompleteError as error:
            self.error = error
            return []
        self._batch = _Batch(len(queries))
        return queries


class _Batch:
    """The answers to queries that were made together."""

    def __init__(self, count: int) -> None:
        self.answers: dict[int, Page | Exception] = {}
        self._count = count

    def take(self, place: int, answer: Page | Exception) -> bool:
        """Take the answer to one of the queries, and tell whether it was the last."""
        self.answers[place] = answer
        return len(self.answers) == self._count

    @property
    def pages(self) -> list[Page]:
        """The pages up to the first query that failed, in the order of the queries."""
        ordered = (self.answers[place] for place in range(self._count))
        return list(itertools.takewhile(_is_page, ordered))  # type: ignore[arg-type]


def _is_page(answer: Page | Exception) -> bool:
    return isinstance(answer, Page)


class _Answer(NamedTuple):
    reader: _Reader | None
    """Who asked; None is the plan."""

    place: int
    """Which of its queries this answers."""

    page: Page | Exception


class _Requests:
    """The requests under way, and those that wait for a thread.

    The threads are daemons, so that none of them keeps the process from ending.
    """

    def __init__(self, fetch: Fetch, concurrency: int) -> None:
        self._fetch = fetch
        self.concurrency = concurrency
        # The plan's come first: on them depends what is to be fetched at all.
        self._asked: queue.PriorityQueue[tuple[int, int, Query, _Reader | None, int]]
        self._asked = queue.PriorityQueue()
        # No more wait to be unpacked than threads could have fetched meanwhile, as they
        # take several times the memory of what comes of them.
        self._answered: queue.Queue[tuple[_Reader | None, int, _Packed | Exception]]
        self._answered = queue.Queue(concurrency)
        self._number = itertools.count()
        self._threads = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Begin no more requests; those under way are left to themselves."""
        self._closed = True
        if kind and not issubclass(kind, (Exception, GeneratorExit)):
            # The process is told to end, perhaps while it held the lock of a queue.
            return
        with contextlib.suppress(queue.Empty):
            while True:  # Whoever waits to answer is to end, too.
                self._answered.get_nowait()
        for _ in range(self._threads):
            self._asked.put((-1, next(self._number), Query(0, 0, 0, 0), None, 0))

    def begin(self, query: Query, reader: _Reader | None, place: int) -> None:
        """Begin a request, as soon as a thread is free."""
        self._asked.put((reader is not None, next(self._number), query, reader, place))
        if 1 < self.concurrency > self._threads:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True).start()

    def wait(self) -> _Answer:
        """Wait for the next answer, or with a concurrency of 1, get it."""
        if self.concurrency == 1:
            self._answer_next()
        reader, place, packed = self._answered.get()
        page = packed if isinstance(packed, Exception) else _outcome(packed)
        return _Answer(reader, place, page)

    def _work(self) -> None:
        while not self._closed:
            self._answer_next()

    def _answer_next(self) -> None:
        _, _, query, reader, place = self._asked.get()
        if self._closed:
            return
        packed = _outcome(lambda: self._fetch(query))
        self._answered.put((reader, place, packed))


def _outcome(function: Callable[[], _T]) -> _T | Exception:
    """Call a function; what it raises is raised where the window is due."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001
        return error
