"""The reader: from a range of time to its events, window by window."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.errors import BadRequestError
from tap_akuity.api.query import Query
from tap_akuity.reading.executor import Executor
from tap_akuity.reading.plan import Piece
from tap_akuity.reading.ranges import Found, Nothing, Page, Range, Refused
from tap_akuity.reading.windows import windows
from tap_akuity.records.event import RecordError, parse_items
from tap_akuity.records.filters import ActorFilter
from tap_akuity.records.members import UnknownMembers
from tap_akuity.text import timestamps
from tap_akuity.text.masking import one_line

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Iterator

    from tap_akuity.api.client import AkuityClient, PageResponse
    from tap_akuity.reading.executor import Task
    from tap_akuity.reading.limits import Limits
    from tap_akuity.reading.ranges import Ask, Asking, Response
    from tap_akuity.reading.recount import Recount
    from tap_akuity.reading.windows import Window
    from tap_akuity.records.event import Event

_T = TypeVar("_T")

CLOCK_TOLERANCE = 5 * timestamps.SECOND
"""How far the local clock may be off the server's and still be used."""

MAX_NAMES = 20
"""How many names of members a log line shows."""


class Reader:
    """Reads the events of an organization."""

    def __init__(  # noqa: PLR0913, all by name
        self,
        client: AkuityClient,
        *,
        organization_id: str,
        limits: Limits,
        origins: Collection[str],
        actor_ips: Collection[str],
        precision: str,
        logger: logging.Logger,
    ) -> None:
        """Create a reader.

        Args:
            client: Fetches the pages.
            organization_id: The organization whose events the client fetches.
            limits: How much to read at a time.
            origins: Only events with one of these origins are wanted; all if empty.
            actor_ips: Only events from one of these addresses; all if empty.
            precision: Precision of the timestamps; see `timestamps.PRECISIONS`.
            logger: Logs anything unusual.
        """
        self._client = client
        self._organization_id = organization_id
        self._limits = limits
        self.filter = ActorFilter(origins, actor_ips)
        """Which events are wanted."""

        self._precision = precision
        self._logger = logger
        self._unknown = UnknownMembers()
        self._unfiltered = False
        self._cut = False

    def now(self) -> int:
        """Return the time by the local clock or the server's, whichever is earlier.

        Nothing that happens from now on is before it, even if one of them is wrong.

        Returns:
            Nanoseconds since the Unix epoch; the server's time is to the second.
        """
        here = time.time_ns()
        query = Query(here, here + timestamps.SECOND, 0, 1)
        return min(here, self._client.fetch(query).date or here)

    def begin(self, start: int, end: int | None) -> Piece:
        """Fix the end of the range to read, so that no page shifts.

        Args:
            start: Where it starts: nanoseconds since the Unix epoch.
            end: Where it ends at the latest; never in the future, by the server's
                clock if that differs from the local one.

        Returns:
            The range and its first page.
        """
        here = time.time_ns()
        span = Range(start, _until(here, start, end))
        query = span.query(0, self._limits.page_size)
        response = self._client.fetch(query)
        there = response.date
        if span.end != end and there and abs(there - here) >= CLOCK_TOLERANCE:
            self._logger.info(
                "Local clock is %d seconds off; using the server's.",
                (here - there) // timestamps.SECOND,
            )
            span = Range(start, _until(there + timestamps.SECOND, start, end))
            query = span.query(0, self._limits.page_size)
            response = self._client.fetch(query)
        page = self.page(query, response)
        return Piece(span, page.total, page)

    def windows(self, whole: Piece) -> Iterator[Window]:
        """Read a range, completely and in order.

        Args:
            whole: From `begin`.

        Yields:
            Windows in ascending order that together are the range.
        """
        twins: set[str] = set()
        try:
            for window in windows(self._fetch, whole, self._limits):
                twins |= window.twins
                wanted = self._filtered(window)
                self._warn_if_cut(wanted.events)
                yield wanted
        finally:
            if twins:
                self._logger.warning(
                    "Events of one instant differ only in %s, which is now part of "
                    "their ids: please report this, so that the tap can take it into "
                    "account.",
                    _names(twins),
                )
            if self._unknown.names:
                self._logger.info(
                    "Akuity sends members that the schema does not describe yet; the "
                    "records include them anyway: %s.",
                    _names(self._unknown.names),
                )
                self._unknown.names.clear()

    def recounted(self, recount: Recount) -> Iterator[Window]:
        """Read the days again that have late events.

        Args:
            recount: The counts of each day; updated once the last window of a day has
                been consumed.

        Yields:
            Windows in ascending order.
        """
        for day in self._ask(recount.ask(self._limits.page_size)):
            span = Range(day.range.start, min(day.range.end, recount.start))
            for window in self.windows(Piece(span, day.total)):
                yield window._replace(again=True)
            recount.accept(day)
        recount.finish()

    def _ask(self, steps: Asking[_T]) -> _T:
        with Executor(self._fetch, self._limits.concurrency) as executor:
            task: Task[None, _T] = executor.start(steps)
            while not task.done:
                executor.wait()
        return task.result()

    def page(self, query: Query, response: PageResponse) -> Page:
        """Decode a page.

        Args:
            query: What was requested.
            response: The page.

        Raises:
            FatalAPIError: If an event cannot be read.
        """
        try:
            events = parse_items(
                response.items,
                self._organization_id,
                # Some servers may return their default for a smaller limit.
                most=2 * max(query.limit, 1_000),
                unknown=self._unknown,
                precision=self._precision,
            )
        except RecordError as error:
            msg = (
                f"An event from {Range(query.start, query.end)} cannot be read, so the "
                f"sync stops before it: {one_line(str(error))}."
            )
            raise FatalAPIError(msg) from error
        return Page(events, response.total_count)

    def _fetch(self, ask: Ask) -> Callable[[], Response]:
        if isinstance(ask, Query):
            return partial(self.page, ask, self._client.fetch(ask))
        try:
            query = Query(ask.start, ask.end, ask.offset, 1)
            return partial(self._found, query, self._client.fetch(query))
        except BadRequestError:
            return Refused

    def _found(self, query: Query, response: PageResponse) -> Found | Nothing:
        page = self.page(query, response)
        if not page.events:
            return Nothing(page.total)
        return Found(timestamps.parse(page.events[0].timestamp))

    def _filtered(self, window: Window) -> Window:
        """Drop events that an older server did not filter out."""
        if not self.filter:
            return window
        events = list(filter(self.filter.matches, window.events))
        if len(events) < len(window.events) and not self._unfiltered:
            self._unfiltered = True
            self._logger.warning(
                "The server does not filter by `origins` or `actor_ips`, perhaps "
                "because it is too old: the tap filters its events."
            )
        return window._replace(events=events)

    def _warn_if_cut(self, events: list[Event]) -> None:
        if self._cut or self._precision != timestamps.MICROSECONDS:
            return
        for event in events:
            # Empty if the event never occurred again.
            last = event.last_occurred or event.timestamp
            if timestamps.is_fine(event.timestamp) or timestamps.is_fine(last):
                self._cut = True
                self._logger.warning(
                    "Setting `timestamp_precision` is `microseconds`, so the digits of "
                    "timestamps after the sixth are cut, first of the event of %s.",
                    event.timestamp,
                )
                return


def _names(names: Collection[str]) -> str:
    shown = ", ".join(f"`{one_line(name)}`" for name in sorted(names)[:MAX_NAMES])
    return f"{shown} and others" if len(names) > MAX_NAMES else shown


def _until(now: int, start: int, end: int | None) -> int:
    """Return the end of a range that is neither in the future nor empty."""
    return max(now if end is None else min(now, end), start + 1)
