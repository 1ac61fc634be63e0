"""Events that arrive days late, noticed by counting.

The state records how many events of each day have been loaded. Once a day, the tap
requests Akuity's counts: if a day has more, some arrived late, and it is read again.

A count is requested like a page, with the same bounds, so that it compares exactly with
an earlier count of the same range. Before it is compared with the number of loaded
events, those just outside the range are subtracted. A count that is not as expected is
believed once the server has said it twice in a row. A count cannot show that a day lost
as many events as it gained.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec

from tap_akuity.reading.plan import CONFIRMATIONS
from tap_akuity.reading.ranges import Range
from tap_akuity.reading.requests import Requests
from tap_akuity.reading.windows import Window, wanted
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_bound, to_text

_logger = logging.getLogger(__name__)

Counts = dict[str, Annotated[int, msgspec.Meta(ge=0)]]
"""By day, or by the time at which the first day begins if that is later."""


class SavedCounts(msgspec.Struct):
    """The counts that the state keeps."""

    until: str
    """Where the next run starts: what is earlier has been loaded."""

    loaded: Counts = {}
    """How many events of each day have been loaded; of the last day, up to `until`."""

    counted: Counts = {}
    """How many events Akuity counted in each day that is before `until`."""


def validated(counts: object) -> dict[str, SavedCounts]:
    """Validate the counts in a state, from `Recount.keep` and possibly edited.

    Raises:
        ValueError: If they are malformed.
    """
    try:
        found = msgspec.convert(counts, dict[str, SavedCounts])
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
        """Initialize with the counts in the state, from `keep`.

        Args:
            kept: The counts; those of other events are ignored.
            events: Identifies the events that are read, as JSON-compatible values.
            span: The range of this run: up to now, by the server's clock.
            bound: Earlier events are not wanted: nanoseconds since the Unix epoch.
            days: How many closed days to keep the counts of.
        """
        self._key = _digest(events)
        self._bound = bound
        self.start = span.start
        """Where new events start: nanoseconds since the Unix epoch."""

        self._oldest = span.end // DAY * DAY - days * DAY
        self._read = span.start
        self._pending: Counter[str] = Counter()
        self._unreliable = False
        known = validated(kept).get(self._key) or SavedCounts("")
        until = parse(known.until, assume_utc=True) if known.until else span.start
        start = _ceil_to_second(span.start)
        self._until = max(start, until)
        self._loaded = self._comparable(known.loaded)
        self._counted = self._comparable(known.counted)
        self.is_new = not known.until or until < start
        """Whether something before the start was not counted when it was loaded, as
        after a change of the filters or a shorter lookback."""

        if known.until and self.is_new:  # So they are read again.
            for day in range(max(self._oldest, until // DAY * DAY), start, DAY):
                self._counted.pop(self._start_of(day), None)
                self._loaded[self._start_of(day)] = 0

    def grown(self, requests: Requests, page_size: int) -> list[Day]:
        """Count the closed days, and the last one as far as it has been loaded.

        Returns those that have more events than before, in ascending order. Pages of
        `page_size` are requested where a count has to be explained.
        """
        grown: list[Day] = []
        spans = self._spans()
        requests.begin(span.query(0, 1) for span in spans)
        for span in spans:
            day = self._count(requests, span, page_size)
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
        """Record the count of a day that has been loaded completely."""
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

        The next run would start at `start` now.
        """
        if window.again:
            return
        # A range that is read once more would be counted twice.
        self._unreliable |= window.range.start < self._read
        self._read = window.range.end
        floor = to_text(max(self._until, self._oldest))
        self._pending.update([time[:19] for time in window.times if time >= floor])
        until = max(_ceil_to_second(start), self._until)
        for day in range(max(self._oldest, self._until // DAY * DAY), until, DAY):
            self._loaded.setdefault(self._start_of(day), 0)
        edge = to_text(until)
        for second in [second for second in self._pending if second < edge[:19]]:
            start_of_day = self._start_of(parse(f"{second}Z"))
            self._loaded[start_of_day] += self._pending.pop(second)
        self._until = until

    def keep(self) -> dict[str, Any]:
        """Return `SavedCounts` for the state, by the digest of the events."""
        if self._unreliable:
            return {}
        kept = {
            "until": to_bound(self._until),
            "loaded": {_day_key(day): n for day, n in sorted(self._loaded.items())},
            "counted": {_day_key(day): n for day, n in sorted(self._counted.items())},
        }
        # By the digest, as Meltano merges what it has with the state of a killed run.
        return {self._key: kept}

    def _comparable(self, counts: Counts) -> dict[int, int]:
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

    def _count(self, requests: Requests, span: Range, page_size: int) -> Day:
        expected = self._counted.get(span.start, self._loaded.get(span.start))
        total = requests.get(span.query(0, 1)).total
        for _ in range(CONFIRMATIONS if expected is not None else 0):
            if total == expected:
                break
            last, total = total, requests.get(span.query(0, 1)).total
            if total == last:
                break
        outside = 0
        if self._is_doubtful(span, total):
            outside = _outside(requests, span, total, page_size)
        return Day(span, total, max(total - outside, 0))

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


def _outside(requests: Requests, span: Range, total: int, page_size: int) -> int:
    """Count what a server counts only because bounds are whole seconds.

    That is at both ends of the range, so pages are read from there up to the first that
    has an event of the range.
    """
    outside, low, high = 0, 0, total
    for is_newest in (True, False):
        while low < high:
            size = min(page_size, high - low)
            offset = low if is_newest else high - size
            events = requests.get(span.query(offset, size)).events
            events.sort(key=attrgetter("timestamp"))
            outside += len(events) - len(wanted(events, *span))
            if is_newest:
                low += max(len(events), 1)
            else:
                high = offset
            if wanted(events, *span):
                break
    return outside


def _digest(events: object) -> str:
    text = json.dumps(events, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _ceil_to_second(instant: int) -> int:
    return -(-instant // SECOND) * SECOND


def _day_key(start: int) -> str:
    return to_text(start)[:10] if start % DAY == 0 else to_bound(start)
