"""Compares the rows of the database with the events of the API.

Pure, and independent of the tap: a check that shared its code would share its bugs.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sandbox.timestamps import from_record


class Event(NamedTuple):
    """An event in a form that is the same for the API and the database.

    Times are in UTC with microseconds, as DuckDB stores them; objects are JSON text
    with sorted keys.
    """

    timestamp: datetime
    action: str | None
    actor: str
    object: str
    details: str
    times: int | None
    last_occurred: datetime | None


def from_api(item: Mapping[str, Any]) -> Event:
    """Convert an item of the API's response."""
    last_occurred = item["lastOccurredTimestamp"]
    return Event(
        timestamp=parse_time(item["timestamp"]),
        # The loader stores an empty text as NULL.
        action=item["action"] or None,
        actor=_canonical(item["actor"]),
        object=_canonical(item["object"]),
        details=_canonical(item["details"]),
        times=item["count"],
        last_occurred=parse_time(last_occurred) if last_occurred else None,
    )


def from_row(row: tuple[Any, ...]) -> Event:
    """Convert a row of `warehouse.rows`."""
    timestamp, action, *objects, times, last_occurred = row
    actor, obj, details = (_canonical(json.loads(text or "null")) for text in objects)
    return Event(timestamp, action, actor, obj, details, times, last_occurred)


def parse_time(text: str) -> datetime:
    """Parse a timestamp of the API as UTC, truncated to microseconds."""
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001 - as DuckDB has it
    return epoch + timedelta(microseconds=from_record(text) // 1000)


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
    parts = []
    for counter, what in (
        (wanted - found, "of the sandbox's events are missing or changed in DuckDB"),
        (found - wanted, "of DuckDB's rows are not events of the sandbox"),
    ):
        if counter:
            first = min(counter, key=lambda event: event.timestamp)
            text = f"{first.action} at {first.timestamp} by {first.actor}"
            parts.append(f"{counter.total():,} {what} (the first: {text})")
    return "; ".join(parts) + "." if parts else None


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
