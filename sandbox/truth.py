"""What a table should hold, computed from the sandbox's own events.

For the demo, the tests and the benchmarks. No side effects, and nothing of the tap: a
check that shared its code would share its bugs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.timestamps import SECOND, from_record

if TYPE_CHECKING:
    from sandbox.server import Sandbox

# A record. Points in time are nanoseconds since 1970, what is JSON is unpacked.
Row = dict[str, Any]

MICROSECOND = 1_000
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


def truth(sandbox: "Sandbox") -> dict[str, Row]:
    """Return the rows that a sandbox's events should become, by their ids."""
    items = map(json.loads, sandbox.store.bodies())
    rows = {one["id"]: one for one in (row(i, sandbox.organization_id) for i in items)}
    if len(rows) < len(sandbox.store):
        message = "two of the sandbox's events are the same"
        raise ValueError(message)
    return rows


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
        *(item.get(name) or find(item, path) or "" for name, path in LEAVES.items()),
        *more,
    ]
    array = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(array.encode()).hexdigest()


def find(item: Any, path: Iterable[str]) -> Any:  # noqa: ANN401 - JSON
    """Follow a path as far as it leads."""
    for name in path:
        item = (item or {}).get(name)
    return item


def flattened(one: Row) -> Row:
    """Do as `flattening_enabled` does."""
    flat = {name: value for name, value in one.items() if name not in OBJECTS}
    return flat | {name: find(one, path) for name, path in LEAVES.items()}


def stored(
    row: Row, *, blanks: bool = True, lower: bool = False, unit: int = MICROSECOND
) -> Row:
    """Return what a target stores of a row.

    Without `blanks`, empty text in a column of its own is null; with `lower`, names are
    in lower case. Times are truncated to `unit` nanoseconds.
    """
    kept: Row = {
        name: one if blanks or one != "" else None for name, one in row.items()
    }
    kept |= {name: kept[name] // unit * unit for name in TIMES if kept.get(name)}
    return {name.lower(): kept[name] for name in kept} if lower else kept


def instants(row: Row) -> Row:
    """Parse the times of a row, to the last digit that it has."""
    names = {*TIMES, "lastoccurredtimestamp", "last_occurred_at"} & row.keys()
    return row | {name: _instant(row[name]) for name in names if row[name]}


def _instant(text: str) -> int:
    for zone in ("Z", "+00:00", "+00"):
        text = text.removesuffix(zone)
    return from_record(text.replace(" ", "T") + "Z")


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
