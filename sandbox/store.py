"""The records, sorted by time and encoded in advance."""

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from random import Random
from threading import Lock
from typing import Any, Literal, NamedTuple, get_args

from sandbox.data import older
from sandbox.errors import ApiError
from sandbox.query import FILTERS, NEWER_FILTERS, Query
from sandbox.timestamps import from_record, to_go
from sandbox.truth import find

Time = Literal["timestamp", "lastOccurredTimestamp"]
Unit = Literal["nanoseconds", "microseconds", "milliseconds", "seconds"]
UNITS: dict[Unit, int] = {unit: 1000**n for n, unit in enumerate(get_args(Unit))}

_COMPACT = (",", ":")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=_COMPACT)


@dataclass(frozen=True)
class Behaviour:
    """How the server behaves where Akuity's own behaviour is not published.

    Attributes:
        start_inclusive: An event at `startTime` matches.
        end_inclusive: An event at `endTime` matches.
        precision: Bring times to this precision before comparing them.
        rounding: How: cut digits off, or go to the nearest.
        rounded: Which: those of events and the bounds, or the bounds alone.
        filter_on: The time to filter by.
        sort_on: The time to sort by.
        order: The first event of a response.
        ties: Events at one time are in the same order each time, or in any.
        older: Behave like versions of the API before 2026, which neither send nor
            filter by the members added since.
        default_limit: Page size without a limit.
        max_limit: Largest page size.
        over_limit: Response to a larger limit: the largest page, 400, or what was
            asked for.
        max_offset: Largest offset. Default: any.
        over_offset: Response to a larger offset: an empty page, or 400.
        too_big_bytes: Reject pages larger than this, as the gRPC hop behind the
            gateway does. Default: no limit.
    """

    start_inclusive: bool = True
    end_inclusive: bool = False
    precision: Unit = "nanoseconds"
    rounding: Literal["cut", "nearest"] = "cut"
    rounded: Literal["all", "bounds"] = "all"
    filter_on: Time = "timestamp"
    sort_on: Time = "timestamp"
    order: Literal["newest", "oldest"] = "newest"
    ties: Literal["stable", "shuffled"] = "stable"
    older: bool = False
    default_limit: int = 10
    max_limit: int = 1000
    over_limit: Literal["cap", "refuse", "honour"] = "cap"
    max_offset: int | None = None
    over_offset: Literal["empty", "refuse"] = "refuse"
    too_big_bytes: int | None = None


class Record(NamedTuple):
    """An item's JSON, and what queries use: among it, the members in `FILTERS`."""

    timestamp: int
    last: int
    values: tuple[Any, ...]
    body: bytes


class Store:
    """The records of the server. Thread-safe."""

    def __init__(
        self, items: Iterable[Mapping[str, Any]], behaviour: Behaviour | None = None
    ) -> None:
        """Set up the store with items, stored to match the behaviour."""
        self.behaviour = behaviour or Behaviour()
        self._lock = Lock()
        self._key = _KEYS[self.behaviour.filter_on]
        self._rng = Random(0)
        self._records: list[Record] = []
        self.add(items)

    def query(self, query: Query) -> tuple[list[bytes], int]:
        """Return the requested page, and how many records match."""
        behaviour, offset = self.behaviour, query.offset
        size = query.limit or behaviour.default_limit
        if size > behaviour.max_limit and behaviour.over_limit != "honour":
            if behaviour.over_limit == "refuse":
                raise ApiError(400, f"limit must not exceed {behaviour.max_limit}")
            size = behaviour.max_limit
        if behaviour.max_offset is not None and offset > behaviour.max_offset:
            if behaviour.over_offset == "refuse":
                raise ApiError(400, f"offset must not exceed {behaviour.max_offset}")
            size = 0
        with self._lock:
            records, low, high = self._matches(query)
            if behaviour.ties == "shuffled" or behaviour.sort_on != behaviour.filter_on:
                records = self._sorted(records[low:high])
                low, high = 0, high - low
            if behaviour.order == "newest":
                stop = max(low, high - offset)
                page = records[max(low, stop - size) : stop][::-1]
            else:
                page = records[low + offset : min(low + offset + size, high)]
        return [record.body for record in page], high - low

    def add(self, items: Iterable[Mapping[str, Any]], at: int | None = None) -> None:
        """Add items, including late ones; `at` is for those without a valid time."""
        added = [self._record(item, at) for item in items]
        if added:
            with self._lock:
                self._records += added
                self._records.sort(key=self._key)

    def bump(self, item: Mapping[str, Any], at: int, times: int = 1) -> None:
        """Record that an event that was added occurred again at `at`."""
        with self._lock:
            self._records.remove(self._record(item, None))
        grown = {"count": item["count"] + times, "lastOccurredTimestamp": to_go(at)}
        self.add([{**item, **grown}])

    def bodies(self) -> list[bytes]:
        """Return the JSON of every item, oldest first."""
        with self._lock:
            return [record.body for record in self._records]

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self._records)

    def _record(self, item: Mapping[str, Any], at: int | None) -> Record:
        if self.behaviour.older:
            item = older(item)
        timestamp = _instant(item.get("timestamp"), at)
        return Record(
            timestamp,
            _instant(item.get("lastOccurredTimestamp"), timestamp),
            tuple(find(item, path) for path in FILTERS.values()),
            _rendered(item),
        )

    def _matches(self, query: Query) -> tuple[list[Record], int, int]:
        """Return a list, and the bounds of the matching records in it."""
        records, low, high = self._records, 0, len(self._records)
        if query.start_ns is not None:
            start = self._first(query.start_ns, not self.behaviour.start_inclusive)
            low = bisect_left(records, start, key=self._key)
        if query.end_ns is not None:
            end = self._first(query.end_ns, self.behaviour.end_inclusive)
            high = max(low, bisect_left(records, end, key=self._key))
        for place, name in enumerate(FILTERS):
            ignored = self.behaviour.older and name in NEWER_FILTERS
            if name in query.filters and not ignored:
                wanted = query.filters[name]
                found = records[low:high]
                records = [one for one in found if one.values[place] in wanted]
                low, high = 0, len(records)
        return records, low, high

    def _first(self, bound: int, after: bool) -> int:  # noqa: FBT001
        """Return the first instant that compares as equal to a bound, or after it."""
        unit = UNITS[self.behaviour.precision]
        half = unit // 2 if self.behaviour.rounding == "nearest" else 0
        place = (bound + half) // unit
        if self.behaviour.rounded == "bounds":
            return place * unit + after
        return (place + after) * unit - half

    def _sorted(self, records: list[Record]) -> list[Record]:
        if self.behaviour.ties == "shuffled":
            records = self._rng.sample(records, len(records))
        return sorted(records, key=_KEYS[self.behaviour.sort_on])


_KEYS: dict[Time, Callable[[Record], int]] = {
    "timestamp": attrgetter("timestamp"),
    "lastOccurredTimestamp": attrgetter("last"),
}


def _rendered(item: Mapping[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(item).encode()
    except UnicodeEncodeError:
        # A lone surrogate: JSON can escape it, UTF-8 cannot encode it.
        return json.dumps(item, separators=_COMPACT).encode()


def _instant(text: object, otherwise: int | None) -> int:
    try:
        return from_record(str(text))
    except ValueError:
        if otherwise is None:
            raise
        return otherwise
