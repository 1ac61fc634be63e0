"""The `id` of an event."""

import hashlib

import msgspec

from tap_akuity.api.audit_log import (
    Actor,
    AuditLog,
    Details,
    Object,
    ObjectId,
    ParentId,
)

_encode = msgspec.json.encode

_NO_ACTOR = Actor()
_NO_OBJECT = Object()
_NO_OBJECT_ID = ObjectId()
_NO_PARENT_ID = ParentId()
_NO_DETAILS = Details()


def event_id(organization_id: str, timestamp: str, log: AuditLog, *more: str) -> str:
    r"""Compute the `id` of an event.

    The API returns no id. This one is the SHA-256, as 64 hexadecimal digits, of
    the UTF-8 text of a JSON array of 19 strings, written without spaces and with only
    `"`, `\` and control characters escaped:

        organization_id, timestamp, action,
        actor.type, actor.id, actor.ip, actor.origin,
        object.type,
        object.id.name, object.id.kind, object.id.group, object.id.namespace,
        object.parentId.name, object.parentId.parentName,
        object.parentId.applicationName, object.parentId.projectName,
        details.message, details.patch, details.actionType

    `timestamp` is in UTC with nine fraction digits, whatever precision is emitted. A
    member that is absent, null, or in an absent or null object, counts as the empty
    string. In Python:

        array = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
        hashlib.sha256(array.encode()).hexdigest()

    `count` and `lastOccurredTimestamp` are left out, because they grow when the same
    event is seen again. So is every member that Akuity may add: an event keeps its id,
    unless it has a twin: then more strings follow the 19 (see
    `tap_akuity.records.rows.make_distinct`).
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
        actor.origin or "",
        target.type or "",
        target_id.name or "",
        target_id.kind or "",
        target_id.group or "",
        target_id.namespace or "",
        parent_id.name or "",
        parent_id.parent_name or "",
        parent_id.application_name or "",
        parent_id.project_name or "",
        details.message or "",
        details.patch or "",
        details.action_type or "",
        *more,
    )
    return hashlib.sha256(_encode(values)).hexdigest()
