"""The sandbox, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from http.client import HTTPConnection
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from benchmarks import ROOT, BenchmarkError
from sandbox.timestamps import SECOND, from_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.data import Data

STOP_SECONDS = 10
REQUEST_SECONDS = 60

UNSPLITTABLE_SECONDS = 2.5
"""A second, and the margins that a careful reader may add at both ends."""


class Stats(NamedTuple):
    """What the server was asked for."""

    requests: int
    max_offset: int
    """See `largest_offset`."""

    in_flight_max: int


class Server(NamedTuple):
    """A running sandbox."""

    url: str
    organization_id: str
    api_key_id: str
    api_key_secret: str
    records: int

    def stats(self) -> Stats:
        """Tell what was asked for since the last reset."""
        report = self._ask("GET", "/sandbox/stats")
        return Stats(
            requests=report["requests"],
            max_offset=largest_offset(report["queries"]),
            in_flight_max=report["in_flight_max"],
        )

    def reset(self) -> None:
        """Forget what was asked for."""
        self._ask("POST", "/sandbox/reset-stats")

    def _ask(self, method: str, path: str) -> Any:  # noqa: ANN401 - JSON
        netloc = urlsplit(self.url).netloc
        connection = HTTPConnection(netloc, timeout=REQUEST_SECONDS)
        try:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def largest_offset(queries: Iterable[str]) -> int:
    """Find the largest offset of a page that could have been avoided.

    A request for one record is a look at how many there are, and no page; and what
    happened in one second cannot be split by a time range.

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
def serve(
    data: Data, *, latency: float = 0.0, row_cost: float = 0.0
) -> Iterator[Server]:
    """Serve data for as long as the block takes.

    Args:
        data: What to serve, rendered before the server is ready.
        latency: Seconds for each request.
        row_cost: Seconds more for each row that an offset skips.

    Yields:
        The server.

    Raises:
        BenchmarkError: If the sandbox does not start.
    """
    command = [sys.executable, "-m", "sandbox", *data.options]
    command += [f"--latency-seconds={latency}", f"--row-cost-seconds={row_cost}"]
    # No shell, and nothing from outside in the command.
    with subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield _server(line)
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _server(line: str) -> Server:
    try:
        return Server(**json.loads(line))
    except (TypeError, ValueError):
        message = "The sandbox did not start."
        raise BenchmarkError(message) from None
