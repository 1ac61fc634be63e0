"""The sandbox with the benchmark's data, in a process of its own."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from math import inf
from threading import Event
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from benchmarks.data import Data
from harness import sandboxes
from sandbox.timestamps import SECOND, from_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from harness.sandboxes import Sandbox

UNSPLITTABLE_SECONDS = 2.5
"""A second, and the margins that a careful reader may add at both ends."""


class Stats(NamedTuple):
    """What the server was asked for."""

    requests: int
    max_offset: int
    """See `largest_offset`."""


def stats(server: Sandbox) -> Stats:
    """Tell what was asked for since the last reset."""
    report = server.ask("GET", "/sandbox/stats")
    return Stats(report["requests"], largest_offset(report["queries"]))


def largest_offset(queries: Iterable[str]) -> int:
    """Find the largest offset of a page that could have been avoided.

    A request for one event is a probe, and no page; and what happened in one second
    cannot be split by a time range.

    Args:
        queries: Query strings.

    Returns:
        The offset.
    """
    largest = 0
    for query in queries:
        values = {
            name.removeprefix("filters."): value for name, value in parse_qsl(query)
        }
        splittable = _span(values) > UNSPLITTABLE_SECONDS
        if splittable and values.get("limit") != "1":
            largest = max(largest, int(values.get("offset", "0")))
    return largest


def _span(values: dict[str, str]) -> float:
    try:
        start, end = (from_rfc3339(values[name]) for name in ("startTime", "endTime"))
    except KeyError:
        return inf
    return (end - start) / SECOND


@contextmanager
def serve(data: Data, latency: float = 0.0, row_cost: float = 0.0) -> Iterator[Sandbox]:
    """Serve data for as long as the block takes.

    Args:
        data: What to serve, rendered before the server is ready.
        latency: Seconds for each request.
        row_cost: Seconds more for each row that an offset skips.
    """
    options = [json.dumps(data), str(latency), str(row_cost)]
    with sandboxes.serve(*options, module="benchmarks.serving") as server:
        yield server


def main() -> None:
    """Be that process."""
    from sandbox.server import Sandbox as Server  # noqa: PLC0415 - big, and here alone
    from sandbox.state import Options  # noqa: PLC0415

    data, latency, row_cost = sys.argv[1:]
    options = Options(latency_seconds=float(latency), row_cost_seconds=float(row_cost))
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Server(Data(*json.loads(data)).items(), options=options) as server:
        ready = {
            "url": server.url,
            "organization_id": server.organization_id,
            "api_key_id": server.api_key_id,
            "api_key_secret": server.api_key_secret,
            "records": len(server.store),
        }
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
