"""`make bench`: compares the tap with its alternatives."""

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
"""The load average up to which the machine counts as idle."""

_STARTED = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios given on the command line.

    Args:
        arguments: Command-line arguments.

    Returns:
        The exit code: 1 if a program failed or wrote wrong events.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"scenario to run; default: all of {', '.join(NAMES)}",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="run on tiny data, without the peers that need an installation",
    )
    parser.add_argument("--rounds", type=int, help="number of rounds per scenario")
    options = parser.parse_args(arguments)
    if unknown := {*options.names} - {*NAMES}:
        names = ", ".join(NAMES)
        parser.error(f"unknown: {', '.join(unknown)}; choose from {names}")
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
        say(f"Other programs are running (load {load_average:.1f}); expect noise")
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
