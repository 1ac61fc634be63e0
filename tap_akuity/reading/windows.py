"""Reading a time range of any size as small windows, in ascending order, completely.

Knows neither HTTP nor Singer: here is decided what to ask for next and what the answers
mean; `tap_akuity.reading.fetching` does the asking.

The API gives pages by offset only, and a server that is asked for a far offset has to
skip all rows before it. So the range is cut where the events lie into windows of at
most `MAX_EVENTS`, whose pages have small offsets. How many events a window holds, and
so whether to cut it, the `totalCount` of its first page tells.

What is assumed, and what happens where the assumption is wrong:

- Events come newest first. Only the places of the cuts depend on it. Every window is
  read for itself, so a bad cut costs requests and nothing else.
- Nobody knows whether the ends of a range are inclusive, or whether the server looks at
  fractions of a second. Windows meet at whole seconds, each is asked for from `MARGIN`
  before its start, and an event that came with two windows is kept once.
- Nobody knows whether the server looks at an event's first or last time. An event from
  outside its window is kept. It is in order within its window only.

What is checked:

- Each window is read until as many events were seen as the server counts. If some are
  missing, or rows went away meanwhile, it is read again, with the pages cut elsewhere,
  and what was seen before still counts. Ties that the server shuffles come together in
  this way. If reading brings nothing new any more, `IncompleteError` ends it.
- Where rows come and go each time that a window is read, its count is never still.
  After `MAX_MOVING` readings it is enough to have seen as many events as the least of
  the last counts.
- An event that stands twice on one page counts twice: two that do not differ in
  anything the id is made of. They are kept as one.
- The windows together have to hold as many events as the whole range. If they do not,
  and no rows went away, all are read again with a wide margin.

What cannot be known: what arrives in a window after it was read (the lookback of the
next sync is for that), and what the server leaves out of its count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from tap_akuity.api.query import Query
from tap_akuity.records.timestamps import MILLISECOND, SECOND, parse, to_bound, to_text

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeAlias

    from tap_akuity.records.event import Event

MAX_EVENTS = 11_000
"""How many events a window may hold before it is cut, and so the largest offset."""

GOAL = 9_490
"""How many events a cut aims at.

Less, so that an estimate may be off; and a little less than pages of 500 or of any
other divisor of 9,500 hold, so that the last of them is nearly full.
"""

PEELABLE = 100_000
"""Up to how many events windows are cut off one by one, at places that are looked up.

Looking up is exact where events cluster, but with more of them it would take long
before the first window is known.
"""

MAX_GROWTH = 8
"""How much wider than a sparse window the next may be."""

MAX_FRUITLESS = 10
"""How often an incomplete window is read again without anything new.

If 50,000 ties come in a new order with every page, a reading misses each with a chance
of 1/e; then the chance to give up wrongly is 1 to 20,000.
"""

MAX_MOVING = 3
"""How often a window is read in which rows come and go, before that is accepted."""

MARGIN = MILLISECOND
"""How much before a whole second a range is asked for.

