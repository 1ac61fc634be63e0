"""The reader: from a range of time to its events, window by window."""

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple

from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.client import AkuityClient, PageResponse
from tap_akuity.api.errors import PageTooBigError
from tap_akuity.api.query import Query
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import CONFIRMATIONS, Piece
from tap_akuity.reading.ranges import Page, Range
from tap_akuity.reading.recount import Recount
from tap_akuity.reading.requests import Requests
from tap_akuity.reading.windows import Window, windows
from tap_akuity.records.event import Event, RecordError, parse_items
from tap_akuity.records.filters import ActorFilter
from tap_akuity.records.members import UnknownMembers
from tap_akuity.text import timestamps
from tap_akuity.text.masking import one_line

CLOCK_TOLERANCE = 5 * timestamps.SECOND
"""How far the local clock may be off the server's and still be used."""

MAX_NAMES = 20
"""How many names of members a log line shows."""


class Whole(NamedTuple):
    """A range to read."""

    range: Range

    piece: Piece
    """What to read for it, which may end later, and its first page."""

    @property
    def total(self) -> int:
        """The server's count of its events."""
        return self.piece.total


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
        """Create a reader of the events that the client fetches.

        The filters are the settings of their names; see `timestamps.PRECISIONS` for
        the precision.
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

        Nothing that happens from now on is before it, even if one of them is wrong. The
        server's is to the second.
        """
        here = time.time_ns()
        query = Query(here, here + timestamps.SECOND, 0, 1)
        return min(here, self._client.fetch(query).date or here)

    def get(self, query: Query) -> Page:
        """Return a page.

        Raises:
            PageTooBigError: If one of its events is too big to be sent.
        """
        with self._requests() as requests:
            page = requests.get(query)
            if page.unsent:
                raise PageTooBigError(page.unsent[0])
            return page

    def begin(self, start: int, end: int | None) -> Whole:
        """Fix the end of the range to read, so that no page shifts.

        It ends now at the latest, by the server's clock if the local one differs.
        """
        here = time.time_ns()
        with self._requests() as requests:
            span = Range(start, _until(here, start, end))
            whole = self._first(requests, span, here)
            there = whole.first.date if whole.first else None
            if there and span.end != end and abs(here - there) >= CLOCK_TOLERANCE:
                self._logger.info(
                    "Local clock is %d seconds off; using the server's.",
                    (here - there) // timestamps.SECOND,
                )
                there += timestamps.SECOND
                span = Range(start, _until(there, start, end))
                whole = self._first(requests, span, there)
        return Whole(span, whole)

    def _first(self, requests: Requests, span: Range, now: int) -> Piece:
        # A server that rounds times may have the last events a second later.
        later = (-(-span.end // timestamps.SECOND) + 1) * timestamps.SECOND
        span = Range(span.start, later if later <= now else span.end)
        query = span.query(0, self._limits.page_size)
        pages: list[Page] = []
        while len(pages) < CONFIRMATIONS:
            pages.append(requests.get(query))
            if 0 < pages[-1].rows <= pages[-1].total:
                return Piece(span, pages[-1].total, pages[-1])
        # Of contradictions, believe the highest count that was said twice.
        said = Counter(page.total for page in pages)
        page = max(pages, key=lambda page: (said[page.total] > 1, page.total))
        return Piece(span, page.total, page)

    def windows(self, whole: Whole) -> Iterator[Window]:
        """Read a range, completely and in order."""
        with self._requests() as requests:
            yield from self._windows(requests, whole.piece, whole.range.end)

    def recounted(self, recount: Recount) -> Iterator[Window]:
        """Read the days again that have late events.

        The count of a day is updated once its last window has been consumed.
        """
        with self._requests() as requests:
            for day in recount.grown(requests, self._limits.page_size):
                span = Range(day.range.start, min(day.range.end, recount.start))
                is_whole = True
                for window in self._windows(requests, Piece(span, day.total), span.end):
                    is_whole &= not window.unsent
                    yield window._replace(again=True)
                if is_whole:
                    recount.accept(day)
        recount.finish()

    def _requests(self) -> Requests:
        return Requests(self._client.fetch, self.page, self._limits.concurrency)

    def _windows(
        self, requests: Requests, whole: Piece, until: int
    ) -> Iterator[Window]:
        twins: set[str] = set()
        try:
            for window in windows(requests, whole, self._limits, until):
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

    def page(self, query: Query, response: PageResponse) -> Page:
        """Decode a page; FatalAPIError if an event cannot be read."""
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
            raise FatalAPIError(
                f"An event from {Range(query.start, query.end)} cannot be read, so the "
                f"sync stops before it: {one_line(str(error))}."
            ) from error
        return Page(events, response.total_count, date=response.date)

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
