"""The records, sorted by time and encoded in advance."""

from __future__ import annotations

import json
from bisect import bisect_left
from dataclasses import dataclass
from operator import attrgetter
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sandbox.data import older
from sandbox.errors import ApiError, Code
from sandbox.options import Checked
from sandbox.query import FILTERS, NEWER_FILTERS
from sandbox.timestamps import SECOND, from_record, to_go

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.query import Query

IDENTITY = ("timestamp", "action", "actor", "object", "details")


@dataclass(frozen=True)
class Behaviour(Checked):
    """How the server behaves where Akuity's own behaviour is not published.

    Attributes:
        start_inclusive: An event at `startTime` matches.
        end_inclusive: An event at `endTime` matches.
        whole_seconds: Truncate times to seconds before comparing them.
        filter_on: The time to filter and sort by.
        order: Order of the events; `random` is a new order for each request.
        shuffle_ties: Return events at equal times in a new order for each request.
        older: Behave like versions of the API before 2026, which neither send nor
            filter by the members added since.
        default_limit: Page size if the request has no limit.
        max_limit: Largest page size.
        over_limit: Response to a larger limit: the largest page, or 400.
        max_offset: Largest offset; a larger one gets 400. Default: no limit.
        spaces: Put spaces after commas and colons.
        too_big_bytes: Reject pages larger than this, as the gRPC hop behind the
            gateway does. Default: no limit.
        compressed_hop: Word that error as a hop that uses compression does.
    """

    start_inclusive: bool = True
    end_inclusive: bool = False
    whole_seconds: bool = False
    filter_on: Literal["timestamp", "lastOccurredTimestamp"] = "timestamp"
    order: Literal["newest", "oldest", "random"] = "newest"
    shuffle_ties: bool = False
    older: bool = False
    default_limit: int = 10
    max_limit: int = 1000
    over_limit: Literal["cap", "refuse"] = "cap"
    max_offset: int | None = None
    spaces: bool = False
    too_big_bytes: int | None = None
    compressed_hop: bool = False


class Record(NamedTuple):
    """An item's JSON, and the values that queries use."""

    timestamp: int
    last: int
    values: tuple[Any, ...]
    """The values of the members in `FILTERS`, in that order."""
    body: bytes


