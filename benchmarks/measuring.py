"""Runs the cases of a scenario in turn, and checks the output of each."""

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
"""A second, plus the margins that a careful client may add at both ends."""


class Sample(NamedTuple):
    """One run of a program."""

    seconds: float
    cpu_seconds: float
    peak_rss: int
    requests: int
    max_offset: int
    """See `largest_offset`."""

    problem: str | None
    """What is wrong with the output, if anything."""


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

    def ratio(self, field: str, other: Row) -> float:
        """Return the median of the ratios to another case, round by round."""
        ratios = (
            getattr(mine, field) / getattr(its, field)
            for mine, its in zip(self.samples, other.samples, strict=True)
        )
        return float(median(ratios))


class Table(NamedTuple):
    """The measurements of a scenario."""

    scenario: Scenario
    rows: list[Row]

    def row(self, name: str) -> Row:
        """Return the row of a case."""
        return next(row for row in self.rows if row.case.name == name)


def measure(
    scenario: Scenario, say: Callable[[str], None], *, here: bool = False
) -> Table:
    """Run a scenario.

    Args:
        scenario: The scenario.
        say: Called with lines of progress.
        here: Whether programs run in the project's own environment.

    Returns:
        The measurements of each case.
    """
    say(scenario.title)
    table = Table(scenario, [Row(case, []) for case in scenario.cases])
    with ExitStack() as stack:

        @cache
        def served(data: Data, latency: float) -> Sandbox:
            # Only one server at a time is busy, but no round regenerates its data.
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
        # Building the command may have called the server, for discovery.
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
    """Return the largest avoidable offset of a page.

    A request for one event is a probe, not a page, and a range of one second cannot be
    split.

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
    """Describe what is wrong with the output of a program."""
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
    """Return the digest of the server's events."""
    return _digest("data", json.dumps(data), form)


def _digest(*source: str) -> Digest:
    # In its own process, because this one has to stay small: Linux counts its memory as
    # that of the programs it starts. No shell, and no external input.
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.digest", *source],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        message = f"The output could not be read:\n{done.stderr[-LOG_BYTES:]}"
        raise HarnessError(message)
    return Digest(**json.loads(done.stdout))


def difference(found: Digest, expected: Digest) -> str | None:
    """Describe how a digest differs from the expected one."""
    if found.records != expected.records:
        return f"{found.records:,} of {expected.records:,} events"
    if found.ids not in {None, expected.records}:
        return f"{found.ids:,} ids for {expected.records:,} events"
    return None if found.digest == expected.digest else "other events"
