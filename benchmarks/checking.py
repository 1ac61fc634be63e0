"""Compares the output of a program with the server's events, by digests.

A digest is independent of the order, and of the tap: a check that shared its code would
share its bugs.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.data import Dataset, Item
from sandbox.timestamps import from_record

Change = Callable[[Item], Item]
Check = Callable[[Path, Dataset | tuple[()]], str | None]
"""Describes what is wrong in a folder after a run, given the server's events."""

TIMES = ("timestamp", "lastOccurredTimestamp")
ADDED = {"id", "organization_id"}  # by the tap, which leaves out what it does not know
UNKNOWN = {"requestId", "labels__number", "object__labels__number"}


class Digest(NamedTuple):
    """The number of records and of distinct ids, and the digest if it is known."""

    records: int
    ids: int = 0
    digest: int | None = None


def digest(items: Iterable[Item], change: Change | None = None) -> Digest:
    """Digest items, nested or flattened, with a change to each flattened event.

    Absent, null and empty properties are equal.
    """
    records, total, ids = 0, 0, set()
    for item in items:
        event = dict(_flat(item))
        if change:
            event = change(event)
        event |= {name: from_record(event[name]) for name in TIMES if event.get(name)}
        kept = {name for name, value in event.items() if value not in {None, ""}}
        kept -= ADDED | UNKNOWN
        total += hash(frozenset((name, event[name]) for name in kept))
        records += 1
        ids.add(event.get("id"))
    return Digest(records, len(ids - {None}), total)


def _flat(item: Item, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in item.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}__")
        else:
            yield prefix + name, value


def read(path: Path) -> Iterator[Item]:
    """Read records: one per line, in Singer messages, or in batch files they name."""
    with path.open("rb") as lines:
        for message in map(json.loads, lines):
            if "type" not in message:
                yield message
            elif message["type"] == "RECORD":
                yield message["record"]
            elif message["type"] == "BATCH":
                for url in message["manifest"]:
                    with gzip.open(url.removeprefix("file://")) as batch:
                        yield from map(json.loads, batch)


def difference(found: Digest, expected: Digest) -> str | None:
    """Describe how a digest differs from the expected one."""
    if found.records != expected.records:
        return f"{found.records:,} of {expected.records:,} events"
    if found.ids not in {0, expected.records}:
        return f"{found.ids:,} ids for {expected.records:,} events"
    return None if found.digest in {None, expected.digest} else "other events"


_server = cache(digest)


def same_events(change: Change | None = None) -> Check:
    """Compare the output with the server's events, changed."""
    return lambda folder, data: difference(
        digest(read(folder / "output")), _server(data, change)
    )


def same_count(folder: Path, data: Dataset | tuple[()]) -> str | None:
    """Compare only the number of events, which the program printed."""
    count = int((folder / "output").read_text(encoding="utf-8"))
    return difference(Digest(count), _server(data))
