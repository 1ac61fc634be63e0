"""Runs the cases of a scenario in turn, and checks the output of each."""

import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import parse_qsl

from benchmarks import running
from benchmarks.programs import Job
from benchmarks.scenarios import Case, Scenario, options
from sandbox.data import Dataset
from sandbox.timestamps import SECOND, from_rfc3339
from scripts.sandboxes import Sandbox, serve

UNSPLITTABLE = 2.5 * SECOND
"""A second, plus the margins that a careful client may add at both ends."""


class Sample(NamedTuple):
    """One run of a program, and what is wrong with its output, if anything."""

    seconds: float
    cpu_seconds: float
    peak_rss: int
    requests: int
    max_offset: int
    problem: str | None


class Row(NamedTuple):
    """All runs of a case."""

    case: Case
    samples: list[Sample]

    @property
    def problem(self) -> str | None:
        """The first problem of a run, if any."""
        return next(filter(None, (sample.problem for sample in self.samples)), None)

    def median(self, field: str) -> float:
        """Return the median of a field."""
        return float(median(getattr(sample, field) for sample in self.samples))

    def worst(self, field: str) -> int:
        """Return the maximum of a field."""
        return int(max(getattr(sample, field) for sample in self.samples))

    def ratio(self, field: str, other: "Row") -> float:
        """Return the median of the ratios to another case, round by round."""
        pairs = zip(self.samples, other.samples, strict=True)
        return float(median(getattr(a, field) / getattr(b, field) for a, b in pairs))


class Table(NamedTuple):
    """The measurements of a scenario."""

    scenario: Scenario
    rows: list[Row]

    def row(self, name: str) -> Row:
        """Return the row of a case."""
        return next(row for row in self.rows if row.case.name == name)


def measure(scenario: Scenario, *, here: bool = False) -> Table:
    """Run a scenario, in the programs' own environments or in the project's, `here`."""
    say(scenario.title)
    table = Table(scenario, [Row(case, []) for case in scenario.cases])
    with ExitStack() as stack:

        @cache
        def served(data: Dataset, latency: float) -> Sandbox:
            # Only one server at a time is busy, but no round regenerates its data.
            latency_option = f"--latency-seconds={latency}"
            return stack.enter_context(serve(*options(data), latency_option))

        for number in range(1, scenario.rounds + 1):
            for case, samples in table.rows:
                sample = _run(case, served(case.data, case.latency), here=here)
                samples.append(sample)
                problem = f"  WRONG: {sample.problem}" if sample.problem else ""
                say(
                    f"  {number}. {case.name:50} {sample.seconds:8.2f} s "
                    f"{sample.peak_rss / 1e6:6.0f} MB "
                    f"{sample.requests:6,} requests{problem}"
                )
    return table


def say(text: str) -> None:
    """Print a line of progress."""
    sys.stderr.write(f"{text}\n")


def _run(case: Case, server: Sandbox, *, here: bool) -> Sample:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        job = Job(Path(name), server, case.page_size, case.resumed, here)
        command = case.program.command(job)
        # Building the command may have called the server, for discovery.
        server.ask("POST", "/sandbox/reset-stats")
        usage = running.run(command, job.folder)
        stats = server.ask("GET", "/sandbox/stats")
        check, data = case.program.check, () if case.resumed else case.data
        problem = check(job.folder, data) if check else None
        offset = largest_offset(stats["queries"])
        return Sample(*usage, stats["requests"], offset, problem)


def largest_offset(queries: Iterable[str]) -> int:
    """Return the largest avoidable offset of a page in queries.

    A request for one event is a probe, not a page, and a range of one second cannot be
    split.
    """
    largest = 0
    for query in queries:
        asked = dict(parse_qsl(query))
        bounds = [asked.get(f"filters.{name}Time") for name in ("start", "end")]
        start, end = (from_rfc3339(bound) if bound else None for bound in bounds)
        split = start is None or end is None or end - start > UNSPLITTABLE
        if split and asked.get("filters.limit") != "1":
            largest = max(largest, int(asked.get("filters.offset", "0")))
    return largest
