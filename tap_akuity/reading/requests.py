"""Requests made ahead, several at a time.

Code gets the pages it needs in the order in which it needs them, and says beforehand
which it will need. Daemon threads make these requests meanwhile; they do not delay the
end of the process. Pages are decoded in the thread that gets them: with the GIL,
threads that decode would wait for each other, and not return to the network.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Self

from tap_akuity.api.errors import BadRequestError, PageTooBigError
from tap_akuity.api.query import Query
from tap_akuity.reading.ranges import IncompleteError, Page, Range

GRACE_SECONDS = 1.0
"""How long a request in progress is waited for after another has failed for good."""

MAX_UNSENT = 100
"""How many single events may be too big to be sent before the run ends."""

MAX_UNSENT_FIRST = 2
"""The same, before any page was small enough: a hostile server may send no other."""

MAX_FOREIGN = 3
"""How often a page is requested whose events lie outside the requested range."""


class _Call:
    """A request, and its response or error once it is done."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.is_urgent = self.is_started = self.is_done = False
        self.response: Any = None
        self.error: Exception | None = None


class Requests:
    """Makes requests ahead of the code that needs their responses.

    The first error that ends the run ends it: no request starts after it, and requests
    in progress are waited for `GRACE_SECONDS` at most.
    """

    def __init__(
        self,
        fetch: Callable[[Query], Any],
        decode: Callable[[Query, Any], Page],
        concurrency: int,
    ) -> None:
        """Initialize without starting a thread.

        Several threads call `fetch`, which makes a request, and only one calls
        `decode`, which converts the response to a page. At most `concurrency` requests
        are in progress, and with responses that wait to be decoded, which take much
        memory, twice as many.
        """
        self._fetch = fetch
        self._decode = decode
        self._concurrency = concurrency
        self._changed = threading.Condition()
        self._calls: dict[Query, _Call] = {}
        self._queue: deque[_Call] = deque()
        self._started = self._threads = 0
        self._fatal: Exception | None = None
        self._closed = False
        self._unsent: set[Query] = set()
        self._decoded = 0
        self.deepest = sys.maxsize
        """The largest offset that the server may accept, as far as known."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Start no more requests, and abandon those in progress."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def begin(self, queries: Iterable[Query]) -> None:
        """Make requests as soon as there is room, in this order, each once."""
        with self._changed:
            for query in queries:
                if query not in self._calls:
                    self._enqueue(query)

    def drop(self, queries: Iterable[Query]) -> None:
        """Forget those of the requests that were begun: they are no longer needed."""
        with self._changed:
            for query in queries:
                if call := self._calls.get(query):
                    if not call.is_started:
                        self._queue.remove(call)
                    self._forget(call)

    def get(self, query: Query) -> Page:
        """Return a page. If it was not begun, request it before all others.

        A page that is too big to be sent is requested in halves.

        Raises:
            BadRequestError: If the server rejects the query.
            IncompleteError: If the server returns events from outside the range.
            Exception: The first error of any request that ends the run.
        """
        for _ in range(MAX_FOREIGN):
            try:
                page = self._decode(query, self._response(query))
            except PageTooBigError as error:
                problem = str(error)
                break  # Leave the handler, which keeps the page in memory.
            if not page.is_foreign_to(query):
                self._decoded += 1
                return page
        else:
            raise IncompleteError(
                "Akuity returns events from outside the requested range "
                f"{Range(query.start, query.end)}, repeatedly: check `api_url` and the "
                "proxy, and run the sync again later."
            )
        return self._in_halves(query, problem)

    def _in_halves(self, query: Query, problem: str) -> Page:
        if query.limit == 1:
            self._unsent.add(query)
            most = MAX_UNSENT if self._decoded else MAX_UNSENT_FIRST
            if len(self._unsent) > most:
                raise PageTooBigError(problem)
            return Page([], query.offset + 1, unsent=(problem,))
        half = query.limit // 2
        newer = self.get(query._replace(limit=half))
        older = self.get(
            query._replace(offset=query.offset + half, limit=query.limit - half)
        )
        return Page(
            newer.events + older.events,
            max(newer.total, older.total),
            newer.unsent + older.unsent,
            problem,
            date=newer.date or older.date,
        )

    def _response(self, query: Query) -> Any:  # noqa: ANN401
        with self._changed:
            call = self._calls.get(query) or self._enqueue(query)
            if not call.is_started:
                call.is_urgent = True
                self._queue.remove(call)
                self._queue.appendleft(call)
                self._changed.notify_all()
            self._wait(call)
            self._forget(call)
            if call.error:
                is_rejected = isinstance(call.error, BadRequestError)
                error = call.error if is_rejected else self._fatal or call.error
                call.error = None
                try:
                    raise error
                finally:
                    del error  # Its traceback keeps this frame, and all that called.
            return call.response

    def _wait(self, call: _Call) -> None:
        deadline = None
        while not call.is_done:
            if self._fatal:
                deadline = deadline or time.monotonic() + GRACE_SECONDS
                if not call.is_started or time.monotonic() >= deadline:
                    raise self._fatal
            self._changed.wait(GRACE_SECONDS if deadline else None)

    def _enqueue(self, query: Query) -> _Call:
        call = self._calls[query] = _Call(query)
        self._queue.append(call)
        if self._threads < self._concurrency:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True).start()
        self._changed.notify()
        return call

    def _forget(self, call: _Call) -> None:
        del self._calls[call.query]
        if call.is_started:
            self._started -= 1
            self._changed.notify()

    def _work(self) -> None:
        while call := self._next():
            try:
                call.response = self._fetch(call.query)
            except PageTooBigError as error:
                # The traceback would keep the page in memory.
                call.error = PageTooBigError(str(error))
            except Exception as error:  # noqa: BLE001, raised by `get`
                call.error = error
            with self._changed:
                call.is_done = True
                if call.error and not isinstance(call.error, BadRequestError):
                    self._fatal = self._fatal or call.error
                self._changed.notify_all()
            del call  # An idle thread must not keep a response.

    def _next(self) -> _Call | None:
        with self._changed:
            while not (self._closed or self._fatal):
                if self._queue and (
                    self._queue[0].is_urgent or self._started < 2 * self._concurrency
                ):
                    call = self._queue.popleft()
                    call.is_started = True
                    self._started += 1
                    return call
                self._changed.wait()
        return None
