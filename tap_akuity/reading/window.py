"""One window, read completely.

What is assumed, and what happens where the assumption is wrong:

- Nobody knows whether the ends of a range are inclusive, or whether the server compares
  fractions of a second. Windows meet at whole seconds, each is requested from a margin
  before its start, and an event that is in two windows is kept once.
- Nobody knows whether the server filters on the first or the last time of an event. An
  event from outside its window is kept. It is in order within its window only.

What is checked:

- A window is read until as many events have been seen as the server counts. If some are
  missing, or rows disappeared in the meantime, it is read again with different page
  boundaries, and events seen before still count. This also collects ties that the
  server shuffles. If reading again finds nothing new, `IncompleteError` is raised.
- If rows come and go during every reading of a window, its count never settles. After
  `MAX_MOVING` readings it is enough to have seen as many events as the smallest of the
  last counts.
- Identical rows on one page are one event, but each of them counts.
- A window may hold only a limited number of rows more than its count.

What cannot be known: events that arrive in a window after it was read (the lookback of
the next run reads those), and events that the server does not count.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NoReturn

from tap_akuity.reading.ranges import MARGIN, OverloadError, Page, leading
from tap_akuity.records.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_akuity.api.query import Query
    from tap_akuity.reading.limits import Limits
    from tap_akuity.reading.plan import Piece
    from tap_akuity.reading.ranges import Ask, Asking, Outcome, Range
    from tap_akuity.records.event import Event
    from tap_akuity.records.rows import Key

MAX_FRUITLESS = 10
"""How often an incomplete window is read again without a new event.

If the server shuffles 50,000 ties for every page, each reading misses an event with a
probability of 1/e; then the probability of giving up wrongly is 1 in 20,000.
"""

MAX_SECOND = 3
"""How many times larger than a window the records of one second may be."""

MAX_MOVING = 3
"""How often a window in which rows come and go is read before it is accepted."""


class IncompleteError(Exception):
    """The server's count of a window differs from the events that it returns."""


class TooLargeError(Exception):
    """The records of a window are larger than its first page suggests."""

    def __init__(self, span: Range, limits: Limits) -> None:
        """Create the error.

        Args:
            span: The window.
            limits: The limits to read it with.
        """
        super().__init__()
        self.range = span
        self.limits = limits


def read(piece: Piece, limits: Limits, margin: int = MARGIN) -> Asking[list[Event]]:
    """Read a window.

    Args:
        piece: A range and its first page.
        limits: How much to request, and to hold in memory.
        margin: See `ranges.MARGIN`.

    Yields:
        Queries, to be resumed with the outcomes in the same order.

    Returns:
        All events that the server returned, each once, in ascending order.

    Raises:
        IncompleteError: If the server counts more events than it returns, or returns
            more than it counts.
        TooLargeError: If the records take more memory than a window may.
        Exception: The failure of a query.
    """
    window = _Window(piece, limits, margin)
    counted: dict[Key, int] = {}
    first, total = piece.first, piece.total
    rounds = moving = fruitless = 0
    while first:
        known = len(window.rows)
        totals, copies = yield from window.walk(first)
        least = min(totals)
        if least < total:
            counted.clear()  # Rows disappeared, perhaps some that were counted.
        _raise_to(counted, copies)
        total, held = max(totals), sum(counted.values())
        if held >= total == least:
            break
        moving = moving + 1 if least < total else 0
        if moving >= MAX_MOVING and held >= least:
            break
        fruitless = fruitless + 1 if len(window.rows) == known else 0
        if fruitless >= MAX_FRUITLESS:
            msg = (
                f"Akuity counts {total} events from {piece.range} but returns {held}, "
                "repeatedly: run the sync again later, and contact Akuity's "
                "support if that does not help."
            )
            raise IncompleteError(msg)
        # Other page boundaries find events that fell between the last pages.
        rounds += 1
        outcomes = yield [
            piece.range.query(0, rounds % window.step or window.step, margin)
        ]
        (first,) = leading(outcomes, Page)
    return window.rows.events()


class _Window:
    """The events of a window that have been read so far."""

    def __init__(self, piece: Piece, limits: Limits, margin: int) -> None:
        self.rows = Rows()
        received = len(piece.first.events) if piece.first else 0
        # The size of a full page: the server may cap the limit silently.
        capped = 0 < received < min(limits.page_size, piece.total)
        self.step = received if capped else limits.page_size
        self._range = piece.range
        self._limits = limits
        self._margin = margin
        # Allows for rows that arrive in the meantime, but not for endless rows.
        self._most = 2 * piece.total + limits.max_events

    def walk(
        self, first: Page
    ) -> Generator[list[Ask], list[Outcome], tuple[list[int], dict[Key, int]]]:
        """Query all pages after the first, many at a time.

        Offsets follow the rows received, not the rows requested. Neither the server's
        count nor a page that is not full is enough to detect the end. Beyond the count,
        or beyond what a window may hold, pages without new events are the end; before
        it, they may only mean that new arrivals have shifted old events.

        Returns:
            The counts of all pages, and how often each event occurs on one page.
        """
        totals, copies = [first.total], self._take(first)
        reached = len(first.events)
        full = reached >= self.step
        ahead = range(reached, first.total, self.step)
        at_once = -(-self._limits.max_events // self.step)
        rests: list[Query] = []
        while rests or ahead or full or reached < totals[-1]:
            queries = rests or [
                self._range.query(offset, self.step, self._margin)
                for offset in ahead[:at_once] or (reached,)
            ]
            if not rests:
                ahead = ahead[at_once:]
            rests = []
            known, rows = len(copies), 0
            pages = self._pages((yield list(queries)))
            for query, page in zip(queries, pages, strict=True):
                totals.append(page.total)
                _raise_to(copies, self._take(page))
                got = len(page.events)
                rows += got
                end = query.offset + got
                reached, full = max((reached, full), (end, got >= query.limit))
                if 0 < got < query.limit and end < page.total:
                    rests.append(query._replace(offset=end, limit=query.limit - got))
            past = reached >= min(totals[-1], self._limits.max_events)
            if len(copies) == known and (past or not rows):
                break
        return totals, copies

    def _take(self, page: Page) -> dict[Key, int]:
        """Keep the rows of a page, and count how often each event occurs there."""
        keys = self.rows.add(page.events)
        if len(self.rows) > self._most:
            msg = (
                f"Akuity keeps returning events from {self._range}, although it "
                "counted far fewer: run the sync again later, and contact Akuity's "
                "support if that does not help."
            )
            raise IncompleteError(msg)
        if self.rows.size > self._limits.max_bytes and (
            self._range.can_be_cut
            or self.rows.size > MAX_SECOND * self._limits.max_bytes
        ):
            self._refuse(self.rows.events())
        return Counter(keys)

    def _pages(self, outcomes: list[Outcome]) -> list[Page]:
        pages = [outcome for outcome in outcomes if isinstance(outcome, Page)]
        for outcome in outcomes:
            if isinstance(outcome, OverloadError):
                self._refuse([event for page in pages for event in page.events])
            if isinstance(outcome, Exception):
                raise outcome
        return pages

    def _refuse(self, events: list[Event]) -> NoReturn:
        """Abandon a window whose records are too large."""
        if self._range.can_be_cut:
            raise TooLargeError(self._range, self._limits.suited_to(events))
        msg = (
            f"The events from {self._range} are too large to be held in memory: leave "
            "them out by `start_date`, `end_date` or a filter."
        )
        raise IncompleteError(msg)


def _raise_to(counts: dict[Key, int], others: dict[Key, int]) -> None:
    if counts.keys().isdisjoint(others):
        counts.update(others)  # The usual case, and faster.
        return
    for key, count in others.items():
        counts[key] = max(count, counts.get(key, 0))