class Store:
    """The records of the server. Thread-safe."""

    def __init__(
        self,
        items: Iterable[Mapping[str, Any]] = (),
        behaviour: Behaviour | None = None,
        seed: int = 0,
    ) -> None:
        """Set up the store with items; `seed` is that of random orders."""
        self._behaviour = behaviour or Behaviour()
        self._rng = Random(seed)
        self._lock = Lock()
        self._separators = (", ", ": ") if self.behaviour.spaces else (",", ":")
        self._render = json.JSONEncoder(ensure_ascii=False, separators=self._separators)
        self._by_last = self.behaviour.filter_on == "lastOccurredTimestamp"
        self._key = attrgetter("last" if self._by_last else "timestamp")
        self._records: list[Record] = []
        self.add(items)

    @property
    def behaviour(self) -> Behaviour:
        """How the server behaves; fixed, because the records are stored to match."""
        return self._behaviour

    def query(self, query: Query) -> tuple[list[bytes], int]:
        """Return the requested page, and how many records match.

        Raises:
            ApiError: The limit or the offset is too large.
        """
        behaviour = self.behaviour
        size = query.limit or behaviour.default_limit
        if size > behaviour.max_limit and behaviour.over_limit == "refuse":
            message = f"limit must not exceed {behaviour.max_limit}"
            raise ApiError(Code.INVALID_ARGUMENT, message)
        if behaviour.max_offset is not None and query.offset > behaviour.max_offset:
            message = f"offset must not exceed {behaviour.max_offset}"
            raise ApiError(Code.OUT_OF_RANGE, message)
        size = min(size, behaviour.max_limit)
        with self._lock:
            records, low, high = self._matches(query)
            page = self._page(records, low, high, query.offset, size)
            return [record.body for record in page], high - low

    def add(self, items: Iterable[Mapping[str, Any]], at: int | None = None) -> None:
        """Add items, including late ones.

        Raises:
            ValueError: A timestamp cannot be parsed, and `at` is not given to replace
                it.
        """
        added = sorted((self._record(item, at) for item in items), key=self._key)
        with self._lock:
            records = self._records
            late = added and records and self._key(added[0]) < self._key(records[-1])
            records += added
            if late:
                records.sort(key=self._key)

    def remove_before(self, ns: int) -> int:
        """Delete the records before `ns`, and return their number."""
        with self._lock:
            if (
                self._records
                and not self._by_last
                and self._key(self._records[0]) >= ns
            ):
                return 0
            kept = [record for record in self._records if record.timestamp >= ns]
            removed = len(self._records) - len(kept)
            self._records = kept
        return removed

    def bump(self, item: Mapping[str, Any], at: int, times: int = 1) -> dict[str, Any]:
        """Record that an event occurred again at `at`, and return the updated item.

        Raises:
            LookupError: The event does not exist.
        """
        with self._lock:
            place, kept = self._find(item)
            kept["count"] += times
            kept["lastOccurredTimestamp"] = to_go(at)
            self._records[place] = self._record(kept, None)
            self._records.sort(key=self._key)
        return kept

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
            tuple(_find(item, path) for path in FILTERS.values()),
            self._rendered(item),
        )

    def _rendered(self, item: Mapping[str, Any]) -> bytes:
        try:
            return self._render.encode(item).encode()
        except UnicodeEncodeError:
            # A lone surrogate: JSON can escape it, UTF-8 cannot encode it.
            return json.dumps(item, separators=self._separators).encode()

    def _find(self, item: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.behaviour.older:
            item = older(item)
        timestamp = from_record(item["timestamp"])
        for place, record in enumerate(self._records):
            if record.timestamp == timestamp:
                kept: dict[str, Any] = json.loads(record.body)
                if all(kept.get(name) == item.get(name) for name in IDENTITY):
                    return place, kept
        message = "no such event"
        raise LookupError(message)

    def _matches(self, query: Query) -> tuple[list[Record], int, int]:
        """Return a list, and the bounds of the matching records in it."""
        unit = SECOND if self.behaviour.whole_seconds else 1
        records, low, high = self._records, 0, len(self._records)
        if query.start_ns is not None:
            start = query.start_ns // unit + (not self.behaviour.start_inclusive)
            low = bisect_left(records, start * unit, key=self._key)
        if query.end_ns is not None:
            end = query.end_ns // unit + self.behaviour.end_inclusive
            high = bisect_left(records, end * unit, low, key=self._key)
        for place, name in enumerate(FILTERS):
            ignored = self.behaviour.older and name in NEWER_FILTERS
            if name in query.filters and not ignored:
                wanted = query.filters[name]
                records = [
                    record
                    for record in records[low:high]
                    if record.values[place] in wanted
                ]
                low, high = 0, len(records)
        return records, low, high

    def _page(
        self, records: list[Record], low: int, high: int, offset: int, size: int
    ) -> list[Record]:
        size = max(0, min(size, high - low - offset))
        if size == 0:
            return []
        if self.behaviour.order == "random":
            places = self._rng.sample(range(low, high), size)
            return [records[place] for place in places]
        if self.behaviour.shuffle_ties:
            chance = self._rng.random
            matching = records[low:high]
            records = sorted(matching, key=lambda one: (self._key(one), chance()))
            low, high = 0, len(records)
        if self.behaviour.order == "oldest":
            return records[low + offset : low + offset + size]
        return records[high - offset - size : high - offset][::-1]


def _find(item: Mapping[str, Any], path: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
    found: Any = item
    for name in path:
        found = found and found.get(name)
    return found


def _instant(text: object, otherwise: int | None) -> int:
    try:
        return from_record(str(text))
    except ValueError:
        if otherwise is None:
            raise
        return otherwise
