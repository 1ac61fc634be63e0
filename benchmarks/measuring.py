"""Runs the programs of a scenario in turn, and checks what each of them wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import ROOT, BenchmarkError, running
from benchmarks.digest import Digest
from benchmarks.environments import executable
from benchmarks.programs import COUNT, STDOUT, TAP_AKUITY, Job
from benchmarks.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.data import Data
    from benchmarks.programs import Program
    from benchmarks.scenarios import Scenario
    from benchmarks.serving import Server, Stats

LIMIT = 900.0
"""Seconds for a program that is not to be cut off."""

LOG_BYTES = 2000


class Sample(NamedTuple):
    """One run of a program."""

    seconds: float
    cpu_seconds: float
    peak_rss: int
    requests: int
    max_offset: int
    in_flight_max: int
    finished: bool
    problem: str | None
    """What is wrong with what it wrote."""


class Measured(NamedTuple):
    """All runs of a program."""

    program: str
    samples: list[Sample]

    @property
    def finished(self) -> bool:
        """Whether it was never cut off."""
        return all(sample.finished for sample in self.samples)

    @property
    def problem(self) -> str | None:
        """What was wrong, if anything."""
        problems = (sample.problem for sample in self.samples)
        return next((problem for problem in problems if problem), None)

    def median(self, field: str) -> float:
        """Take the median of a number."""
        return float(median(getattr(sample, field) for sample in self.samples))

    def worst(self, field: str) -> int:
        """Take the greatest of a number."""
        return int(max(getattr(sample, field) for sample in self.samples))


def measure(scenario: Scenario, say: Callable[[str], None]) -> list[Measured]:
    """Run a scenario.

    Args:
        scenario: What to run.
        say: Called with a line of progress now and then.

    Returns:
        What each program took, in the order of the scenario.
    """
    say(f"{scenario.title}: {scenario.data.records:,} records")
    results = [Measured(program.name, []) for program in scenario.programs]
    truth = _Truth(scenario.data)
    with serve(
        scenario.data, latency=scenario.latency, row_cost=scenario.row_cost
    ) as server:
        peer_rounds = scenario.peer_rounds or scenario.rounds
        with _records(scenario, server) as records:
            for number in range(max(scenario.rounds, peer_rounds)):
                for result, program in zip(results, scenario.programs, strict=True):
                    ours = program in scenario.ours
                    if number >= (scenario.rounds if ours else peer_rounds):
                        continue
                    with _job(scenario, server, records) as job:
                        limit = None if ours else scenario.peer_limit
                        sample = _sample(program, job, truth, limit or LIMIT)
                    result.samples.append(sample)
                    say(f"  {number + 1}. {program.name:45} {_summary(sample)}")
        if not scenario.latency and not scenario.resumed:
            _prove(scenario, server, truth, results)
    return results


def _summary(sample: Sample) -> str:
    problem = f"  WRONG: {sample.problem}" if sample.problem else ""
    cut_off = "" if sample.finished else "  cut off"
    return (
        f"{sample.seconds:8.2f} s {sample.peak_rss / 1e6:6.0f} MB "
        f"{sample.requests:6,} requests{cut_off}{problem}"
    )


class _Truth:
    """The digest of what the server has."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._digests: dict[int, Digest] = {}

    def digest(self, digits: int) -> Digest:
        if digits not in self._digests:
            records, distribution = self._data
            source = ["data", str(records), distribution]
            self._digests[digits] = _digest(sys.executable, digits, source)
        return self._digests[digits]


def _digest(python: str, digits: int, source: list[str]) -> Digest:
    command = [python, "-m", "benchmarks.digest", f"--digits={digits}", *source]
    # No shell, and nothing from outside in the command.
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        message = f"What was written could not be read:\n{done.stderr[-LOG_BYTES:]}"
        raise BenchmarkError(message)
    return Digest(**json.loads(done.stdout))


@contextmanager
def empty_folder() -> Iterator[Path]:
    """Lend a folder for one run of a program."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _job(
    scenario: Scenario, server: Server, records: Path | None = None
) -> Iterator[Job]:
    with empty_folder() as folder:
        yield Job(folder, server, scenario.page_size, scenario.resumed, records)


@contextmanager
def _records(scenario: Scenario, server: Server) -> Iterator[Path | None]:
    """Write the records that some programs load, and warm up on the way."""
    if not any(program.loads for program in scenario.programs):
        yield None
        return
    with _job(scenario, server) as job:
        _run(TAP_AKUITY, job, LIMIT)
        yield job.folder / STDOUT


def _run(program: Program, job: Job, limit: float) -> running.Usage:
    log = job.folder / "log"
    usage = running.run(
        program.pipeline(job),
        folder=job.folder,
        stdin=job.records if program.loads else None,
        output=job.folder / STDOUT,
        log=log,
        limit=limit,
    )
    if usage.finished and usage.code != 0:
        end = log.read_text(encoding="utf-8", errors="replace")[-LOG_BYTES:]
        message = f"{program.name} failed with exit code {usage.code}:\n{end}"
        raise BenchmarkError(message)
    return usage


def _sample(program: Program, job: Job, truth: _Truth, limit: float) -> Sample:
    job.server.reset()
    usage = _run(program, job, limit)
    stats = job.server.stats()
    problem = _problem(program, job, truth) if usage.finished else None
    return _as_sample(usage, stats, problem)


def _as_sample(usage: running.Usage, stats: Stats, problem: str | None) -> Sample:
    return Sample(
        seconds=usage.seconds,
        cpu_seconds=usage.cpu_seconds,
        peak_rss=usage.peak_rss,
        requests=stats.requests,
        max_offset=stats.max_offset,
        in_flight_max=stats.in_flight_max,
        finished=usage.finished,
        problem=problem,
    )


def _problem(program: Program, job: Job, truth: _Truth) -> str | None:
    """Say what is wrong with what a program wrote."""
    if program.output is None:
        return None
    path = job.folder / program.file
    if program.output == COUNT:
        records = int(path.read_text(encoding="utf-8"))
        expected = job.server.records
        return None if records == expected else f"{records:,} of {expected:,} records"
    python = executable(program.environment, "python")
    source = ["file", program.output, str(path)]
    found = _digest(python, program.digits, source)
    if job.resumed:
        return f"{found.records:,} records again" if found.records else None
    return difference(found, truth.digest(program.digits))


def difference(found: Digest, expected: Digest) -> str | None:
    """Say what is wrong with records."""
    if found.records != expected.records:
        return f"{found.records:,} of {expected.records:,} records"
    if found.ids not in {None, expected.records}:
        return f"{found.ids:,} ids for {expected.records:,} records"
    return None if found.digest == expected.digest else "other records"


def _prove(
    scenario: Scenario, server: Server, truth: _Truth, results: list[Measured]
) -> None:
    """Look at the records of programs that only count them, outside of the clock."""
    for result, program in zip(results, scenario.programs, strict=True):
        if program.proof:
            with _job(scenario, server) as job:
                _run(program.proof, job, LIMIT)
                problem = _problem(program.proof, job, truth)
            result.samples[-1] = result.samples[-1]._replace(problem=problem)


def warm_up(programs: tuple[Program, ...], data: Data) -> None:
    """Run each program once on little data, so that no round compiles modules."""
    with serve(data) as server:
        for program in programs:
            if not program.loads:
                with empty_folder() as folder:
                    _run(program, Job(folder, server, data.records), LIMIT)
