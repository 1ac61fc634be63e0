"""`make bench`: measures the tap beside what a user could pick instead."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import FOLDER, BenchmarkError, environments, killing, machine, report
from benchmarks.data import Data
from benchmarks.measuring import measure, warm_up
from benchmarks.results import Results, load, merge, tabulate, to_json
from benchmarks.running import own_peak_rss
from benchmarks.scenarios import QUICKER, SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Sequence

KILLED = "killed"
KILLED_DATA = Data(200_000, "organization")
WARM_UP_DATA = Data(100, "organization")

QUIET = 0.5
"""The load average up to which nothing else of weight is running."""

_STARTED = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for.

    Args:
        arguments: Of the command line.

    Returns:
        The exit code: 1 if something failed, or wrote other records than it read.
    """
    names = [*(scenario.name for scenario in SCENARIOS), KILLED]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a tenth of the records, one round; neither targets nor results to keep",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        metavar="SCENARIO",
        help=f"only this one, and keep the other results: {', '.join(names)}",
    )
    parser.add_argument("--rounds", type=int, help="of each scenario, for all programs")
    options = parser.parse_args(arguments)
    try:
        return _run(options.only, names, quick=options.quick, rounds=options.rounds)
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    except BenchmarkError as error:
        say(str(error))
        return 1


def _run(
    only: Sequence[str] | None, names: Sequence[str], *, quick: bool, rounds: int | None
) -> int:
    load_average, _, _ = os.getloadavg()
    if load_average > QUIET:
        say(
            f"Other programs are running (load {load_average:.1f}): numbers will be off"
        )
    wanted = [one for one in SCENARIOS if not only or one.name in only]
    if quick:
        wanted = [scenario.quick() for scenario in wanted]
    if rounds:
        wanted = [scenario.with_rounds(rounds) for scenario in wanted]
    for name in environments.NAMES:
        if environments.build(name):
            say(f"Installed {name}")
    results = Results(
        machine.describe(), environments.versions(environments.NAMES), tables=[]
    )
    programs = [program for scenario in wanted for program in scenario.programs]
    say("Warming up")
    warm_up(tuple(dict.fromkeys(programs)), WARM_UP_DATA)
    for scenario in wanted:
        table = tabulate(scenario, measure(scenario, say), machine.today())
        results.tables.append(table)
        _keep(results, names, anew=not only, quick=quick)
    say(f"No peak of memory below {own_peak_rss() / 1e6:.0f} MB could be seen")
    if not only or KILLED in only:
        data = KILLED_DATA
        if quick:
            data = data._replace(records=data.records // QUICKER)
        killed = killing.measure(data, machine.today(), say)
        results = results._replace(killed=killed)
        _keep(results, names, anew=not only, quick=quick)
    sys.stdout.write(f"\n{report.markdown(results, quick=quick)}\n")
    problems = [row.problem for table in results.tables for row in table.rows]
    return 1 if any(problems) else 0


def _keep(results: Results, names: Sequence[str], *, anew: bool, quick: bool) -> None:
    """Write the results down, with those of the scenarios that were not run."""
    if quick:
        return
    path = FOLDER / "results.json"
    merged = merge(None if anew else load(path), results, names)
    path.write_text(to_json(merged), encoding="utf-8")
    path.with_suffix(".md").write_text(report.markdown(merged), encoding="utf-8")


def say(text: str) -> None:
    """Print a line of progress."""
    minutes, seconds = divmod(int(time.monotonic() - _STARTED), 60)
    sys.stderr.write(f"{minutes:3}:{seconds:02} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
