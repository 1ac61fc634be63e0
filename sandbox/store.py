"""The records, sorted by time and encoded in advance."""

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from threading import Lock
from typing import Any, Literal, NamedTuple

from sandbox.data import Item, older
from sandbox.errors import ApiError, Code
from sandbox.query import FILTERS, NEWER_FILTERS, Query
from sandbox.timestamps import SECOND, from_record, to_go

DEFAULT_LIMIT = 10

_SEPARATORS = (",", ":")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=_SEPARATORS)


@dataclass(frozen=True)
class Behaviour:
    """How the server behaves where Akuity's own behaviour is not published.

    Attributes:
        start_inclusive: An event at `startTime` matches.
        end_inclusive: An event at `endTime` matches.
        whole_seconds: Truncate times to seconds before comparing them.
        filter_on: The time to filter and sort by.
        older: Behave like versions of the API before 2026, which neither send nor
            filter by the members added since.
        max_limit: Largest page size.
        over_limit: Response to a larger limit: the largest page, or 400.
        too_big_bytes: Reject pages larger than this, as the gRPC hop behind the
            gateway does. Default: no limit.
    """

    start_inclusive: bool = True
    end_inclusive: bool = False
    whole_seconds: bool = False
    filter_on: Literal["timestamp", "lastOccurredTimestamp"] = "timestamp"
    older: bool = False
    max_limit: int = 1000
    over_limit: Literal["cap", "refuse"] = "cap"
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
        self,
        items: Iterable[Mapping[str, Any]] = (),
        behaviour: Behaviour | None = None,
    ) -> None:
        """Set up the store with items, stored to match the behaviour."""
        self.behaviour = behaviour or Behaviour()
        self._lock = Lock()
        by_last = self.behaviour.filter_on == "lastOccurredTimestamp"
        self._key = attrgetter("last" if by_last else "timestamp")
        self._records: list[Record] = []
        self.add(items)

    def query(self, query: Query) -> tuple[list[bytes], int]:
        """Return the requested page, and how many records match.

        Raises:
            ApiError: The limit is too large.
        """
        size = query.limit or DEFAULT_LIMIT
        if size > self.behaviour.max_limit:
            if self.behaviour.over_limit == "refuse":
                message = f"limit must not exceed {self.behaviour.max_limit}"
                raise ApiError(Code.INVALID_ARGUMENT, message)
            size = self.behaviour.max_limit
        with self._lock:
            records, low, high = self._matches(query)
            stop = max(low, high - query.offset)
            page = records[max(low, stop - size) : stop]
        return [record.body for record in reversed(page)], high - low

    def add(self, items: Iterable[Mapping[str, Any]], at: int | None = None) -> None:
        """Add items, including late ones.

        Raises:
            ValueError: A timestamp cannot be parsed, and `at` is not given to replace
                it.
        """
        added = [self._record(item, at) for item in items]
        if added:
            with self._lock:
                self._records += added
                self._records.sort(key=self._key)

    def bump(self, item: Mapping[str, Any], at: int, times: int = 1) -> None:
        """Record that an event occurred again at `at`.

        Raises:
            LookupError: The event does not exist.
        """
        item = older(item) if self.behaviour.older else item
        timestamp, last = from_record(item["timestamp"]), to_go(at)
        with self._lock:
            for place, record in enumerate(self._records):
                if record.timestamp != timestamp:
                    continue
                kept: Item = json.loads(record.body)
                grown = {"count": kept["count"] + times, "lastOccurredTimestamp": last}
                if kept | grown == {**item, **grown}:
                    self._records[place] = self._record(kept | grown, None)
                    self._records.sort(key=self._key)
                    return
        message = "no such event"
        raise LookupError(message)

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
            _rendered(item),
        )

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
                found = records[low:high]
                records = [one for one in found if one.values[place] in wanted]
                low, high = 0, len(records)
        return records, low, high


def _rendered(item: Mapping[str, Any]) -> bytes:
    try:
        return _ENCODER.encode(item).encode()
    except UnicodeEncodeError:
        # A lone surrogate: JSON can escape it, UTF-8 cannot encode it.
        return json.dumps(item, separators=_SEPARATORS).encode()


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
