"""A backfill that is killed again and again, and resumed each time."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import BenchmarkError, running
from benchmarks.environments import executable
from benchmarks.measuring import empty_folder
from benchmarks.programs import STDOUT, Job, configuration
from benchmarks.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.data import Data

KILLS = 20
SHORTEST = 0.5
"""Seconds until the first records may have come."""

LONGEST = 1.5
LIMIT = 600.0
PAGE_SIZE = 500
"""The default."""

_SEED = 5


class Killed(NamedTuple):
    """What came of it."""

    date: str
    records: int
    kills: int
    missing: int
    """Records that came in no run."""

    twice_max: int
    """How many records at most a run read that an earlier one had written already."""


def measure(data: Data, date: str, say: Callable[[str], None]) -> Killed:
    """Kill the tap at random moments, until it was killed `KILLS` times.

    A backfill that gets to its end before is begun anew.

    Args:
        data: What to read.
        date: Today.
        say: Called with a line of progress now and then.

    Returns:
        What came of it.
    """
    say(f"Killed and resumed: {data.records:,} records")
    rng = random.Random(_SEED)  # noqa: S311 - nothing secret
    kills = twice_max = missing = 0
    with serve(data) as server:
        while kills < KILLS:
            seen: set[str] = set()
            state: dict[str, Any] | None = None
            finished = False
            while not finished:
                # The last run is let go on to the end.
                limit = rng.uniform(SHORTEST, LONGEST) if kills < KILLS else LIMIT
                with empty_folder() as folder:
                    job = Job(folder, server, PAGE_SIZE)
                    finished = _run(job, state, limit)
                    ids, state = read(folder / STDOUT, state)
                kills += not finished
                twice = len(seen.intersection(ids))
                twice_max = max(twice_max, twice)
                seen.update(ids)
                if not finished:
                    say(f"  {kills:2}. {len(seen):,} records, {twice:,} read twice")
            missing = max(missing, data.records - len(seen))
    return Killed(date, data.records, kills, missing, twice_max)


def _run(job: Job, state: dict[str, Any] | None, limit: float) -> bool:
    """Run the tap, and tell whether it got to its end."""
    tap = executable("tap-akuity", "tap-akuity")
    command = [tap, "--config", configuration(job)]
    if state is not None:
        path = job.folder / "state.json"
        path.write_text(json.dumps(state), encoding="utf-8")
        command += ["--state", str(path)]
    usage = running.run(
        [command],
        folder=job.folder,
        stdin=None,
        output=job.folder / STDOUT,
        log=job.folder / "log",
        limit=limit,
    )
    if usage.finished and usage.code != 0:
        message = f"The tap failed with exit code {usage.code} after it was killed."
        raise BenchmarkError(message)
    return usage.finished


def read(
    path: Path, state: dict[str, Any] | None
) -> tuple[list[str], dict[str, Any] | None]:
    """Read what a run wrote before it was killed, as a target would.

    Args:
        path: The messages; the last may be cut.
        state: The state that the run began with.

    Returns:
        The ids of the records, and the state to go on from.
    """
    ids = []
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            message = json.loads(line)
            if message["type"] == "RECORD":
                ids.append(message["record"]["id"])
            elif message["type"] == "STATE":
                state = message["value"]
    return ids, state
