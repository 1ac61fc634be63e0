"""Events that arrive days late, noticed by counting.

The state records how many events of each day have been loaded. Once a day, the tap
requests Akuity's counts: if a day has more, some arrived late, and it is read again.

A count is requested like a page, with the same margin and bounds, so that it compares
exactly with an earlier count of the same range. Before it is compared with the number
of loaded events, those just outside the range are subtracted. A count cannot show that
a day lost as many events as it gained.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec

from tap_akuity.reading.ranges import Range
from tap_akuity.reading.windows import wanted
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_bound, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_akuity.reading.ranges import Asking, Page
    from tap_akuity.reading.windows import Window

_logger = logging.getLogger(__name__)

Counts = dict[str, Annotated[int, msgspec.Meta(ge=0)]]
"""By day, or by the time at which the first day begins if that is later."""


class Kept(msgspec.Struct):
    """The counts that the state keeps."""

    until: str
    """Where the next run starts: what is earlier has been loaded."""

    loaded: Counts = {}
    """How many events of each day have been loaded; of the last day, up to `until`."""

    counted: Counts = {}
    """How many events Akuity counted in each day that is before `until`."""


def understood(kept: object) -> dict[str, Kept]:
    """Validate the counts in a state.

    Args:
        kept: From `Recount.keep`, possibly edited.

    Returns:
        By the digest of the events.

    Raises:
        ValueError: If it is malformed.
    """
    try:
        found = msgspec.convert(kept, dict[str, Kept])
    except msgspec.ValidationError as error:
        # A `ValueError` only since msgspec 0.21.
        raise ValueError(str(error)) from error
    for one in found.values():
        for name in (one.until, *one.loaded, *one.counted):
            parse(name, assume_utc=True)
    return found


class Day(NamedTuple):
    """A day that was counted."""

    range: Range
    total: int
    """How many events the server counts."""

    inside: int
    """How many of them are known to be within the range, if that matters."""


class Recount:
    """The counts of each day, and the days that have to be read again."""

    def __init__(
        self,
        kept: Mapping[str, Any],
        events: object,
        span: Range,
        *,
        bound: int,
        days: int,
    ) -> None:
        """Initialize with the counts in the state, or without any.

        Args:
            kept: The counts in the state, from `keep`.
            events: Identifies the events that are read, as JSON-compatible values;
                counts of other events are ignored.
            span: The range of this run: up to now, by the server's clock.
            bound: Earlier events are not wanted: nanoseconds since the Unix epoch.
            days: How many closed days to keep the counts of.
        """
        self._name = _digest(events)
        self._bound = bound
        self.start = span.start
        """Where new events start: nanoseconds since the Unix epoch."""

        self._until = _whole(span.start)
        self._oldest = span.end // DAY * DAY - days * DAY
        self._read = span.start
        self._pending: Counter[str] = Counter()
        self._spoilt = False
        known = understood(kept).get(self._name)
        self.is_new = (
            known is None or parse(known.until, assume_utc=True) != self._until
        )
        """Whether nothing is known of the days before the start."""

        if known is None or self.is_new:
            known = Kept("")
        self._loaded = self._same(known.loaded)
        self._counted = self._same(known.counted)

    def ask(self, page_size: int) -> Asking[list[Day]]:
        """Count the closed days, and the last one as far as it has been loaded.

        Args:
            page_size: How many events to request where a count has to be explained.

        Yields:
            Queries, to be resumed with the outcomes in the same order.

        Returns:
            The days that have more events than before, in ascending order.

        Raises:
            Exception: The failure of a query.
        """
        grown: list[Day] = []
        spans = self._spans()
        pages = _pages((yield [span.query(0, 1) for span in spans])) if spans else []
        for span, page in zip(spans, pages, strict=True):
            outside = 0
            if self._is_doubtful(span, page.total):
                outside = yield from _outside(span, page.total, page_size)
            day = Day(span, page.total, page.total - outside)
            more = self._growth(day)
            if more > 0:
                grown.append(day)
                _logger.info(
                    "%d more events of %s than before, which came late: reading that "
                    "day again.",
                    more,
                    to_text(span.start)[:10],
                )
            else:
                self.accept(day)
            if more < 0:
                _logger.info(
                    "%d fewer events of %s than before: Akuity no longer counts them.",
                    -more,
                    to_text(span.start)[:10],
                )
        return grown

    def accept(self, day: Day) -> None:
        """Record the count of a day that has been loaded completely.

        Args:
            day: From `ask`.
        """
        start, end = day.range
        if end % DAY:
            self._loaded[start] = day.inside
        else:
            self._loaded.pop(start, None)
            self._counted[start] = day.total

    def finish(self) -> None:
        """Remove days that are too old to be counted again."""
        for counts in (self._loaded, self._counted):
            for start in [start for start in counts if start < self._oldest]:
                del counts[start]

    def add(self, window: Window, start: int) -> None:
        """Count the events of a window that was loaded.

        Args:
            window: Of the range, or of a day that was read again.
            start: Where the next run would start now.
        """
        if window.again:
            return
        # A range that is read once more would be counted twice.
        self._spoilt |= window.range.start < self._read
        self._read = window.range.end
        floor = to_text(max(self._until, self._oldest))
        self._pending.update([time[:19] for time in window.times if time >= floor])
        until = max(_whole(start), self._until)
        for day in range(max(self._oldest, self._until // DAY * DAY), until, DAY):
            self._loaded.setdefault(self._start_of(day), 0)
        edge = to_text(until)
        for second in [second for second in self._pending if second < edge[:19]]:
            start_of_day = self._start_of(parse(f"{second}Z"))
            self._loaded[start_of_day] += self._pending.pop(second)
        self._until = until

    def keep(self) -> dict[str, Any]:
        """Return the counts for the state: `Kept`, by the digest of the events."""
        if self._spoilt:
            return {}
        kept = {
            "until": to_bound(self._until),
            "loaded": {_name(day): n for day, n in sorted(self._loaded.items())},
            "counted": {_name(day): n for day, n in sorted(self._counted.items())},
        }
        # By the digest, as Meltano merges what it has with the state of a killed run.
        return {self._name: kept}

    def _same(self, counts: Counts) -> dict[int, int]:
        """Return the counts of ranges that would be requested now."""
        starts = {parse(name, assume_utc=True): n for name, n in counts.items()}
        return {day: n for day, n in starts.items() if day == self._start_of(day)}

    def _start_of(self, instant: int) -> int:
        return max(instant // DAY * DAY, self._bound)

    def _spans(self) -> list[Range]:
        starts = {*self._loaded, *self._counted}
        starts.update(map(self._start_of, range(self._oldest, self._until, DAY)))
        return [
            Range(start, min(start // DAY * DAY + DAY, self._until))
            for start in sorted(starts)
            if start < self._until
        ]

    def _is_doubtful(self, span: Range, total: int) -> bool:
        """Return whether events just outside the range may affect the result."""
        if span.start in self._counted:
            return False
        loaded = self._loaded.get(span.start)
        if span.end % DAY:
            return total != loaded
        return loaded is not None and total > loaded

    def _growth(self, day: Day) -> int:
        start = day.range.start
        if start in self._counted:
            return day.total - self._counted[start]
        return day.inside - self._loaded.get(start, day.inside)


def _outside(span: Range, total: int, page_size: int) -> Asking[int]:
    """Count what a server counts only because of the margin, or of inclusive ends."""
    newest = (yield from _page(span, 0, page_size)).events
    events = list(newest)
    if 0 < len(newest) < total:
        size = min(len(newest), total - len(newest))
        events += (yield from _page(span, total - size, size)).events
    events.sort(key=attrgetter("timestamp"))
    return len(events) - len(wanted(events, span, span.start))


def _page(span: Range, offset: int, limit: int) -> Asking[Page]:
    return _pages((yield [span.query(offset, limit)]))[0]


def _pages(outcomes: list[Any]) -> list[Page]:
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


def _digest(events: object) -> str:
    text = json.dumps(events, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _whole(instant: int) -> int:
    return -(-instant // SECOND) * SECOND


def _name(start: int) -> str:
    return to_text(start)[:10] if start % DAY == 0 else to_bound(start)
