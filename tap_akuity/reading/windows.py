"""A range of any size as windows, in ascending order, each read completely."""

import logging
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from tap_akuity.api.errors import BadRequestError
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import CONFIRMATIONS, Piece, plan
from tap_akuity.reading.ranges import MARGIN, IncompleteError, Range
from tap_akuity.reading.requests import Requests
from tap_akuity.reading.window import Contents, Reading, TooLargeError
from tap_akuity.records.event import Event
from tap_akuity.records.rows import make_distinct
from tap_akuity.text.timestamps import EARLIEST, SECOND, to_text

_logger = logging.getLogger(__name__)

_timestamp = attrgetter("timestamp")


class Window(NamedTuple):
    """A part of a range that was read completely."""

    range: Range

    events: list[Event]
    """In ascending order, each once."""

    reached: str
    """The timestamp of the last event; empty if there is none."""

    twins: set[str]
    """The members that told twins apart, see `rows.make_distinct`."""

    times: list[str]
    """The times by which events are in the range: when they happened, or happened last
    if the server filters by that. Includes events that are filtered out later."""

    again: bool = False
    """Whether the range had been read before, by an earlier run."""

    unsent: tuple[str, ...] = ()
    """See `Page`."""

    is_doubtful: bool = False
    """Whether it, or one before it, has fewer events than were found there before, so
    that no bookmark should pass it until the range has as many as are counted."""

    is_restart: bool = False
    """Whether events before this window turned out to be missing, so that the bookmark
    has to go back to where it was before the first window."""


def windows(
    requests: Requests, whole: Piece, limits: Limits, end: int
) -> Iterator[Window]:
    """Read a range, completely and in order.

    Together, the windows must hold as many events as the range. If they do not, all are
    read again. The range may reach beyond `end`, where the wanted events end.

    Raises:
        IncompleteError: If the server's count differs from its events.
        Exception: The failure of a request, after all earlier windows.
    """
    for is_last in (False, True):
        held, reached, is_doubtful = 0, "", False
        before: dict[str, int] = {}
        for piece, contents in _read(requests, whole, limits):
            span = piece.range
            is_doubtful |= piece.is_doubtful
            distinct = make_distinct(contents.events)
            # The next window has what is at the end.
            own = distinct.events
            if span.end < whole.range.end:
                own = _up_to(own, span.end)
            if contents.unsent:
                _logger.warning(
                    "%d of the events from %s cannot be loaded. %s",
                    len(contents.unsent),
                    _unsent_range(requests, span, contents),
                    contents.unsent[0],
                )
            held += contents.rows - len(contents.events)
            held += sum(event.id not in before for event in own)
            new = [event for event in own if before.get(event.id) != hash(event.json)]
            # Of all, not only of the new: three windows may share an event.
            before = _shared(own, span.end)
            events = wanted(new, whole.range.start, end)
            reached = events[-1].timestamp if events else reached
            yield Window(
                Range(*(min(edge, end) for edge in span)),
                events,
                events[-1].timestamp if events else "",
                distinct.members,
                list(_times(contents.events, span)),
                unsent=contents.unsent,
                is_doubtful=is_doubtful,
            )
        total = _missing(requests, whole, limits, held)
        if not total:
            if is_doubtful:  # No longer.
                yield Window(Range(end, end), [], reached, set(), [])
            return
        yield Window(whole.range, [], "", set(), [], is_restart=True)
        problem = (
            f"The windows from {whole.range} held {held} events, but Akuity counts "
            f"{total}"
        )
        if is_last:
            raise IncompleteError(
                f"{problem}, repeatedly: run the sync again later, and contact "
                "Akuity's support if that does not help."
            )
        _logger.warning("%s; reading all of them once more.", problem)


def _unsent_range(requests: Requests, span: Range, contents: Contents) -> Range:
    """Find where an event happened that cannot be sent, by counting around it."""
    while span.can_be_cut:
        middle = (span.start + span.end) // 2 // SECOND * SECOND
        for half in Range(middle, span.end), Range(span.start, middle):
            # The offset is beyond all rows: only the count is of interest.
            query = half.query(contents.rows, 1)
            known = wanted(contents.events, query.start - SECOND, query.end + SECOND)
            try:
                total = requests.get(query).total
            except BadRequestError:
                return span
            if total > len(known):
                span = half
                break
        else:
            break
    return Range(span.start - SECOND, span.end)  # A query begins early.


def _missing(requests: Requests, whole: Piece, limits: Limits, held: int) -> int:
    """Return how many events the range has, if that is more than its windows held."""
    if held >= whole.total:
        return 0
    query = whole.range.query(0, limits.page_size)
    said = Counter(requests.get(query).total for _ in range(CONFIRMATIONS))
    said[whole.total] += 1
    total = max((total for total, times in said.items() if times > 1), default=0)
    if total > held:
        return total
    _logger.warning(
        "Akuity counted %d events from %s, but then no more than the %d read.",
        whole.total,
        whole.range,
        held,
    )
    return 0


def _read(
    requests: Requests, whole: Piece, limits: Limits
) -> Iterator[tuple[Piece, Contents]]:
    """Read the pieces of a range in order; request the next ones meanwhile."""
    ahead: deque[Reading] = deque()
    pieces = plan(requests, whole, limits)
    error: Exception | None = None
    while True:
        try:
            piece = next(pieces, None)
        except Exception as caught:  # noqa: BLE001, raised after the windows before it
            piece, error = None, caught
        if piece:
            ahead.append(Reading(requests, piece, limits))
        while ahead and not (piece and _has_room(ahead, limits)):
            yield from _finished(requests, ahead.popleft())
        if piece is None:
            break
    if error:
        raise error


def _has_room(ahead: deque[Reading], limits: Limits) -> bool:
    return (
        sum(reading.piece.total for reading in ahead) < limits.events_ahead
        and sum(reading.size for reading in ahead) < limits.max_bytes
    )


def _finished(requests: Requests, reading: Reading) -> Iterator[tuple[Piece, Contents]]:
    piece = reading.piece
    try:
        contents = reading.finish()
    except TooLargeError as error:
        whole = piece._replace(total=error.total, first=None)
        yield from _read(requests, whole, error.limits)
    else:
        del reading  # It would keep as much memory again while they are emitted.
        yield piece, contents


def wanted(events: list[Event], start: int, end: int) -> list[Event]:
    """Drop events that were returned only because bounds are whole seconds.

    An event counts from its first time to its last: the server may filter by either.
    Events are in ascending order.
    """
    found = _up_to(events, end)
    first = to_text(start)
    begin = bisect_left(found, first, key=_timestamp)
    return [one for one in found[:begin] if one.last_occurred >= first] + found[begin:]


def _up_to(events: list[Event], end: int) -> list[Event]:
    last = to_text(end)
    stop = bisect_left(events, last, key=_timestamp)
    return events[:stop] + [
        event for event in events[stop:] if "" < event.last_occurred < last
    ]


def _times(events: list[Event], span: Range) -> Iterator[str]:
    """Yield the times by which events are within a range."""
    start, end = to_text(span.start), to_text(span.end)
    begin = bisect_left(events, start, key=_timestamp)
    stop = bisect_left(events, end, key=_timestamp)
    yield from map(_timestamp, events[begin:stop])
    for event in events[:begin] + events[stop:]:
        if start <= event.last_occurred < end:
            yield event.last_occurred


def _shared(events: list[Event], end: int) -> dict[str, int]:
    """Return the events that may also be in the next window: id and hash."""
    edge = to_text(max(end - MARGIN - 2 * SECOND, EARLIEST))
    return {
        event.id: hash(event.json)
        for event in events
        if event.timestamp >= edge or event.last_occurred >= edge
    }
