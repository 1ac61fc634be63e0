"""One audit log of the API to one record of the stream.

The API gives an audit log no id, and its timestamps as Go prints them. Here each gets
a stable id and RFC 3339 timestamps, and everything else passes unchanged.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from tap_akuity.api.audit_log import (
    Actor,
    AuditLog,
    Details,
    KnownAuditLog,
    Object,
    ObjectId,
    ParentId,
    Text,
)
from tap_akuity.records.timestamps import TimestampError, canonical

if TYPE_CHECKING:
    from msgspec import UnsetType


class RecordError(ValueError):
    """An audit log that cannot be emitted; the text says which field and why."""


class _Record(msgspec.Struct, rename="camel", gc=False):
    """What is emitted of an audit log that has nothing but what is known."""

    id: str
    organization_id: str = msgspec.field(name="organization_id")
    timestamp: str
    action: Text
    actor: Actor | UnsetType | None
    object: Object | UnsetType | None
    details: Details | UnsetType | None
    count: int | UnsetType | None
    last_occurred_timestamp: str | None


class Event(msgspec.Struct, frozen=True, gc=False):
    """An audit log that was checked and placed in time, as it is emitted.

    Packed as JSON, because a window of unpacked records would take several times the
    memory.
    """

    timestamp: str
    """When it happened, as `timestamps.to_text` gives it."""

    last_occurred: str | None
    """When it happened last, likewise; None when the API says nothing."""

    id: str
    """See `event_id`."""

    json: bytes
    """The record: all that the API sent, known or not, with `timestamp` and
    `lastOccurredTimestamp` rewritten, and `id` and `organization_id` added. Should the
    API one day send properties of these two names, they are kept as `akuity_id` and
    `akuity_organization_id`.
    """

    def record(self) -> dict[str, Any]:
        """Unpack the record, with a number that is no integer as `Decimal`."""
        record: dict[str, Any] = _decode(self.json)
        return record


def _exact(number: str) -> Decimal:
    """Keep every digit of a number that is no integer."""
    try:
        return Decimal(number)
    except InvalidOperation:
        msg = f"{number[:40]} is a number beyond all measure"
        raise ValueError(msg) from None


_decode = msgspec.json.Decoder(float_hook=_exact).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_decode_log = msgspec.json.Decoder(AuditLog).decode

_NO_ACTOR = Actor()
_NO_OBJECT = Object()
_NO_OBJECT_ID = ObjectId()
_NO_PARENT_ID = ParentId()
_NO_DETAILS = Details()


def parse_event(item: KnownAuditLog | msgspec.Raw, organization_id: str) -> Event:
    """Check one item of a response, place it in time and give it its id.

    Args:
        item: One of `items` of the response, with the JSON as it was sent if that is
            more than is known today, or not as it is documented.
        organization_id: The organization that was asked.

    Returns:
        The event.

    Raises:
        RecordError: If it is not valid JSON, a known field has another type than the
            API documents, or a timestamp is none.
    """
    try:
        log = _decode_log(item) if isinstance(item, msgspec.Raw) else item
        timestamp = canonical(log.timestamp)
        last = _last_occurred(log, timestamp)
        name = event_id(organization_id, timestamp, log)
        if isinstance(item, msgspec.Raw):
            json = _encode(_whole(item, name, organization_id, timestamp, last))
        else:
            record = _Record(
                name,
                organization_id,
                timestamp,
                log.action,
                log.actor,
                log.object,
                log.details,
                log.count,
                last,
            )
            json = _encode(record)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RecordError(str(error)) from error
    return Event(timestamp, last, name, json)


def _last_occurred(log: AuditLog, timestamp: str) -> str | None:
    text = log.last_occurred_timestamp
    if not text:
        return None
    if text == log.timestamp:
        return timestamp
    try:
        return canonical(text)
    except TimestampError as error:
        msg = f"lastOccurredTimestamp: {error}"
        raise TimestampError(msg) from error


def _whole(
    item: msgspec.Raw,
    name: str,
    organization_id: str,
    timestamp: str,
    last_occurred: str | None,
) -> dict[str, Any]:
    """Make a record of all that the API sent, known or not."""
    sent: dict[str, Any] = _decode(item)
    for ours in ("id", "organization_id"):
        if ours in sent:
            sent[f"akuity_{ours}"] = sent.pop(ours)
    return {
        "id": name,
        "organization_id": organization_id,
        **sent,
        "timestamp": timestamp,
        "lastOccurredTimestamp": last_occurred,
    }


def event_id(organization_id: str, timestamp: str, log: AuditLog) -> str:
    r"""Compute the `id` of an audit log.

    The id is the SHA-256, as 64 hexadecimal digits, of the UTF-8 text of a JSON array
    of 16 strings, written without spaces and with only `"`, `\` and control characters
    escaped:

        organization_id, timestamp, action,
        actor.type, actor.id, actor.ip,
        object.type, object.id.name, object.id.kind, object.id.group,
        object.parentId.name, object.parentId.parentName,
        object.parentId.applicationName,
        details.message, details.patch, details.actionType

    `timestamp` is the emitted text (UTC, nine fraction digits). What is absent, null,
    or in an absent or null object, counts as the empty string. In Python:

        array = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        hashlib.sha256(array.encode()).hexdigest()

    `count` and `lastOccurredTimestamp` stay out, because they grow when the same event
    is seen again. So does every field that Akuity may add: an event keeps its id.

    Args:
        organization_id: The organization's id, as in the settings.
        timestamp: The emitted timestamp.
        log: The audit log.

    Returns:
        64 hexadecimal digits.
    """
    actor = log.actor or _NO_ACTOR
    target = log.object or _NO_OBJECT
    target_id = target.id or _NO_OBJECT_ID
    parent_id = target.parent_id or _NO_PARENT_ID
    details = log.details or _NO_DETAILS
    values = (
        organization_id,
        timestamp,
        log.action or "",
        actor.type or "",
        actor.id or "",
        actor.ip or "",
        target.type or "",
        target_id.name or "",
        target_id.kind or "",
        target_id.group or "",
        parent_id.name or "",
        parent_id.parent_name or "",
        parent_id.application_name or "",
        details.message or "",
        details.patch or "",
        details.action_type or "",
    )
    return hashlib.sha256(_encode(values)).hexdigest()
