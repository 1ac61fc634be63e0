"""One window, read completely.

A walk reads the pages of a window, each from the last row of the one before, so that it
notices when rows shift meanwhile. A walk is exact if they did not, if all pages say the
same count, and if as many rows came: it is a picture of one moment. It is steady if
rows changed places only with rows of the same time. A window is complete

1. after an exact walk in which no row comes twice, or of a single page;
2. after two exact walks with other boundaries and the same rows in the same order: what
   comes twice is identical rows;
3. after two steady walks, the second without a new event, once as many events are known
   as counted: the server shuffles simultaneous events;
4. after `MAX_FRUITLESS` walks in a row without a new event, if as many events are known
   as counted, or as many rows came each time: the rest is identical rows.

Less than before is not believed at once. A page with fewer rows or a lower count than
its range has shown is requested again. If the count stays lower than it was, it has to
be said `CONFIRMATIONS` times in a row, and a warning says what was lost. A window that
does not become complete is read in smaller ones, down to single pages and to two
seconds; then it is an error. What cannot be known: events that arrive after a window
was read (the lookback reads those), and events that are never counted.
"""

import logging
from itertools import count
from typing import NamedTuple, NoReturn

from tap_akuity.api.errors import BadRequestError, PageTooBigError
from tap_akuity.api.query import Query
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import CONFIRMATIONS, Piece
from tap_akuity.reading.ranges import IncompleteError, Page
from tap_akuity.reading.requests import Requests
from tap_akuity.records.event import Event
from tap_akuity.records.rows import Rows

_logger = logging.getLogger(__name__)

MAX_FRUITLESS = 10
"""How many walks without a new event end the reading.

If the server shuffles 50,000 ties for every page, each walk misses an event with a
probability of 1/e; then the probability of giving up wrongly is 1 in 20,000.
"""

MAX_WALKS = 3
"""How many walks a window gets before it is read in smaller ones."""

MAX_SECOND = 3
"""How many times larger than a window the records of one second may be."""

MAX_ARRIVALS = 10_000
"""How many events more than twice its count a window may turn out to hold."""

MAX_STALE = 3
"""How many pages in a row may bring nothing new: some servers ignore the offset."""

_SHIFT = 0.618
"""What part of a page the boundaries of each walk are moved by."""


class TooLargeError(Exception):
    """A window has to be read in smaller ones, with these limits."""

    def __init__(self, total: int, limits: Limits) -> None:
        super().__init__()
        self.total = total
        self.limits = limits


class Contents(NamedTuple):
    """The contents of a window."""

    events: list[Event]
    """All events, each once, in ascending order."""

    rows: int
    """How many rows of the server they are."""

    unsent: tuple[str, ...] = ()
    """See `Page`."""


class _Walk:
    """The pages of a walk so far, and whether rows shifted between them."""

    def __init__(self, first: Page) -> None:
        self.page = first
        """The last page."""

        self.pages = 1
        self.events = list(first.events)
        """The rows, in the order of the pages."""

        self.unsent, self.too_big = first.unsent, first.too_big
        self.reached, self.counted = first.rows, first.total
        self.is_over = False
        """Whether the last page led no further."""

        self._seen = {one.id for one in first.events}
        self._stale = 0
        self._is_steady = self._is_exact = True

    def add(self, page: Page, *, shared: bool) -> None:
        """Add the next page, which may share its first row with the one before."""
        is_joined = bool(page.rows) or not shared
        if shared and page.rows and not (self.page.unsent or page.unsent):
            one, other = self.page.events[-1], page.events[0]
            is_joined = one.id == other.id
            self._is_steady &= _are_tied(one, other)
        self._is_exact &= is_joined and (shared or not page.rows)
        self._is_steady &= page.total == self.counted
        self.page = page
        self.pages += 1
        self.events += page.events[shared:]
        self.unsent += page.unsent
        self.too_big = self.too_big or page.too_big
        self.reached += max(page.rows - shared, 0)
        is_new = not self._seen.issuperset(one.id for one in page.events)
        self._seen.update(one.id for one in page.events)
        self._stale = 0 if is_new or is_joined else self._stale + 1
        self.is_over = page.rows <= shared or self._stale == MAX_STALE

    @property
    def total(self) -> int:
        """The last count."""
        return self.page.total

    @property
    def is_full(self) -> bool:
        """Whether as many rows came as were counted last."""
        return self.reached >= self.total

    @property
    def is_steady(self) -> bool:
        return self._is_steady and self.is_full

    @property
    def is_exact(self) -> bool:
        return self._is_exact and self.is_steady

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.events]


class Reading:
    """The reading of one window, whose pages are requested ahead."""

    def __init__(self, requests: Requests, piece: Piece, limits: Limits) -> None:
        self.piece = piece
        self._requests = requests
        self._limits = limits
        self._full = limits.page_size
        """How many rows a full page has: the server may cap the limit silently."""

        self._rows = Rows()
        self._unsent: tuple[str, ...] = ()
        self._counts: list[int] = []
        # Allows for rows that arrive in the meantime, but not for endless rows.
        self._most = 2 * piece.total + MAX_ARRIVALS
        self._begun: dict[int, Query] = {}
        self._first = piece.first or requests.get(self._query(0, limits.page_size))
        self._take(self._first)
        self._begin_after(self._first)

    @property
    def size(self) -> int:
        """The size of the records in bytes, estimated from the first page."""
        first = self._first
        return first.size * max(1, self.piece.total // max(1, len(first.events)))

    def finish(self) -> Contents:
        """Read the window completely.

        Raises:
            IncompleteError: If the server's count differs from its events.
            TooLargeError: If it has to be read in smaller windows.
            Exception: The failure of a request.
        """
        try:
            return self._finish()
        finally:
            self._requests.drop(self._begun.values())

    def _finish(self) -> Contents:
        limit = self._limits.page_size
        first = self._first
        if not min(limit, first.total) <= first.rows <= first.total:
            first = self._page(0, limit, first.total)
        before: _Walk | None = None
        fruitless, is_full = 0, True
        known = 0
        for number in count(1):
            walk = self._walk(first, limit)
            is_new = len(self._rows) > known
            if self._is_complete(walk, before, is_new=is_new):
                break
            before = walk
            fruitless = 0 if is_new else fruitless + 1
            is_full = walk.is_full and (is_new or is_full)
            if fruitless >= MAX_FRUITLESS:
                if is_full or len(self._rows) + len(walk.unsent) >= walk.total:
                    break
                self._give_up(walk.total)
            if number >= MAX_WALKS and walk.pages > 1 and walk.total > 1:
                self._divide(walk.total, min(self._full - 1, walk.total // 2))
            known = len(self._rows)
            # Other boundaries find events that fell between the pages.
            if walk.pages > 1 and self._full > 2:  # noqa: PLR2004, one of two is shared
                limit = 2 + int(number * _SHIFT % 1 * (self._full - 2))
            first = self._page(0, limit, max(walk.total, *self._counts))
        return self._contents(walk)

    def _is_complete(self, walk: _Walk, before: _Walk | None, *, is_new: bool) -> bool:
        """Apply the rule at the head of this module."""
        if walk.total < max(self._counts):
            latest = self._counts[-CONFIRMATIONS:]
            if latest != [walk.total] * CONFIRMATIONS:
                return False
        if walk.is_exact:
            is_same = before and before.is_exact and before.ids == walk.ids
            if is_same or walk.too_big:
                return bool(is_same)
            return walk.pages == 1 or len(set(walk.ids)) == len(walk.events)
        is_known = len(self._rows) + len(walk.unsent) >= walk.total
        is_steady = before and before.is_steady and walk.is_steady
        return bool(is_steady) and is_known and not is_new

    def _walk(self, first: Page, limit: int) -> _Walk:
        """Read all pages after the first, each from the last row of the one before."""
        walk = _Walk(first)
        while not walk.is_over and self._may_go_on(walk, limit):
            self._begin_after(walk.page, walk.reached)
            shared = self._full > 1 and walk.reached > 0
            offset, limit = walk.reached - shared, self._limits.page_size
            page = self._page(offset, limit, walk.counted)
            if shared and not page.rows and page.total >= walk.counted:
                self._refuse(offset)
            walk.add(page, shared=shared)
        return walk

    def _may_go_on(self, walk: _Walk, limit: int) -> bool:
        """Return whether rows may follow, even if they are not counted yet.

        A single page with a round number of rows may be cut off by a silent cap.
        """
        rows = walk.page.rows
        is_round = walk.pages == 1 and rows > 0 and rows % 10 == 0
        is_short = walk.reached != walk.counted
        return is_short or rows >= min(limit, self._full) or is_round

    def _page(self, offset: int, limit: int, total: int) -> Page:
        """Get a page; if it has less than is known, do not believe it at once."""
        page = self._get(offset, limit)
        for _ in range(CONFIRMATIONS - 1):
            least = min(limit, self._full, total - offset)
            if page.total >= total and least <= page.rows <= page.total - offset:
                break
            last, page = page, self._get(offset, limit)
            if page.rows and (page.rows, page.total) == (last.rows, last.total):
                if page.rows < min(limit, page.total - offset):
                    self._full = max(page.rows, 1)
                break
        return page

    def _get(self, offset: int, limit: int) -> Page:
        self._begun.pop(offset, None)
        try:
            page = self._requests.get(self._query(offset, limit))
        except PageTooBigError:
            raise
        except BadRequestError as error:
            if not offset:
                raise
            self._requests.deepest = min(self._requests.deepest, offset)
            self._refuse(offset, f" {error}")
        self._take(page)
        return page

    def _query(self, offset: int, limit: int) -> Query:
        return self.piece.range.query(offset, limit)

    def _begin_after(self, page: Page, reached: int = 0) -> None:
        """Request the next pages ahead, if they are likely to be full as well."""
        step, reached = self._full - 1, reached or page.rows
        if page.rows < self._full or step < 1 or reached - 1 in self._begun:
            return
        self._requests.drop(self._begun.values())
        last = min(page.total, reached + self._limits.max_events) - 1
        self._begun = {
            offset: self._query(offset, self._limits.page_size)
            for offset in range(reached - 1, last, step)
        }
        self._requests.begin(self._begun.values())

    def _take(self, page: Page) -> None:
        """Keep the rows of a page, and its count."""
        self._counts.append(page.total)
        self._rows.add(page.events)
        self._unsent = max(self._unsent, page.unsent, key=len)
        if len(self._rows) > self._most:
            raise IncompleteError(
                f"Akuity keeps returning events from {self.piece.range}, although it "
                "counted far fewer: run the sync again later, and contact Akuity's "
                "support if that does not help."
            )
        most = self._limits.max_bytes
        if self._rows.size > (most if self.piece.can_be_cut else MAX_SECOND * most):
            suited = self._limits.suited_to(self._rows.events())
            self._divide(page.total, suited.max_events)
            raise IncompleteError(
                f"The events from {self.piece.range} are too large to be held in "
                "memory: leave them out by `start_date`, `end_date` or a filter."
            )

    def _divide(self, total: int, max_events: int) -> None:
        """Read the window in smaller ones, if it can be cut."""
        if self.piece.can_be_cut:
            raise TooLargeError(total, self._limits.up_to(max_events))

    def _refuse(self, offset: int, why: str = "") -> NoReturn:
        """End a reading that the server does not let go on to an offset."""
        self._divide(offset + 1, offset)
        raise IncompleteError(
            f"Akuity does not return the events from {self.piece.range} beyond number "
            f"{offset}: leave them out by `start_date`, `end_date` or a filter, and "
            f"contact Akuity's support.{why}"
        )

    def _give_up(self, total: int) -> NoReturn:
        raise IncompleteError(
            f"Akuity counts {total} events from {self.piece.range} but returns "
            f"{len(self._rows)}, repeatedly: run the sync again later, and contact "
            "Akuity's support if that does not help."
        )

    def _contents(self, walk: _Walk) -> Contents:
        rows = self._rows
        if walk.is_exact and len(rows) > len(walk.events):
            # A later reading of an event replaces an earlier one.
            rows, known = Rows(), set(walk.ids)
            rows.add(walk.events)
            rows.add(one for one in self._rows.events() if one.id not in known)
        unsent = max(self._unsent, walk.unsent, key=len)
        if not walk.is_exact and len(rows) + len(unsent) > walk.total:
            # An update of the server in the meantime looks like twins.
            one_each = {event.id: event for event in rows.events()}
            if len(one_each) + len(unsent) >= walk.total:
                rows = Rows()
                rows.add(one_each.values())
        if walk.too_big and not walk.is_exact:
            # Shuffled between the halves of a page, not identical rows.
            missing = walk.total - len(rows) - len(unsent)
            unsent += (walk.too_big,) * missing
        held = len(rows) + len(unsent)
        highest = max(self._counts)
        if (gone := highest - max(held, walk.total)) > 0:
            _logger.warning(
                "Akuity counted %d events from %s, and then %d: %d disappeared before "
                "they could be read.",
                highest,
                self.piece.range,
                walk.total,
                gone,
            )
        elif walk.is_full and held < walk.total:
            _logger.info(
                "Akuity returns %d rows from %s that are identical to others: each "
                "event is emitted once.",
                walk.total - held,
                self.piece.range,
            )
        return Contents(rows.events(), max(held, walk.total), unsent)


def _are_tied(one: Event, other: Event) -> bool:
    """Return whether two events may change places: they happened at the same time."""
    return one.timestamp == other.timestamp or (
        bool(one.last_occurred) and one.last_occurred == other.last_occurred
    )
