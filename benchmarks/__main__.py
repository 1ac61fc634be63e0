"""`make bench`: compares the tap with its alternatives."""

import argparse
import sys
from collections.abc import Sequence

from benchmarks import FOLDER, programs, report, targets
from benchmarks.measuring import measure
from benchmarks.scenarios import SCENARIOS, Scenario
from scripts import CommandError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run scenarios, and return 1 if a program failed or wrote wrong events."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    text = f"default: all of {', '.join(names)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
    text = "run on tiny data, without the peers that need an installation"
    parser.add_argument("--smoke", action="store_true", help=text)
    parser.add_argument("--rounds", type=int, help="number of rounds per scenario")
    options = parser.parse_args(arguments)
    if unknown := {*options.names}.difference(names):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(names)}")
    wanted = [one for one in SCENARIOS if one.name in (options.names or names)]
    if options.rounds:
        wanted = [scenario._replace(rounds=options.rounds) for scenario in wanted]
    try:
        return _run(wanted, smoke=options.smoke, complete=not options.names)
    except CommandError as error:
        sys.exit(str(error))


def _run(wanted: Sequence[Scenario], *, smoke: bool, complete: bool) -> int:
    tiny = [scenario.tiny(present=smoke) for scenario in wanted]
    if smoke:
        tables = [measure(scenario, here=True) for scenario in tiny]
        text = report.markdown(tables, [], {})
    else:
        used = {case.program.environment for one in wanted for case in one.cases}
        versions = {name: programs.install(name) for name in sorted(used)}
        # So that no round compiles modules.
        for scenario in tiny:
            measure(scenario)
        tables = [measure(scenario) for scenario in wanted]
        text = report.markdown(tables, targets.targets(tables), versions)
        if complete:
            (FOLDER / "results.md").write_text(text, encoding="utf-8")
    sys.stdout.write(f"\n{text}\n")
    return 1 if any(row.problem for table in tables for row in table.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
