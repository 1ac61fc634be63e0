"""Converts an item of the API to an event of the stream.

An item of the API has no id, and its timestamps are in Go's format. An event has a
stable id and RFC 3339 timestamps; all other members stay unchanged, known or not.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from tap_akuity.api.audit_log import AuditLog
from tap_akuity.records.identity import event_id
from tap_akuity.records.members import UnknownMembers
from tap_akuity.text.timestamps import PRECISIONS, TimestampError, canonical


class RecordError(ValueError):
    """An item that cannot be emitted; the text says where and why."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """An item that was validated, placed in time and given an id.

    Its record is kept as JSON, because a window of decoded records would take several
    times the memory.
    """

    timestamp: str
    """When it happened, in the format of `timestamps.to_text`."""

    last_occurred: str
    """When it happened last, in the same format; empty if the API does not say."""

    id: str
    """See `identity.event_id` and `rows.make_distinct`."""

    json: bytes
    """The record, on one line: all members that the API sent, with `timestamp` and
    `lastOccurredTimestamp` rewritten, and `id` and `organization_id` added. Should the
    API one day send members of these two names, they are kept under `akuity_id` and
    `akuity_organization_id`.
    """


def parse_items(
    items: msgspec.Raw,
    organization_id: str,
    *,
    most: int,
    unknown: UnknownMembers,
    precision: str,
) -> list[Event]:
    """Decode the items of a page: a JSON array, on one line.

    `unknown` collects the members that are not known; the precision of the timestamps
    is one of `timestamps.PRECISIONS`. Returns an event for each item, in their order.

    Raises:
        RecordError: If there are more than `most` items, one is not a JSON object, a
            known member has another type than the API documents, or a timestamp is not
            valid.
    """
    events: list[Event] = []
    shorten = PRECISIONS[precision]
    try:
        if memoryview(items).nbytes > _SMALL:
            # Count first, with little memory: the page may be malformed.
            _check_count(len(_decode_dated(items)), most)
        raws = _decode_items(items)
        _check_count(len(raws), most)
        for item in raws:
            log = _decode_log(item)
            unknown.examine(log, item)
            events.append(_event(log, _decode_members(item), organization_id, shorten))
    except RecordError:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RecordError(f"{error} - in item {len(events)} of the page") from error
    return events


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise RecordError(f"{count} items where at most {most} may be")


_NOT_SET = "0001-01-01T00:00:00.000000000Z"  # Go's zero time.

_SMALL = 1 << 20
"""How many bytes of items need little memory, whatever they contain."""


class _Dated(msgspec.Struct, gc=False):
    timestamp: str


_encode = msgspec.json.encode
_decode_dated = msgspec.json.Decoder(list[_Dated]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_integer = msgspec.json.Decoder(int).decode
_decode_log = msgspec.json.Decoder(AuditLog).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _event(
    log: AuditLog,
    members: dict[str, Any],
    organization_id: str,
    shorten: Callable[[str], str],
) -> Event:
    timestamp = canonical(log.timestamp)
    last, emitted = timestamp, shorten(timestamp)
    last_emitted: str | None = emitted
    if log.last_occurred_timestamp != log.timestamp:  # Usually the same.
        last = _last_occurred(log)
        last_emitted = shorten(last) if last else None
    one = event_id(organization_id, timestamp, log)
    for name in ("id", "organization_id"):
        if name in members:
            _rename(members, name)
    if isinstance(log.count, str):
        members["count"] = _integer(log.count)
    members["id"] = one
    members["organization_id"] = organization_id
    members["timestamp"] = emitted
    members["lastOccurredTimestamp"] = last_emitted
    return Event(timestamp, last, one, _encode(members))


def _integer(text: str) -> msgspec.Raw:
    try:
        return msgspec.Raw(b"%d" % _decode_integer(text))
    except msgspec.MsgspecError as error:
        raise ValueError(f"{error} - at `$.count`") from error


def _rename(members: dict[str, Any], name: str) -> None:
    other = f"akuity_{name}"
    while other in members:
        other = f"akuity_{other}"
    members[other] = members.pop(name)


def _last_occurred(log: AuditLog) -> str:
    text = log.last_occurred_timestamp
    if not text:
        return ""
    try:
        last = canonical(text)
    except TimestampError as error:
        raise TimestampError(f"lastOccurredTimestamp: {error}") from error
    return "" if last == _NOT_SET else last
