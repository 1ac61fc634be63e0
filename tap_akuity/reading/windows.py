"""A range of any size as windows, in ascending order, each read completely."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import deque
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tap_akuity.reading.executor import Executor
from tap_akuity.reading.plan import Piece, plan
from tap_akuity.reading.ranges import MARGIN, WIDE_MARGIN, Page, Range
from tap_akuity.reading.window import TooLargeError, read
from tap_akuity.records.rows import content, tell_apart
from tap_akuity.text.timestamps import SECOND, to_text

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tap_akuity.reading.executor import Fetch, Task
    from tap_akuity.reading.limits import Limits
    from tap_akuity.records.event import Event

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
    """The members that told twins apart, see `rows.tell_apart`."""

    times: list[str]
    """The times by which events are in the range: when they happened, or happened last
    if the server filters by that. Includes events that are filtered out later."""

    again: bool = False
    """Whether the range had been read before, by an earlier run."""


def windows(
    fetch: Fetch, whole: Piece, limits: Limits
) -> Generator[Window, None, None]:
    """Read a range, completely and in order.

    Together, the windows must hold as many events as the range. If they do not, and no
    rows disappeared, all are read again with a wide margin.

    Args:
        fetch: Makes a request.
        whole: The range and its first page.
        limits: How much to request, and to hold in memory, at a time.

    Yields:
        Windows in ascending order that together are the range.

    Raises:
        IncompleteError: If the server's count of a window differs from its events.
        Exception: What `fetch` or the decoding raises, once all earlier windows have
            been yielded.
    """
    held = yield from _windows(fetch, whole, limits, MARGIN)
    if held >= whole.total:
        return
    first = fetch(whole.range.query(0, limits.page_size))()
    if isinstance(first, Page) and held < first.total:
        _logger.warning(
            "The windows held %d events, but their range %d; reading it once more.",
            held,
            first.total,
        )
        whole = Piece(whole.range, first.total, first)
        yield from _windows(fetch, whole, limits, WIDE_MARGIN)


def _windows(
    fetch: Fetch, whole: Piece, limits: Limits, margin: int
) -> Generator[Window, None, int]:
    """Read a range; return how many events its windows hold, by their first pages."""
    held = 0
    rest = whole
    before: dict[str, bytes] = {}
    while True:
        try:
            for piece, found in _read_pieces(fetch, rest, limits, margin):
                held += piece.total
                span = piece.range
                told = tell_apart(found)
                kept = wanted(told.events, span, whole.range.start, margin)
                events = [
                    event
                    for event in kept
                    if event.id not in before or before[event.id] != _digest(event)
                ]
                # Of all, not only of the new: three windows may share an event.
                before = _shared(kept, span, margin)
                reached = events[-1].timestamp if events else ""
                times = list(_times(events, span))
                yield Window(span, events, reached, told.members, times)
        except TooLargeError as error:
            # The rest is read in smaller windows.
            rest = Piece(Range(error.range.start, whole.range.end), 0)
            limits = error.limits
        else:
            return held


def _read_pieces(
    fetch: Fetch, whole: Piece, limits: Limits, margin: int
) -> Generator[tuple[Piece, list[Event]], None, None]:
    with Executor(fetch, limits.concurrency) as executor:
        work = _Work(executor, whole, limits, margin)
        while reading := work.next():
            yield reading.piece, reading.task.result()


class _Reading(NamedTuple):
    piece: Piece
    task: Task[None, list[Event]]
    size: int
    """See `_size`."""


class _Work:
    """The plan, and the windows in progress."""

    def __init__(
        self, executor: Executor, whole: Piece, limits: Limits, margin: int
    ) -> None:
        self._executor = executor
        self._limits = limits
        self._margin = margin
        self._plan = executor.start(plan(whole, limits, margin), urgent=True)
        self._pieces: deque[Piece] = deque()
        self._readings: deque[_Reading] = deque()

    def next(self) -> _Reading | None:
        """Wait until the next window in order is read.

        Returns:
            Its reading, which is done; None after the last.

        Raises:
            Exception: If it cannot be planned.
        """
        while True:
            self._begin()
            if self._readings and self._readings[0].task.done:
                return self._readings.popleft()
            if not self._readings and self._plan.done:
                self._plan.result()
                return None
            self._executor.wait()

    def _begin(self) -> None:
        """Plan a little ahead, and start reading until enough is in progress."""
        while True:
            if self._pieces and self._has_room:
                piece = self._pieces.popleft()
                steps = read(piece, self._limits, self._margin)
                task: Task[None, list[Event]] = self._executor.start(
                    steps, max_bytes=self._limits.max_bytes
                )
                self._readings.append(_Reading(piece, task, _size(piece)))
            elif (
                self._plan.product
                and len(self._pieces) < self._limits.windows_ahead
                and sum(map(_size, self._pieces)) < self._limits.max_bytes
            ):
                self._pieces.append(self._plan.product)
                self._plan.resume()
            else:
                return

    @property
    def _has_room(self) -> bool:
        readings, limits = self._readings, self._limits
        return not readings or (
            sum(reading.piece.total for reading in readings) < limits.events_ahead
            and sum(reading.size for reading in readings) < limits.max_bytes
        )


def _size(piece: Piece) -> int:
    """Estimate the size of a piece's records from its first page."""
    if not (piece.first and piece.first.events):
        return 0
    pages = max(1, piece.total // len(piece.first.events))
    return pages * piece.first.size


def wanted(
    events: list[Event], span: Range, bound: int, margin: int = MARGIN
) -> list[Event]:
    """Drop events that were returned only because of the margin.

    Those are events just before the bound, and events at the end of the range if the
    server's end is inclusive: the next window has them, or they are not wanted. Other
    events from outside the range are kept, as the server may filter on the last
    occurrence.

    Args:
        events: The events that the server returned for `span.query`, in ascending
            order.
        span: The range.
        bound: Where the first window starts: earlier events are not wanted. Others
            from before the range are kept, in case the previous window does not have
            them.
        margin: See `ranges.MARGIN`.

    Returns:
        The others, in the same order.
    """
    start, end, lower = to_text(span.start), to_text(span.end), to_text(bound)
    early = to_text((span.start // SECOND * SECOND - margin) // SECOND * SECOND)
    late = to_text((-(-span.end // SECOND) + 1) * SECOND)
    begin = bisect_left(events, start, key=_timestamp)
    stop = bisect_left(events, end, key=_timestamp)
    before = [
        event
        for event in events[:begin]
        if not (early <= event.timestamp < lower and event.last_occurred < lower)
    ]
    after = [event for event in events[stop:] if event.timestamp >= late]
    return before + events[begin:stop] + after


def _times(events: list[Event], span: Range) -> Iterator[str]:
    """Yield the times by which events are within a range."""
    start, end = to_text(span.start), to_text(span.end)
    begin = bisect_left(events, start, key=_timestamp)
    stop = bisect_left(events, end, key=_timestamp)
    yield from map(_timestamp, events[begin:stop])
    for event in events[:begin] + events[stop:]:
        if start <= event.last_occurred < end:
            yield event.last_occurred


def _shared(events: list[Event], span: Range, margin: int) -> dict[str, bytes]:
    """Return the events that may also be in the next window: id and digest."""
    edge = to_text(max(span.end - margin - 2 * SECOND, span.start))
    return {
        event.id: _digest(event)
        for event in events
        if event.timestamp >= edge or event.last_occurred >= edge
    }


def _digest(event: Event) -> bytes:
    # The contents of 50,000 events in one second would take 25 MB.
    return sha256(content(event)).digest()
