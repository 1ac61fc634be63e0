"""What should be in a table, worked out from the sandbox's own events.

Pure, and nothing here comes from the tap: a check that shares its code would share its
mistakes.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sandbox.timestamps import SECOND, from_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sandbox.server import Sandbox

Row = dict[str, Any]
"""A record. Points in time are nanoseconds since 1970, what is JSON is unpacked."""

TIMES = ("timestamp", "lastOccurredTimestamp")
OBJECTS = ("actor", "object", "details")
COLUMNS = ("id", "organization_id", "action", "count", *TIMES, *OBJECTS)

# What is flattened, as `flattening_enabled` names it.
LEAVES = {
    f"{path[0]}__{'__'.join(path[1:])}": path
    for path in (
        ("actor", "id"),
        ("actor", "ip"),
        ("actor", "origin"),
        ("actor", "type"),
        ("object", "type"),
        ("object", "id", "group"),
        ("object", "id", "namespace"),
        ("object", "id", "kind"),
        ("object", "id", "name"),
        ("object", "parentId", "applicationName"),
        ("object", "parentId", "projectName"),
        ("object", "parentId", "name"),
        ("object", "parentId", "parentName"),
        ("details", "actionType"),
        ("details", "message"),
        ("details", "patch"),
    )
}

_MOST = 3  # differences that a message shows


def truth(sandbox: Sandbox) -> dict[str, Row]:
    """Give the rows that the sandbox's events should have become, by their ids."""
    organization_id = sandbox.organization_id
    items = map(json.loads, sandbox.store.bodies())
    rows = [row(item, organization_id) for item in items]
    by_id = {one["id"]: one for one in rows}
    assert len(by_id) == len(rows), "two of the sandbox's events are the same"
    return by_id


def row(item: Mapping[str, Any], organization_id: str) -> Row:
    """Give the row that an item of the API should become."""
    timestamp = from_record(item["timestamp"])
    last = item.get("lastOccurredTimestamp")
    return {
        **item,
        "id": event_id(item, organization_id, timestamp),
        "organization_id": organization_id,
        "timestamp": timestamp,
        "lastOccurredTimestamp": from_record(last) if last else None,
    }


def event_id(item: Mapping[str, Any], organization_id: str, timestamp: int) -> str:
    """Compute an id by the recipe of the README."""
    seconds, fraction = divmod(timestamp, SECOND)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    values = [
        organization_id,
        f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z",
        item.get("action") or "",
        *(
            find(item, path) or ""
            for path in (
                ("actor", "type"),
                ("actor", "id"),
                ("actor", "ip"),
                ("actor", "origin"),
                ("object", "type"),
                ("object", "id", "name"),
                ("object", "id", "kind"),
                ("object", "id", "group"),
                ("object", "id", "namespace"),
                ("object", "parentId", "name"),
                ("object", "parentId", "parentName"),
                ("object", "parentId", "applicationName"),
                ("object", "parentId", "projectName"),
                ("details", "message"),
                ("details", "patch"),
                ("details", "actionType"),
            )
        ),
    ]
    array = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(array.encode()).hexdigest()


def find(item: Any, path: Iterable[str]) -> Any:
    """Follow a path as far as it leads."""
    for name in path:
        item = (item or {}).get(name)
    return item


def flattened(one: Row) -> Row:
    """Do as `flattening_enabled` does."""
    flat = {name: value for name, value in one.items() if name not in OBJECTS}
    return flat | {name: find(one, path) for name, path in LEAVES.items()}


def differences(expected: Mapping[str, Row], rows: Iterable[Row]) -> list[str]:
    """Say how a table differs from what should be in it.

    Args:
        expected: The rows that should be there, by their ids.
        rows: Those that are.

    Returns:
        The first few differences, none if each row is there once, and no other.
    """
    found: list[str] = []
    seen: set[str] = set()
    for one in rows:
        name = one["id"]
        wanted = expected.get(name)
        if wanted is None:
            found.append(f"{name} is none of the sandbox's")
        elif name in seen:
            found.append(f"{name} is there twice")
        elif one != wanted:
            found += [
                f"{key} of {name} is {one.get(key)!r}, not {wanted.get(key)!r}"
                for key in sorted(one.keys() | wanted.keys())
                if (key in one, one.get(key)) != (key in wanted, wanted.get(key))
            ]
        seen.add(name)
    found += [f"{name} is missing" for name in sorted(expected.keys() - seen)]
    if len(found) > _MOST:
        found[_MOST:] = [f"and {len(found) - _MOST} more"]
    return found
