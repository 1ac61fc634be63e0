"""Runs the cases of a scenario in turn, and checks what each of them wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import cache
from math import inf
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

from benchmarks import running
from benchmarks.digest import Digest
from benchmarks.programs import COUNT, Job
from harness import ROOT, HarnessError
from harness.sandboxes import serve
from sandbox.timestamps import SECOND, from_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.scenarios import Case, Data, Scenario
    from harness.sandboxes import Sandbox

LOG_BYTES = 2000
UNSPLITTABLE_SECONDS = 2.5
"""A second, and the margins that a careful reader may add at both ends."""


class Sample(NamedTuple):
    """One run of a program."""

    seconds: float
    cpu_seconds: float
    peak_rss: int
    requests: int
    max_offset: int
    """See `largest_offset`."""

    problem: str | None
    """What is wrong with what it wrote."""


class Row(NamedTuple):
    """All runs of a case."""

    case: Case
    samples: list[Sample]

    @property
    def problem(self) -> str | None:
        """What was wrong, if anything."""
        return next(filter(None, (sample.problem for sample in self.samples)), None)

    def median(self, field: str) -> float:
        """Take the median of a number."""
        return float(median(getattr(sample, field) for sample in self.samples))

    def worst(self, field: str) -> int:
        """Take the greatest of a number."""
        return int(max(getattr(sample, field) for sample in self.samples))

    def ratio(self, field: str, other: Row) -> float:
        """Take the median of the ratios to another case in the same rounds."""
        ratios = (
            getattr(mine, field) / getattr(its, field)
            for mine, its in zip(self.samples, other.samples, strict=True)
        )
        return float(median(ratios))


class Table(NamedTuple):
    """A scenario that was measured."""

    scenario: Scenario
    rows: list[Row]

    def row(self, name: str) -> Row:
        """Find a case."""
        return next(row for row in self.rows if row.case.name == name)


def measure(
    scenario: Scenario, say: Callable[[str], None], *, here: bool = False
) -> Table:
    """Run a scenario.

    Args:
        scenario: What to run.
        say: Called with a line of progress now and then.
        here: Whether programs run in the project's own environment.

    Returns:
        What each case took.
    """
    say(scenario.title)
    table = Table(scenario, [Row(case, []) for case in scenario.cases])
    with ExitStack() as stack:

        @cache
        def served(data: Data, latency: float) -> Sandbox:
            # One at a time is busy, but no round waits for data to be made again.
            options = [*data.options(), f"--latency-seconds={latency}"]
            return stack.enter_context(serve(*options))

        for number in range(1, scenario.rounds + 1):
            for case, samples in table.rows:
                sample = run(case, served(case.data, case.latency), here=here)
                samples.append(sample)
                problem = f"  WRONG: {sample.problem}" if sample.problem else ""
                say(
                    f"  {number}. {case.name:50} {sample.seconds:8.2f} s "
                    f"{sample.peak_rss / 1e6:6.0f} MB "
                    f"{sample.requests:6,} requests{problem}"
                )
    return table


def run(case: Case, server: Sandbox, *, here: bool = False) -> Sample:
    """Run a case once.

    Raises:
        HarnessError: The program failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        output, log = folder / "output", folder / "log"
        job = Job(folder, server, case.page_size, case.resumed, here)
        command = case.program.command(job)
        # A catalog may have been asked for.
        server.ask("POST", "/sandbox/reset-stats")
        usage = running.run(command, folder, output, log)
        if usage.code:
            end = log.read_text(encoding="utf-8", errors="replace")[-LOG_BYTES:]
            message = f"{case.name} failed with exit code {usage.code}:\n{end}"
            raise HarnessError(message)
        stats = server.ask("GET", "/sandbox/stats")
        return Sample(
            *usage[:3],
            stats["requests"],
            largest_offset(stats["queries"]),
            _problem(case, output, server.records),
        )


def largest_offset(queries: Iterable[str]) -> int:
    """Find the largest offset of a page that could have been avoided.

    A request for one event is a probe, and no page; and what happened in one second
    cannot be split by a time range.

    Args:
        queries: Query strings.

    Returns:
        The offset.
    """
    asked = ({k.removeprefix("filters."): v for k, v in parse_qsl(q)} for q in queries)
    return max(
        (
            int(one.get("offset", "0"))
            for one in asked
            if _span(one) > UNSPLITTABLE_SECONDS and one.get("limit") != "1"
        ),
        default=0,
    )


def _span(values: dict[str, str]) -> float:
    if not {"startTime", "endTime"} <= values.keys():
        return inf
    start, end = (from_rfc3339(values[name]) for name in ("startTime", "endTime"))
    return (end - start) / SECOND


def _problem(case: Case, output: Path, expected: int) -> str | None:
    """Say what is wrong with what a program wrote."""
    program = case.program
    if program.output is None:
        return None
    if program.output == COUNT:
        records = int(output.read_text(encoding="utf-8"))
        return None if records == expected else f"{records:,} of {expected:,} events"
    found = _digest("file", program.output, str(output))
    if case.resumed:
        return f"{found.records:,} events again" if found.records else None
    return difference(found, _truth(case.data, program.form))


@cache
def _truth(data: Data, form: str) -> Digest:
    """Digest what the server has."""
    return _digest("data", json.dumps(data), form)


def _digest(*source: str) -> Digest:
    # In a process of its own, because this one has to stay small: Linux counts its
    # memory as that of what it starts. No shell, and nothing from outside.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.digest", *source],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        message = f"What was written could not be read:\n{done.stderr[-LOG_BYTES:]}"
        raise HarnessError(message)
    return Digest(**json.loads(done.stdout))


def difference(found: Digest, expected: Digest) -> str | None:
    """Say what is wrong with events."""
    if found.records != expected.records:
        return f"{found.records:,} of {expected.records:,} events"
    if found.ids not in {None, expected.records}:
        return f"{found.ids:,} ids for {expected.records:,} events"
    return None if found.digest == expected.digest else "other events"
