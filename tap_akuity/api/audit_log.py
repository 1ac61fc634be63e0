"""What an audit log of the API looks like, as far as it is known.

It is `akuity.organization.v1.AuditLog`, as protojson writes it: each member may be
absent, and each but `timestamp` null. Akuity may add others at any time.

Nothing here refers to what could refer back, which spares the garbage collector
(`gc=False`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from typing import TypeAlias

Text: TypeAlias = str | UnsetType | None


class Actor(msgspec.Struct, gc=False):
    """Who did it."""

    type: Text = UNSET
    id: Text = UNSET
    ip: Text = UNSET


class ObjectId(msgspec.Struct, gc=False):
    """What it was done to."""

    name: Text = UNSET
    kind: Text = UNSET
    group: Text = UNSET


class ParentId(msgspec.Struct, rename="camel", gc=False):
    """What that belongs to."""

    name: Text = UNSET
    parent_name: Text = UNSET
    application_name: Text = UNSET


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
    """An audit log. Decoding leaves out what is not known."""

    timestamp: str
    action: Text = UNSET
    actor: Actor | UnsetType | None = UNSET
    object: Object | UnsetType | None = UNSET
    details: Details | UnsetType | None = UNSET
    count: int | UnsetType | None = UNSET
    last_occurred_timestamp: Text = UNSET


class _KnownActor(Actor, forbid_unknown_fields=True):
    pass


class _KnownObjectId(ObjectId, forbid_unknown_fields=True):
    pass


class _KnownParentId(ParentId, forbid_unknown_fields=True):
    pass


class _KnownObject(Object, forbid_unknown_fields=True):
    id: _KnownObjectId | UnsetType | None = UNSET
    parent_id: _KnownParentId | UnsetType | None = UNSET


class _KnownDetails(Details, forbid_unknown_fields=True):
    pass


class KnownAuditLog(AuditLog, forbid_unknown_fields=True):
    """An audit log. Decoding fails if it has a member that is not known."""

    actor: _KnownActor | UnsetType | None = UNSET
    object: _KnownObject | UnsetType | None = UNSET
    details: _KnownDetails | UnsetType | None = UNSET
