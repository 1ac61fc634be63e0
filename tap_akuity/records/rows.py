"""Rows of the API: recognizes repeated events, and tells similar ones apart."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from tap_akuity.api.audit_log import AuditLog
from tap_akuity.records.event import Event, RecordError
from tap_akuity.records.identity import event_id
from tap_akuity.records.members import KNOWN, Known, add_names

Key: TypeAlias = str | tuple[str, bytes]

GROWING = ("count", "lastOccurredTimestamp")
"""The members that change when the same event is seen again."""

_COVERED: Known = KNOWN | {"id": {}, "organization_id": {}}

_UNSET: tuple[Any, ...] = (None, "", 0, {}, [])
"""The values of members that are not set; `False` equals 0."""


class Rows:
    """Events from the rows that were received, each once.

    Rows are the same event if they differ only in `GROWING`, or in members that are set
    in neither; the one that occurred last is kept.
    """

    def __init__(self) -> None:
        self.size = 0
        """The size of their records in bytes."""

        self._events: dict[Key, Event] = {}

    def __len__(self) -> int:
        return len(self._events)

    def add(self, rows: Iterable[Event]) -> None:
        """Add rows, with the ids from `parse_items`."""
        known = self._events
        for row in rows:
            key: Key = row.id
            if key in known and not _is_same(known[key], row):
                key = row.id, content(row)
            if key in known:
                known[key] = max(known[key], row, key=_growth)
            else:
                known[key] = row
                self.size += len(row.json)

    def events(self) -> list[Event]:
        """Return the events, in ascending order."""
        return sorted(self._events.values(), key=attrgetter("timestamp"))


def _growth(row: Event) -> tuple[str, bytes]:
    return row.last_occurred, row.json


def _is_same(one: Event, other: Event) -> bool:
    """Return whether two rows with one id are the same event."""
    return one.json == other.json or content(one) == content(other)


def content(event: Event) -> bytes:
    """Return what distinguishes an event from others with its id, as canonical JSON.

    These are the members that the id does not cover, as far as they are set: after an
    update, a server may send more members, which are unset for most events.
    """
    return _encode_sorted(_distinguishing(event))


class Distinct(NamedTuple):
    """Events with ids of their own."""

    events: list[Event]

    members: set[str]
    """The members in which twins differ: names such as `object.id.name`."""


def make_distinct(events: list[Event]) -> Distinct:
    """Assign different ids to twins: different events with one id.

    The twin whose members sort first keeps the id, which is one without such members if
    there is one. The ids of the others are computed from more than the 19 strings of
    `event_id`: for each member of theirs that is set and that the 19 do not cover, in
    ascending order, its JSON Pointer (RFC 6901) and its value follow, as JSON without
    spaces and with sorted names.

    So the id of a twin depends on no other twin, except for which of them is the first,
    and not on their order, page or run. All events of an instant are required, with the
    ids from `parse_items`; the events returned are in the same order.
    """
    if len({event.id for event in events}) == len(events):
        return Distinct(events, set())
    groups: dict[str, list[int]] = defaultdict(list)
    for place, event in enumerate(events):
        groups[event.id].append(place)
    result = list(events)
    members: set[str] = set()
    for places in groups.values():
        if len(places) > 1:
            members_of = {place: _distinguishing(events[place]) for place in places}
            places.sort(key=lambda place: sorted(members_of[place].items()))
            twins = [members_of[place] for place in places]
            differing = sorted(
                path
                for path in set().union(*twins)
                if len({twin.get(path) for twin in twins}) > 1
            )
            add_names(members, (path[1:].replace("/", ".") for path in differing))
            for place, twin in zip(places[1:], twins[1:], strict=True):
                more = [text for path in sorted(twin) for text in (path, twin[path])]
                result[place] = _with_more(events[place], more)
    return Distinct(result, members)


def _with_more(event: Event, more: list[str]) -> Event:
    record = _decode(event.json)
    log = _decode_log(event.json)
    one = event_id(record["organization_id"], event.timestamp, log, *more)
    json = msgspec.json.encode(record | {"id": one})
    return Event(event.timestamp, event.last_occurred, one, json)


def _distinguishing(event: Event) -> dict[str, str]:
    """Return the pointer and the JSON of each set member that the id does not cover."""
    try:
        record: dict[str, Any] = _decode(event.json)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RecordError(f"an event of {event.timestamp}: {error}") from error
    return dict(_leaves(record, _COVERED))


def _leaves(
    members: Mapping[str, Any], covered: Known, path: str = ""
) -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        if value in _UNSET or (name in covered and not covered[name]):
            continue
        pointer = f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
        if isinstance(value, dict):
            yield from _leaves(value, covered.get(name, {}), pointer)
        else:
            yield pointer, _encode_sorted(value).decode()


def as_raw(number: str) -> msgspec.Raw:
    """Keep every digit of a number that is not an integer."""
    return msgspec.Raw(number.encode())


_decode = msgspec.json.Decoder(dict[str, Any], float_hook=as_raw).decode
_decode_log = msgspec.json.Decoder(AuditLog).decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode
