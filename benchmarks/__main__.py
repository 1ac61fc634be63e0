"""`make bench`: compares the tap with its alternatives."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from benchmarks import FOLDER, programs, report, targets
from benchmarks.measuring import measure, say
from benchmarks.scenarios import SCENARIOS, warm_up
from harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = [scenario.name for scenario in SCENARIOS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenarios given on the command line.

    Args:
        arguments: Command-line arguments.

    Returns:
        The exit code: 1 if a program failed or wrote wrong events.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(NAMES)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"default: all of {names}"
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="run on tiny data, without the peers that need an installation",
    )
    parser.add_argument("--rounds", type=int, help="number of rounds per scenario")
    options = parser.parse_args(arguments)
    if unknown := {*options.names} - {*NAMES}:
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
    wanted = [one for one in SCENARIOS if not names or one.name in names]
    if smoke:
        wanted = [scenario.smoke() for scenario in wanted]
    if rounds:
        wanted = [scenario._replace(rounds=rounds) for scenario in wanted]
    versions = {}
    if not smoke:
        used = {case.program.environment for one in wanted for case in one.cases}
        versions = {name: programs.install(name) for name in sorted(used)}
        measure(warm_up(wanted))
    tables = [measure(scenario, here=smoke) for scenario in wanted]
    found = [] if smoke else targets.targets(tables)
    text = report.markdown(tables, found, versions)
    if not names and not smoke:
        (FOLDER / "results.md").write_text(text, encoding="utf-8")
    sys.stdout.write(f"\n{text}\n")
    return 1 if any(row.problem for table in tables for row in table.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
