"""Digests of events, to compare a program's output with the server's events.

A digest is independent of the order, and covers the properties that every program
keeps. It is also independent of the tap: a check that shared its code would share its
bugs.

Runs in its own process, because the measuring process has to stay small.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Item = dict[str, Any]

_BYTES = 16
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?: \+0000 UTC|Z|\+00:00)?"
)
_PATHS = (
    ("action",),
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
    ("count",),
)


class Digest(NamedTuple):
    """The number of records and ids, and the digest."""

    records: int
    ids: int | None
    """The number of distinct ids; `None` if records have no id."""

    digest: str


def digest(items: Iterable[Item]) -> Digest:
    """Digest items in the API's format.

    Args:
        items: The records. Absent, null and empty properties are equal.

    Returns:
        The digest, the same for every order of the items.
    """
    records, total, ids = 0, 0, set()
    for item in items:
        records += 1
        total += fingerprint(item)
        if "id" in item:
            ids.add(item["id"])
    text = f"{total % (1 << 8 * _BYTES):0{2 * _BYTES}x}"
    return Digest(records, len(ids) if ids else None, text)


def fingerprint(item: Item) -> int:
    """Return a hash of an item, as a number."""
    values = [_instant(item["timestamp"])]
    values.append(_instant(item.get("lastOccurredTimestamp") or ""))
    for path in _PATHS:
        value: Any = item
        for name in path:
            value = value.get(name) if value else None
        values.append("" if value is None else str(value))
    text = "\x1f".join(values).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=_BYTES).digest(), "big")


def _instant(text: str) -> str:
    if not text:
        return ""
    match = _TIME.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a timestamp in UTC"
        raise ValueError(message)
    date, clock, fraction = match.groups("")
    return f"{date} {clock}.{fraction.ljust(9, '0')}"


def json_lines(path: Path) -> Iterator[Item]:
    """Read records, one per line."""
    with path.open("rb") as lines:
        for line in lines:
            yield json.loads(line)


def singer(path: Path) -> Iterator[Item]:
    """Read Singer messages."""
    for message in json_lines(path):
        if message["type"] == "RECORD":
            yield message["record"]


def singer_flattened(path: Path) -> Iterator[Item]:
    """Read Singer messages with flattened records."""
    for record in singer(path):
        item: Item = {}
        for column, value in record.items():
            if value is not None:
                *parents, name = column.split("__")
                place = item
                for parent in parents:
                    place = place.setdefault(parent, {})
                place[name] = value
        yield item


def singer_batches(path: Path) -> Iterator[Item]:
    """Read the batch files that Singer messages name."""
    for message in json_lines(path):
        if message["type"] == "BATCH":
            for url in message["manifest"]:
                with gzip.open(url.removeprefix("file://")) as lines:
                    yield from map(json.loads, lines)


READERS: dict[str, Callable[[Path], Iterator[Item]]] = {
    "json-lines": json_lines,
    "singer": singer,
    "singer-batches": singer_batches,
    "singer-flattened": singer_flattened,
}


def without_patch(item: Item) -> Item:
    """Leave out `details.patch`."""
    details = item["details"]
    return {**item, "details": details and {**details, "patch": None}}


def hashed_ip(item: Item) -> Item:
    """Hash the IP address, with the salt of the benchmark's recipe."""
    actor = item["actor"]
    if not actor or not actor.get("ip"):
        return item
    ip = sha256(f"pepper{actor['ip']}".encode()).hexdigest()
    return {**item, "actor": {**actor, "ip": ip}}


FORMS: dict[str, Callable[[Item], Item]] = {
    "plain": lambda item: item,
    "without-patch": without_patch,
    "hashed-ip": hashed_ip,
}


def main(kind: str, *details: str) -> None:
    """Print the digest of a file or of the server's events, as JSON.

    Args:
        kind: `file` or `data`.
        details: The format and path of the file, or the data and form of the events.
    """
    first, second = details
    if kind == "file":
        items: Iterable[Item] = READERS[first](Path(second))
    else:
        from benchmarks.scenarios import Data  # noqa: PLC0415 - large

        items = map(FORMS[second], Data(*json.loads(first)).dataset())
    sys.stdout.write(json.dumps(digest(items)._asdict()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
