"""A backfill that is killed again and again, and resumed each time."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import running
from benchmarks.measuring import empty_folder
from benchmarks.programs import STDOUT, TAP_AKUITY, Job
from benchmarks.serving import serve
from harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.data import Data

SHORTEST, LONGEST = 0.5, 1.5
"""Seconds until a run is killed."""

LIMIT = 600.0

_SEED = 5


class Killed(NamedTuple):
    """What came of it."""

    records: int
    kills: int
    missing: int
    """Events that came in no run."""

    twice_max: int
    """How many events at most a run read that an earlier one had written already."""


def measure(
    data: Data, kills: int, say: Callable[[str], None], *, here: bool = False
) -> Killed:
    """Kill the tap at random moments, so many times.

    A backfill that gets to its end before is begun anew.

    Args:
        data: What to read.
        kills: How often.
        say: Called with a line of progress now and then.
        here: Whether the tap runs in the project's own environment.
    """
    say(f"Killed and resumed: {data.records:,} events")
    rng = random.Random(_SEED)  # noqa: S311 - nothing secret
    killed = twice_max = missing = 0
    with serve(data) as server:
        while killed < kills:
            seen: set[str] = set()
            state: dict[str, Any] | None = None
            finished = False
            while not finished:
                # The last run is let go on to the end.
                limit = rng.uniform(SHORTEST, LONGEST) if killed < kills else LIMIT
                with empty_folder() as folder:
                    finished = _run(Job(folder, server, here=here), state, limit)
                    ids, state = read(folder / STDOUT, state)
                killed += not finished
                twice = len(seen.intersection(ids))
                twice_max = max(twice_max, twice)
                seen.update(ids)
                if not finished:
                    say(f"  {killed:2}. {len(seen):,} events, {twice:,} read twice")
            missing = max(missing, data.records - len(seen))
    return Killed(data.records, killed, missing, twice_max)


def _run(job: Job, state: dict[str, Any] | None, limit: float) -> bool:
    """Run the tap, and tell whether it got to its end."""
    [command] = TAP_AKUITY.pipeline(job)
    if state is not None:
        command += ["--state", job.write("state.json", state)]
    usage = running.run(
        [command],
        folder=job.folder,
        output=job.folder / STDOUT,
        log=job.folder / "log",
        limit=limit,
    )
    if usage.finished and usage.code != 0:
        message = f"The tap failed with exit code {usage.code} after it was killed."
        raise HarnessError(message)
    return usage.finished


def read(
    path: Path, state: dict[str, Any] | None
) -> tuple[list[str], dict[str, Any] | None]:
    """Read what a run wrote before it was killed, as a target would.

    Args:
        path: The messages; the last may be cut.
        state: The state that the run began with.

    Returns:
        The ids of the records, and the state to resume from.
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
