"""`make bench`: measures the tap beside what a user could pick instead."""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import FOLDER, environments, report, targets
from benchmarks.measuring import measure
from benchmarks.scenarios import SCENARIOS, warm_up
from harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.measuring import Table

NAMES = [scenario.name for scenario in SCENARIOS]
QUIET = 0.5
"""The load average up to which nothing else of weight is running."""

_STARTED = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line asks for.

    Args:
        arguments: Of the command line.

    Returns:
        The exit code: 1 if something failed, or wrote other events than it read.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of a scenario, by default all: {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="tiny, without peers that have to be installed, to see that it runs",
    )
    parser.add_argument("--rounds", type=int, help="of each scenario")
    options = parser.parse_args(arguments)
    if unknown := {*options.names} - {*NAMES}:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    try:
        return _run(options.names, options.rounds, smoke=options.smoke)
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    except HarnessError as error:
        say(str(error))
        return 1


def _run(names: Sequence[str], rounds: int | None, *, smoke: bool) -> int:
    load_average, _, _ = os.getloadavg()
    if load_average > QUIET and not smoke:
        say(f"Other programs are running (load {load_average:.1f}): expect noise")
    wanted = [one for one in SCENARIOS if not names or one.name in names]
    if smoke:
        wanted = [scenario.smoke() for scenario in wanted]
    if rounds:
        wanted = [scenario._replace(rounds=rounds) for scenario in wanted]
    used = {case.program.environment for one in wanted for case in one.cases}
    used |= {"tap-akuity"}
    versions: dict[str, str] = {}
    if not smoke:
        for name in sorted(used):
            environments.build(name)
            versions[name] = environments.versions(name)
        measure(warm_up(wanted), say)
    tables: list[Table] = [measure(one, say, here=smoke) for one in wanted]
    found = [] if smoke else targets.targets(tables)
    text = report.markdown(tables, found, versions)
    if not names and not smoke:
        (FOLDER / "results.md").write_text(text, encoding="utf-8")
    sys.stdout.write(f"\n{text}\n")
    return 1 if any(row.problem for table in tables for row in table.rows) else 0


def say(text: str) -> None:
    """Print a line of progress."""
    minutes, seconds = divmod(int(time.monotonic() - _STARTED), 60)
    sys.stderr.write(f"{minutes:3}:{seconds:02} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
