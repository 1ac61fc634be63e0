"""Rows of the API: recognizes repeated events, and tells similar ones apart."""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tap_akuity.api.audit_log import AuditLog
from tap_akuity.records.event import Event, RecordError
from tap_akuity.records.identity import event_id
from tap_akuity.records.members import add_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeAlias

    Key: TypeAlias = str | tuple[str, bytes]
    Path: TypeAlias = tuple[str, ...]

GROWING = ("count", "lastOccurredTimestamp")
"""The members that change when the same event is seen again."""

_COMPUTED = ("id", "organization_id")


class Rows:
    """Events from the rows that were received, each once.

    Rows are the same event if they differ only in `GROWING`; the one that occurred last
    is kept.
    """

    def __init__(self) -> None:
        """Initialize without events."""
        self.size = 0
        """The size of their records in bytes."""

        self._events: dict[Key, Event] = {}

    def __len__(self) -> int:
        """Count the events."""
        return len(self._events)

    def add(self, rows: Iterable[Event]) -> list[Key]:
        """Add rows.

        Args:
            rows: Rows with the ids from `parse_items`.

        Returns:
            The key of each row's event. Rows of the same event have the same key.
        """
        known = self._events
        keys: list[Key] = []
        for row in rows:
            key: Key = row.id
            if key in known and not same(known[key], row):
                key = row.id, content(row)
            if key in known:
                known[key] = max(known[key], row, key=_growth)
            else:
                known[key] = row
                self.size += len(row.json)
            keys.append(key)
        return keys

    def events(self) -> list[Event]:
        """Return the events, in ascending order."""
        return sorted(self._events.values(), key=attrgetter("timestamp"))


def _growth(row: Event) -> tuple[str, bytes]:
    return row.last_occurred, row.json


def same(one: Event, other: Event) -> bool:
    """Return whether two rows with one id differ only in `GROWING`."""
    return one.json == other.json or content(one) == content(other)


def content(event: Event) -> bytes:
    """Return what identifies an event: everything but `GROWING`.

    Args:
        event: With any id.

    Returns:
        Canonical JSON, independent of white space and the order of members.
    """
    return _encode_sorted(_identifying(event))


class Told(NamedTuple):
    """Events with ids of their own."""

    events: list[Event]

    members: set[str]
    """The members in which twins differ: names such as `object.id.name`."""


def tell_apart(events: list[Event]) -> Told:
    """Assign different ids to twins: different events with one id.

    The twin whose content sorts first keeps the id. The ids of the others are computed
    from more than the 19 strings of `event_id`: for each member in which the twins
    differ, in ascending order, its JSON Pointer (RFC 6901) and its value follow, as
    JSON without spaces and with sorted names, or empty where the member is absent.

    So an id depends only on the twins: not on their order, page or run, nor on members
    that Akuity adds to all of them.

    Args:
        events: All events of each instant, in any order, with the ids from
            `parse_items`.

    Returns:
        The events in the same order.
    """
    if len({event.id for event in events}) == len(events):
        return Told(events, set())
    groups: dict[str, list[int]] = defaultdict(list)
    for place, event in enumerate(events):
        groups[event.id].append(place)
    result = list(events)
    members: set[str] = set()
    for places in groups.values():
        if len(places) > 1:
            places.sort(key=lambda place: content(events[place]))
            twins = [dict(_leaves(_identifying(events[place]))) for place in places]
            paths = sorted(_differing(twins))
            add_names(members, map(".".join, paths))
            for place, twin in zip(places[1:], twins[1:], strict=True):
                more = [
                    text
                    for path in paths
                    for text in (_pointer(path), twin.get(path, ""))
                ]
                result[place] = _with_more(events[place], more)
    return Told(result, members)


def _differing(twins: list[dict[Path, str]]) -> set[Path]:
    return {
        path
        for path in set().union(*twins)
        if len({twin.get(path) for twin in twins}) > 1
    }


def _leaves(members: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the path and the JSON of each member that is not an object with members."""
    for name, value in members.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), _encode_sorted(value).decode()


def _pointer(path: Path) -> str:
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


def _with_more(event: Event, more: list[str]) -> Event:
    record = _decode(event.json)
    log = _decode_log(event.json)
    one = event_id(record["organization_id"], event.timestamp, log, *more)
    json = msgspec.json.encode(record | {"id": one})
    return Event(event.timestamp, event.last_occurred, one, json)


def _identifying(event: Event) -> dict[str, Any]:
    try:
        record: dict[str, Any] = _decode(event.json)
    except (msgspec.MsgspecError, RecursionError) as error:
        msg = f"an event of {event.timestamp}: {error}"
        raise RecordError(msg) from error
    for name in (*GROWING, *_COMPUTED):
        record.pop(name, None)
    return record


def _verbatim(number: str) -> msgspec.Raw:
    """Keep every digit of a number that is not an integer."""
    return msgspec.Raw(number.encode())


_decode = msgspec.json.Decoder(dict[str, Any], float_hook=_verbatim).decode
_decode_log = msgspec.json.Decoder(AuditLog).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
