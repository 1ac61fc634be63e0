"""What should be in a table, computed from the sandbox's own events.

Pure, and nothing here comes from the tap: a check that shares its code would share its
mistakes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.server import Sandbox
from sandbox.timestamps import SECOND, from_record

Row = dict[str, Any]
"""A record. Points in time are nanoseconds since 1970, what is JSON is unpacked."""

TIMES = ("timestamp", "lastOccurredTimestamp")
OBJECTS = ("actor", "object", "details")
COLUMNS = ("id", "organization_id", "action", "count", *TIMES, *OBJECTS)

# In the order of the recipe in `docs/id.md`.
_PATHS = """
    actor.type actor.id actor.ip actor.origin
    object.type
    object.id.name object.id.kind object.id.group object.id.namespace
    object.parentId.name object.parentId.parentName
    object.parentId.applicationName object.parentId.projectName
    details.message details.patch details.actionType
"""

LEAVES = {path.replace(".", "__"): tuple(path.split(".")) for path in _PATHS.split()}
"""The members of objects, by the columns that `flattening_enabled` makes of them."""

_MOST = 3  # differences that a message shows


def truth(sandbox: Sandbox) -> dict[str, Row]:
    """Return the rows that the sandbox's events should have become, by their ids."""
    items = map(json.loads, sandbox.store.bodies())
    rows = [row(item, sandbox.organization_id) for item in items]
    by_id = {one["id"]: one for one in rows}
    assert len(by_id) == len(rows), "two of the sandbox's events are the same"
    return by_id


def row(item: Mapping[str, Any], organization_id: str) -> Row:
    """Return the row that an item of the API should become."""
    timestamp = from_record(item["timestamp"])
    last = item.get("lastOccurredTimestamp")
    return {
        **item,
        "id": event_id(item, organization_id, timestamp),
        "organization_id": organization_id,
        "timestamp": timestamp,
        "lastOccurredTimestamp": from_record(last) if last else None,
    }


def event_id(
    item: Mapping[str, Any], organization_id: str, timestamp: int, *more: str
) -> str:
    """Compute an id by the recipe, with what a twin adds to it."""
    seconds, fraction = divmod(timestamp, SECOND)
    moment = datetime.fromtimestamp(seconds, UTC)
    values = [
        organization_id,
        f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z",
        item.get("action") or "",
        *(find(item, path) or "" for path in LEAVES.values()),
        *more,
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
    """Return how a table differs from what should be in it, at most a few sentences."""
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
