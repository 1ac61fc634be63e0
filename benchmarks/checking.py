"""Compares what a program wrote with the sandbox's events, row by row."""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sandbox.state import Options
from sandbox.truth import Row, differences, event_id, instants, row

Change = Callable[[Row], Row]
"""What the settings of a program do to each row."""

_identified = partial(row, organization_id=Options.organization_id)


def same_events(path: Path, rows: list[Row], change: Change, *, has_ids: bool) -> str:
    """Say how what is in a file differs from rows, changed, if it does.

    A program without ids gets those of what it wrote.
    """
    expected = [_present(change(one)) for one in rows]
    if not has_ids:
        for one in expected:
            one["id"] = event_id(one, Options.organization_id, one["timestamp"])
    read = instants if has_ids else _identified
    found = (_present(read(item)) for item in records(path))
    return "; ".join(differences({one["id"]: one for one in expected}, found))


def same_count(path: Path, rows: list[Row]) -> str:
    """Compare the number of events alone, which a program printed."""
    count = int(path.read_text(encoding="utf-8"))
    return "" if count == len(rows) else f"{count:,} of {len(rows):,} events"


def records(path: Path) -> Iterator[Row]:
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


def _present(one: Row) -> Row:
    """Leave out what is null, as the SDK does when it flattens."""
    return {name: value for name, value in one.items() if value is not None}
