"""One audit log of the API to one record of the stream.

The API gives an audit log no id, and its timestamps as Go prints them. Here each gets
a stable id and RFC 3339 timestamps, and everything else passes unchanged.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import msgspec

from tap_akuity.timestamps import TimestampError, canonical


class RecordError(ValueError):
    """An audit log that cannot be emitted; the text says which field and why."""


class _Actor(msgspec.Struct, gc=False):
    type: str | None = None
    id: str | None = None
    ip: str | None = None


class _ObjectId(msgspec.Struct, gc=False):
    name: str | None = None
    kind: str | None = None
    group: str | None = None


class _ParentId(msgspec.Struct, rename="camel", gc=False):
    name: str | None = None
    parent_name: str | None = None
    application_name: str | None = None


class _Object(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    id: _ObjectId | None = None
    parent_id: _ParentId | None = None


class _Details(msgspec.Struct, rename="camel", gc=False):
    message: str | None = None
    patch: str | None = None
    action_type: str | None = None


class _AuditLog(msgspec.Struct, rename="camel", gc=False):
    """What is known today of `akuity.organization.v1.AuditLog` in protojson."""

    timestamp: str
    action: str | None = None
    actor: _Actor | None = None
    object: _Object | None = None
    details: _Details | None = None
    count: int | None = None
    last_occurred_timestamp: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """An audit log that was checked and placed in time, its JSON still packed.

    Packed, because a window of unpacked records would take several times the memory.
    """

    timestamp: str
    """When it happened, as `timestamps.to_text` gives it."""

    last_occurred: str | None
    """When it happened last, likewise; None when the API says nothing."""

    id: str
    """See `event_id`."""

    organization_id: str
    raw: msgspec.Raw
    """The JSON object as the API sent it."""

    def record(self) -> dict[str, Any]:
        """Unpack the record, ready to be emitted.

        Returns:
            All that the API sent, known or not, with `timestamp` and
            `lastOccurredTimestamp` rewritten, and `id` and `organization_id` added.
            Should the API one day send properties of these two names, they are kept
            as `akuity_id` and `akuity_organization_id`.

        Raises:
            RecordError: If a field that is not known today is no valid JSON.
        """
        try:
            sent: dict[str, Any] = _decode(self.raw)
        except (msgspec.MsgspecError, RecursionError) as error:
            msg = (
                f"The audit log of {self.timestamp} with the id {self.id} cannot be "
                f"read, so the sync stops before it: {error}."
            )
            raise RecordError(msg) from error
        for name in ("id", "organization_id"):
            if name in sent:
                sent[f"akuity_{name}"] = sent.pop(name)
        return {
            "id": self.id,
            "organization_id": self.organization_id,
            **sent,
            "timestamp": self.timestamp,
            "lastOccurredTimestamp": self.last_occurred,
        }


# Floats as Decimal, so that no digit is lost on the way through.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_check = msgspec.json.Decoder(_AuditLog).decode
_encode = msgspec.json.Encoder().encode

_NO_ACTOR = _Actor()
_NO_OBJECT = _Object()
_NO_OBJECT_ID = _ObjectId()
_NO_PARENT_ID = _ParentId()
_NO_DETAILS = _Details()


def parse_event(raw: msgspec.Raw, organization_id: str) -> Event:
    """Check one item of a response, place it in time and give it its id.

    Args:
        raw: The JSON object, as in `items` of the response.
        organization_id: The organization that was asked.

    Returns:
        The event.

    Raises:
        RecordError: If a known field has another type than the API documents, or a
            timestamp is none.
    """
    try:
        log = _check(raw)
        timestamp = canonical(log.timestamp)
    except (msgspec.MsgspecError, TimestampError, RecursionError) as error:
        raise RecordError(str(error)) from error
    last = log.last_occurred_timestamp
    if not last:
        last = None
    elif last == log.timestamp:
        last = timestamp
    else:
        try:
            last = canonical(last)
        except TimestampError as error:
            msg = f"lastOccurredTimestamp: {error}"
            raise RecordError(msg) from error
    return Event(
        timestamp=timestamp,
        last_occurred=last,
        id=event_id(organization_id, timestamp, log),
        organization_id=organization_id,
        raw=raw,
    )


def event_id(organization_id: str, timestamp: str, log: _AuditLog) -> str:
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