It makes an exclusive start as good as an inclusive one, also for a server that drops
fractions of a second: that one sees the second before.
"""

WIDE_MARGIN = SECOND + MILLISECOND
"""The margin for a server of which `MARGIN` is not enough, whatever it does."""


class IncompleteError(Exception):
    """The server counts more events in a window than it gives."""


class Page(NamedTuple):
    """What one request brings."""

    events: list[Event]
    total: int
    """How many events the asked range holds, before limit and offset."""


class Range(NamedTuple):
    """A half-open range of time, in nanoseconds since the Unix epoch."""

    start: int
    end: int

    def query(self, offset: int, limit: int, margin: int = MARGIN) -> Query:
        """Ask for a little more than the range, see `MARGIN`."""
        start = self.start // SECOND * SECOND - margin
        return Query(start, -(-self.end // SECOND) * SECOND, offset, limit)

    def __str__(self) -> str:
        """Name the range in messages."""
        return f"{to_bound(self.start)} to {to_bound(self.end)}"


class Part(NamedTuple):
    """A range that is small enough to be read, or cannot be cut."""

    range: Range
    first: Page
    """Its first page."""


Planning: TypeAlias = "Generator[list[Query] | Part, list[Page], int]"
Reading: TypeAlias = "Generator[list[Query], list[Page], list[Event]]"


class _Piece(NamedTuple):
    """A range that may have to be cut."""

    range: Range
    estimate: int
    """How many events it may hold."""

    page: Page | None = None
    """Its first page, if it is there: then the estimate is what that says."""

    width: int = 0
    """How wide to cut at least, after a sparse part."""

    clustered: bool = False
    """Whether an estimate from how wide it is was wrong."""

    @property
    def is_small(self) -> bool:
        """Whether it need not be cut, or cannot be."""
        return self.estimate <= MAX_EVENTS or not _divisible(self.range)

    @property
    def is_due(self) -> bool:
        """Whether its first page is to be asked for."""
        return self.page is None and self.is_small


def plan(
    whole: Part, limit: int, margin: int = MARGIN, *, at_once: int = 1
) -> Planning:
    """Cut a range into parts, in ascending order.

    Args:
        whole: The range and its first page.
        limit: How many events a page may hold.
        margin: See `MARGIN`.
        at_once: How many requests to make at a time, where it seems to be safe that
            none of them is in vain.

    Yields:
        Requests, in answer to which their pages are to be sent, or the first of them;
        or a part that is ready.

    Returns:
        How many events the parts hold, by their first pages.
    """
    held = 0
    spread = at_once
    total = whole.first.total
    todo = [_Piece(whole.range, total, whole.first)]
    if total > MAX_EVENTS and _divisible(whole.range):
        # The far end: nothing lies before it, if the newest come first.
        (look,) = yield [whole.range.query(total - 1, 1, margin)]
        oldest, end = _moment(look) or whole.range.start, whole.range.end
        width = (end - oldest) * GOAL // total
        later, earlier = _cut(todo[0], oldest + width, before=GOAL)
        todo = [*_slice(later, width, spread - 1), earlier]
    while todo:
        piece = todo.pop()
        if piece.is_due:
            batch = [piece]
            while todo and todo[-1].is_due and len(batch) < at_once:
                batch.append(todo.pop())
            pages = yield [one.range.query(0, limit, margin) for one in batch]
            # Not all may have been answered.
            batch, unanswered = batch[: len(pages)], batch[len(pages) :]
            todo += unanswered[::-1]
            if todo and todo[-1].page is None:
                todo[-1] = _corrected(todo[-1], batch, pages)
            todo += [
                one._replace(page=page, estimate=page.total)
                for one, page in zip(batch[::-1], pages[::-1], strict=True)
            ]
            as_expected = all(GOAL // 2 < page.total <= MAX_EVENTS for page in pages)
            spread = at_once if as_expected else 1
        elif piece.page and piece.is_small:
            held += piece.page.total
            yield Part(piece.range, piece.page)
        elif piece.estimate <= PEELABLE and (piece.page or piece.clustered):
            (look,) = yield [piece.range.query(GOAL, 1, margin)]
            if look.total > GOAL and not look.events:  # The server does not show it.
                todo += _cut(piece, None, before=piece.estimate // 2)
                continue
            piece = piece._replace(page=None, estimate=look.total, clustered=True)
            if look.total <= MAX_EVENTS:
                todo.append(piece)
            else:
                # The newest first: the last `GOAL` events begin here.
                todo += _cut(piece, _moment(look), before=look.total - GOAL)
        else:
            start, end = piece.range
            width = max(piece.width, (end - start) * GOAL // piece.estimate)
            todo += _slice(piece, width, spread)
    return held


def _moment(page: Page) -> int | None:
    return parse(page.events[0].timestamp) if page.events else None


def _divisible(span: Range) -> bool:
    return span.end - span.start // SECOND * SECOND > SECOND


def _cut(piece: _Piece, moment: int | None, *, before: int) -> list[_Piece]:
    """Cut a piece at the second of a moment, or after it if it is the first.

    Args:
        piece: A divisible piece.
        moment: Where; if that is unknown or elsewhere, in the middle.
        before: How many events lie before the cut, as far as known.

    Returns:
        The later piece and the earlier one, the next on top of the stack.
    """
    start, end = piece.range
    first = start // SECOND + 1
    last = -(-end // SECOND) - 1
    if moment is None or not start <= moment <= end:
        moment = (first + last) // 2 * SECOND
    at = min(max(moment // SECOND, first), last) * SECOND
    return [
        _Piece(Range(at, end), piece.estimate - before, clustered=piece.clustered),
        _Piece(Range(start, at), before, clustered=piece.clustered),
    ]


def _slice(piece: _Piece, width: int, count: int) -> list[_Piece]:
    """Cut pieces of a width from the beginning of a piece, as many as there are.

    Args:
        piece: A divisible piece.
        width: How wide, so that each may hold `GOAL` events.
        count: How many at most.

    Returns:
        What is left and the pieces, the next on top of the stack.
    """
    pieces: list[_Piece] = []
    while len(pieces) < count and _divisible(piece.range) and piece.estimate > GOAL:
        piece, earlier = _cut(piece, piece.range.start + width, before=GOAL)
        pieces.append(earlier)
    return [piece, *pieces[::-1]]


def _corrected(piece: _Piece, parts: list[_Piece], pages: list[Page]) -> _Piece:
    """Learn from the parts before a piece how many events are left, and how sparse."""
    expected = sum(part.estimate for part in parts)
    count = pages[-1].total
    width = 0
    if count < parts[-1].estimate // 2:
        start, end = parts[-1].range
        width = int((end - start) * min(MAX_GROWTH, GOAL / max(count, 1)))
    left = piece.estimate + expected - sum(page.total for page in pages)
    return piece._replace(estimate=left, width=width)


def wanted(
    events: list[Event], span: Range, *, first: bool, margin: int = MARGIN
) -> list[Event]:
    """Leave out what came only because more was asked for than wanted.

    That is what lies just before the first range, and what lies at its end because the
    end was inclusive: the next window has that, or nobody wants it. Other events from
    outside the range are none too many, as the server may look at the last occurrence.

    Args:
        events: What the server gave for `span.query`, in ascending order.
        span: The range.
        first: Whether nothing is wanted before the range. Otherwise the window before
            has what it has, and what it has not is wanted.
        margin: See `MARGIN`.

    Returns:
        The others, in the same order.
    """
    start, end = to_text(span.start), to_text(span.end)
    early = to_text((span.start // SECOND * SECOND - margin) // SECOND * SECOND)
    late = to_text((-(-span.end // SECOND) + 1) * SECOND)
    begin = bisect_left(events, start, key=_timestamp)
    stop = bisect_left(events, end, key=_timestamp)
    before = [
        event
        for event in events[:begin]
        if not (
            first and early <= event.timestamp and (event.last_occurred or "") < start
        )
    ]
    after = [event for event in events[stop:] if event.timestamp >= late]
    return before + events[begin:stop] + after


def _timestamp(event: Event) -> str:
    return event.timestamp


def read(part: Part, limit: int, margin: int = MARGIN) -> Reading:
    """Read a part completely.

    Args:
        part: A range and its first page.
        limit: How many events a page may hold.
        margin: See `MARGIN`.

    Yields:
        Requests, in answer to which their pages are to be sent.

    Returns:
        All that the server gave, each once, in ascending order.

    Raises:
        IncompleteError: If the server counts more events than it gives.
    """
    events: dict[str, Event] = {}
    copies: dict[str, int] = {}
    received, total = len(part.first.events), part.first.total
    # What a full page holds: the server may cap the limit without a word.
    step = received if 0 < received < min(limit, total) else limit
    pages = yield from _walk(part.range, part.first, step, margin)
    rounds = moving = fruitless = 0
    while True:
        known = len(events)
        totals = [page.total for page in pages]
        if not rounds:
            events = {event.id: event for page in pages for event in page.events}
            if len(events) >= max(totals) == min(totals):
                break  # As nearly always; the rest is for what went wrong.
        if min(totals) < total:
            copies.clear()  # Rows went away, and what was counted may be among them.
        for page in pages:
            events.update((event.id, event) for event in page.events)
            for name, count in Counter(event.id for event in page.events).items():
                copies[name] = max(count, copies.get(name, 0))
        total = max(totals)
        held = sum(copies.values())
        if held >= total == min(totals):
            break
        moving = moving + 1 if min(totals) < total else 0
        if moving >= MAX_MOVING and held >= min(totals):
            break
        fruitless = fruitless + 1 if len(events) == known else 0
        if fruitless >= MAX_FRUITLESS:
            msg = (
                f"From {part.range} Akuity counts {total} audit logs but gives {held}, "
                "again and again: run the sync again later, and ask Akuity's support "
                "if it stays so."
            )
            raise IncompleteError(msg)
        # Pages that are cut elsewhere bring together what the last ones held apart.
        rounds += 1
        (first,) = yield [part.range.query(0, rounds % step or step, margin)]
        pages = yield from _walk(part.range, first, step, margin)
    return sorted(events.values(), key=_timestamp)


def _walk(
    span: Range, first: Page, step: int, margin: int
) -> Generator[list[Query], list[Page], list[Page]]:
    """Ask for all pages after the first, many at once.

    What counts is what came, not what was asked for; and neither the server's count nor
    a page that is not full tells the end alone. Past the count, or more than a window
    may hold, pages with nothing new do; before it, events that arrive meanwhile may
    have pushed old ones on.
    """
    pages = [first]
    reached = len(first.events)
    full = reached >= step
    ahead = range(reached, first.total, step)
    at_once = -(-MAX_EVENTS // step)
    rests: list[Query] = []
    known = {event.id for event in first.events}
    while rests or ahead or full or reached < pages[-1].total:
        queries = rests or [
            span.query(offset, step, margin)
            for offset in ahead[:at_once] or range(reached, reached + 1)
        ]
        if not rests:
            ahead = ahead[at_once:]
        answers = yield queries
        pages += answers
        rests = []
        for query, page in zip(queries, answers, strict=True):
            got = len(page.events)
            end = query.offset + got
            reached, full = max((reached, full), (end, got >= query.limit))
            if 0 < got < query.limit and end < page.total:
                rests.append(query._replace(offset=end, limit=query.limit - got))
        before = len(known)
        known.update(event.id for page in answers for event in page.events)
        past = reached >= min(pages[-1].total, MAX_EVENTS)
        if len(known) == before and (past or not any(page.events for page in answers)):
            break
    return pages
