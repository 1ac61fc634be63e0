"""Are the rows of the database the events of the API?

Pure, and nothing here comes from the tap: a check that shares its code would share its
mistakes.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.timestamps import from_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - as DuckDB has it


@dataclass(frozen=True)
class Event:
    """An event, in a form in which one of the API and one of the database are equal.

    Times are in UTC and to the microsecond, as DuckDB keeps them; objects are JSON text
    with sorted keys.
    """

    timestamp: datetime
    action: str | None
    actor: str
    object: str
    details: str
    count: int | None
    last_occurred: datetime | None

    def __str__(self) -> str:
        """Name the event, without what can be many kilobytes."""
        return f"{self.action} at {self.timestamp} by {self.actor}"


def from_api(item: Mapping[str, Any]) -> Event:
    """Read an item of the API's response."""
    last_occurred = item.get("lastOccurredTimestamp")
    return Event(
        timestamp=parse_time(item["timestamp"]),
        # The loader stores an empty text as NULL.
        action=item.get("action") or None,
        actor=_canonical(item.get("actor")),
        object=_canonical(item.get("object")),
        details=_canonical(item.get("details")),
        count=item.get("count"),
        last_occurred=parse_time(last_occurred) if last_occurred else None,
    )


def from_row(row: Mapping[str, Any]) -> Event:
    """Read a row of the table; the loader makes the columns' names lower case."""
    return Event(
        timestamp=row["timestamp"],
        action=row["action"],
        actor=_canonical(json.loads(row["actor"] or "null")),
        object=_canonical(json.loads(row["object"] or "null")),
        details=_canonical(json.loads(row["details"] or "null")),
        count=row["count"],
        last_occurred=row["lastoccurredtimestamp"],
    )


def parse_time(text: str) -> datetime:
    """Read a time of the API as UTC, cut to the microsecond."""
    return _EPOCH + timedelta(microseconds=from_record(text) // 1000)


def difference(expected: Iterable[Event], actual: Iterable[Event]) -> str | None:
    """Say in one sentence how the database differs from the API.

    Args:
        expected: The events of the API.
        actual: The rows of the database.

    Returns:
        The sentence, or nothing if each event is there exactly once, and no other.
    """
    wanted, found = Counter(expected), Counter(actual)
    missing, unexpected = wanted - found, found - wanted
    if not missing and not unexpected:
        return None
    parts = [
        f"{counter.total():,} {what} (the first: {min(counter, key=_place)})"
        for counter, what in (
            (missing, "of the sandbox's events are not in DuckDB as they are there"),
            (unexpected, "of DuckDB's rows are not events of the sandbox"),
        )
        if counter
    ]
    return "; ".join(parts) + "."


def _place(event: Event) -> datetime:
    return event.timestamp


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
