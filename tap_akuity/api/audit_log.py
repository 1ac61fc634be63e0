"""An item of the audit log: its known members.

It is `akuity.organization.v1.AuditLog` in protojson: each member may be absent, and
each but `timestamp` may be null. Akuity may add others at any time.

These objects cannot form reference cycles, so the garbage collector need not track them
(`gc=False`).
"""

from typing import TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

Text: TypeAlias = str | UnsetType | None


class Actor(msgspec.Struct, gc=False):
    """Who did it."""

    type: Text = UNSET
    id: Text = UNSET
    ip: Text = UNSET
    origin: Text = UNSET


class ObjectId(msgspec.Struct, gc=False):
    """What it was done to."""

    name: Text = UNSET
    kind: Text = UNSET
    group: Text = UNSET
    namespace: Text = UNSET


class ParentId(msgspec.Struct, rename="camel", gc=False):
    """What the object belongs to."""

    name: Text = UNSET
    parent_name: Text = UNSET
    application_name: Text = UNSET
    project_name: Text = UNSET


class Object(msgspec.Struct, rename="camel", gc=False):
    """What it was done to, and what that belongs to."""

    type: Text = UNSET
    id: ObjectId | UnsetType | None = UNSET
    parent_id: ParentId | UnsetType | None = UNSET


class Details(msgspec.Struct, rename="camel", gc=False):
    """How it was done."""

    message: Text = UNSET
    patch: Text = UNSET
    action_type: Text = UNSET


class AuditLog(msgspec.Struct, rename="camel", gc=False):
    """One item. Decoding checks the types of these members and ignores all others."""

    timestamp: str
    action: Text = UNSET
    actor: Actor | UnsetType | None = UNSET
    object: Object | UnsetType | None = UNSET
    details: Details | UnsetType | None = UNSET
    count: int | Text = UNSET
    """Text if protojson wrote it as a 64-bit integer."""

    last_occurred_timestamp: Text = UNSET
