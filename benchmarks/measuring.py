"""Runs the cases of a scenario in turn, and checks what each of them wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import running
from benchmarks.digest import Digest
from benchmarks.programs import COUNT, STDOUT, Job
from benchmarks.serving import serve, stats
from harness import ROOT, HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.data import Data
    from benchmarks.scenarios import Case, Scenario
    from harness.sandboxes import Sandbox

LIMIT = 900.0
LOG_BYTES = 2000


class Sample(NamedTuple):
    """One run of a program."""

    seconds: float
    cpu_seconds: float
    peak_rss: int
    requests: int
    max_offset: int
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
        # A case of fewer rounds ran in the first of them.
        ratios = (
            getattr(mine, field) / getattr(its, field)
            for mine, its in zip(self.samples, other.samples)  # noqa: B905
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
        # One at a time is busy, but no round waits for data to be made again.
        served = cache(lambda *what: stack.enter_context(serve(*what)))
        for number in range(scenario.rounds):
            for case, samples in table.rows:
                if number < (case.rounds or scenario.rounds):
                    server = served(case.data, case.latency, case.row_cost)
                    sample = run(case, server, here=here)
                    samples.append(sample)
                    say(f"  {number + 1}. {case.name:50} {_summary(sample)}")
    return table


def _summary(sample: Sample) -> str:
    problem = f"  WRONG: {sample.problem}" if sample.problem else ""
    return (
        f"{sample.seconds:8.2f} s {sample.peak_rss / 1e6:6.0f} MB "
        f"{sample.requests:6,} requests{problem}"
    )


def run(case: Case, server: Sandbox, *, here: bool = False) -> Sample:
    """Run a case once.

    Raises:
        HarnessError: The program failed, or took too long.
    """
    with empty_folder() as folder:
        job = Job(folder, server, case.page_size, case.resumed, here)
        pipeline = case.program.pipeline(job)
        # A catalog may have been asked for.
        server.ask("POST", "/sandbox/reset-stats")
        log = folder / "log"
        usage = running.run(
            pipeline, folder=folder, output=folder / STDOUT, log=log, limit=LIMIT
        )
        if not usage.finished or usage.code:
            end = log.read_text(encoding="utf-8", errors="replace")[-LOG_BYTES:]
            message = f"{case.name} failed with exit code {usage.code}:\n{end}"
            raise HarnessError(message)
        requests, max_offset = stats(server)
        return Sample(
            usage.seconds,
            usage.cpu_seconds,
            usage.peak_rss,
            requests,
            max_offset,
            _problem(case, job),
        )


def _problem(case: Case, job: Job) -> str | None:
    """Say what is wrong with what a program wrote."""
    program, expected = case.program, job.server.records
    if program.output is None:
        return None
    path = job.folder / program.file
    if program.output == COUNT:
        records = int(path.read_text(encoding="utf-8"))
        return None if records == expected else f"{records:,} of {expected:,} events"
    python = job.executable(program.environment, "python")
    found = _digest(python, program.digits, "file", program.output, str(path))
    if job.resumed:
        return f"{found.records:,} events again" if found.records else None
    return difference(found, _truth(case.data, program.digits, program.form))


@cache
def _truth(data: Data, digits: int, form: str) -> Digest:
    """Digest what the server has."""
    return _digest(sys.executable, digits, "data", json.dumps(data), form)


def _digest(python: str, digits: int, *source: str) -> Digest:
    command = [python, "-m", "benchmarks.digest", f"--digits={digits}", *source]
    # No shell, and nothing from outside in the command.
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, check=False, capture_output=True, text=True
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


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Lend a folder for one run of a program."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        yield Path(folder)
