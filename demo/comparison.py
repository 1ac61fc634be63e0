"""Compares the rows of the database with the events of the API.

Pure, and independent of the tap: a check that shared its code would share its bugs.
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
    """An event in a form that is the same for the API and the database.

    Times are in UTC with microseconds, as DuckDB stores them; objects are JSON text
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
        """Describe the event, without properties that can be many kilobytes."""
        return f"{self.action} at {self.timestamp} by {self.actor}"


def from_api(item: Mapping[str, Any]) -> Event:
    """Convert an item of the API's response."""
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
    """Convert a row of the table; the loader lowercases the column names."""
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
    """Parse a timestamp of the API as UTC, truncated to microseconds."""
    return _EPOCH + timedelta(microseconds=from_record(text) // 1000)


def difference(expected: Iterable[Event], actual: Iterable[Event]) -> str | None:
    """Describe in one sentence how the database differs from the API.

    Args:
        expected: The events of the API.
        actual: The rows of the database.

    Returns:
        The sentence, or `None` if the database has each event exactly once and no
        others.
    """
    wanted, found = Counter(expected), Counter(actual)
    missing, unexpected = wanted - found, found - wanted
    if not missing and not unexpected:
        return None
    parts = [
        f"{counter.total():,} {what} (the first: {min(counter, key=_place)})"
        for counter, what in (
            (missing, "of the sandbox's events are missing or changed in DuckDB"),
            (unexpected, "of DuckDB's rows are not events of the sandbox"),
        )
        if counter
    ]
    return "; ".join(parts) + "."


def _place(event: Event) -> datetime:
    return event.timestamp


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
