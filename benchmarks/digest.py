"""Are the records that a program wrote the ones that the server has?

A digest of all records, in whichever order, each reduced to what every program keeps.
Nothing here comes from the tap: a check that shares its code would share its mistakes.

Runs in the environment of the program that wrote the file, so that a database is read
by the version that wrote it; and in a process of its own, because the one that measures
has to stay small.
"""

from __future__ import annotations

import argparse
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

NANOSECONDS = 9
MICROSECONDS = 6

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
    """What was found."""

    records: int
    ids: int | None
    """How many different ids there are, where records have one."""

    digest: str


def digest(items: Iterable[Item], digits: int = NANOSECONDS) -> Digest:
    """Digest items in the API's shape.

    Args:
        items: The records. Absent, null and empty is all the same.
        digits: How many of the fraction of a second to look at.

    Returns:
        The digest, the same for every order of the items.
    """
    records, total, ids = 0, 0, set()
    for item in items:
        records += 1
        total += fingerprint(item, digits)
        if "id" in item:
            ids.add(item["id"])
    text = f"{total % (1 << 8 * _BYTES):0{2 * _BYTES}x}"
    return Digest(records, len(ids) if ids else None, text)


def fingerprint(item: Item, digits: int) -> int:
    """Reduce an item to a number."""
    values = [_instant(item["timestamp"], digits)]
    values.append(_instant(item.get("lastOccurredTimestamp") or "", digits))
    for path in _PATHS:
        value: Any = item
        for name in path:
            value = value.get(name) if value else None
        values.append("" if value is None else str(value))
    text = "\x1f".join(values).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=_BYTES).digest(), "big")


def _instant(text: str, digits: int) -> str:
    if not text:
        return ""
    match = _TIME.fullmatch(text)
    if match is None:
        message = f"{text!r} is not a timestamp in UTC"
        raise ValueError(message)
    date, clock, fraction = match.groups("")
    return f"{date} {clock}.{fraction.ljust(NANOSECONDS, '0')[:digits]}"


def json_lines(path: Path) -> Iterator[Item]:
    """Read records, one on each line."""
    with path.open("rb") as lines:
        for line in lines:
            yield json.loads(line)


def singer(path: Path) -> Iterator[Item]:
    """Read Singer messages."""
    for message in json_lines(path):
        if message["type"] == "RECORD":
            yield message["record"]


def singer_flattened(path: Path) -> Iterator[Item]:
    """Read Singer messages whose records have a column for each nested property."""
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
    """Read the files that Singer messages name."""
    for message in json_lines(path):
        if message["type"] == "BATCH":
            for url in message["manifest"]:
                with gzip.open(url.removeprefix("file://")) as lines:
                    yield from map(json.loads, lines)


def airbyte(path: Path) -> Iterator[Item]:
    """Read Airbyte messages."""
    for message in json_lines(path):
        if message["type"] == "RECORD":
            yield message["record"]["data"]


def target_duckdb(path: Path) -> Iterator[Item]:
    """Read what target-duckdb loaded: objects are JSON, times of microseconds."""
    names = ("id", "timestamp", "action", "actor", "object", "details", "count")
    columns = [*names, "lastOccurredTimestamp"]
    for row in _rows(path, columns, "akuity.audit_logs"):
        item = dict(zip(columns, row, strict=True))
        for name in ("actor", "object", "details"):
            item[name] = json.loads(item[name]) if item[name] else None
        for name in ("timestamp", "lastOccurredTimestamp"):
            item[name] = item[name].isoformat() if item[name] else None
        yield item


def dlt_duckdb(path: Path) -> Iterator[Item]:
    """Read what dlt loaded: objects are columns."""
    columns = ["timestamp", "last_occurred_timestamp"]
    columns += ["__".join(_snake_case(name) for name in path) for path in _PATHS]
    for row in _rows(path, columns, "akuity.audit_logs"):
        timestamp, last, *values = row
        item: Item = {"timestamp": timestamp, "lastOccurredTimestamp": last}
        for names, value in zip(_PATHS, values, strict=True):
            place = item
            for name in names[:-1]:
                place = place.setdefault(name, {})
            place[names[-1]] = value
        yield item


def _snake_case(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def _rows(path: Path, columns: list[str], table: str) -> Iterator[tuple[Any, ...]]:
    import duckdb  # noqa: PLC0415 - not every environment has it

    names = ", ".join(f'"{column}"' for column in columns)
    with duckdb.connect(str(path), read_only=True) as connection:
        answer = connection.execute(f"SELECT {names} FROM {table}")  # noqa: S608
        while rows := answer.fetchmany(10_000):
            yield from rows


READERS: dict[str, Callable[[Path], Iterator[Item]]] = {
    "airbyte": airbyte,
    "dlt-duckdb": dlt_duckdb,
    "json-lines": json_lines,
    "singer": singer,
    "singer-batches": singer_batches,
    "singer-flattened": singer_flattened,
    "target-duckdb": target_duckdb,
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


def main() -> None:
    """Print the digest of a file, or of what the server has, as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.digest")
    parser.add_argument("--digits", type=int, default=NANOSECONDS)
    sources = parser.add_subparsers(dest="source", required=True)
    file = sources.add_parser("file")
    file.add_argument("format", choices=READERS)
    file.add_argument("path", type=Path)
    data = sources.add_parser("data")
    data.add_argument("data", type=json.loads)
    data.add_argument("form", choices=FORMS)
    options = parser.parse_args()
    if options.source == "file":
        items: Iterable[Item] = READERS[options.format](options.path)
    else:
        from benchmarks.data import Data  # noqa: PLC0415 - the sandbox is big

        items = map(FORMS[options.form], Data(*options.data).items())
    sys.stdout.write(json.dumps(digest(items, options.digits)._asdict()) + "\n")


if __name__ == "__main__":
    main()
