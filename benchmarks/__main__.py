"""`make bench`: compares the tap with its alternatives, and updates docs/speed.md."""

import argparse
import os
import platform
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from tabulate import tabulate

from benchmarks.measuring import Row, Sample, run
from benchmarks.programs import Job
from benchmarks.scenarios import SCENARIOS, Case, Scenario, options
from sandbox.data import Dataset
from scripts import ROOT, CommandError
from scripts.environments import build
from scripts.sandboxes import Sandbox, serve

PAGE = ROOT / "docs" / "speed.md"
START = "<!-- What follows is written by `make bench`. -->\n"
HERE = {"tap-akuity", "sdk-default"}
"""Environments whose programs also run in the project's own environment."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run scenarios, and return 1 if one failed, was wrong, or exceeded a limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    text = f"default: all, and docs/speed.md is updated; {', '.join(names)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
    text = "run on tiny data, without the peers that need an installation"
    parser.add_argument("--smoke", action="store_true", help=text)
    parser.add_argument("--rounds", type=int, help="number of rounds per scenario")
    given = parser.parse_args(arguments)
    if unknown := {*given.names}.difference(names):
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(names)}")
    wanted = [one for one in SCENARIOS if one.name in (given.names or names)]
    if given.rounds:
        wanted = [scenario._replace(rounds=given.rounds) for scenario in wanted]
    used = {case.program.environment for one in wanted for case in one.cases}
    try:
        if given.smoke:
            tables = [measure(scenario.tiny(HERE), here=True) for scenario in wanted]
        else:
            for name in sorted(used):
                build(f"bench-{name}")
            for scenario in wanted:  # So that no round compiles modules.
                measure(scenario.tiny(used))
            tables = [measure(scenario) for scenario in wanted]
    except CommandError as error:
        sys.exit(str(error))
    text = "\n\n".join([machine(), *map(section, wanted, tables)]) + "\n"
    if not given.smoke and not given.names:
        prose = PAGE.read_text(encoding="utf-8").partition(START)[0]
        PAGE.write_text(f"{prose}{START}\n{text}", encoding="utf-8")
    sys.stdout.write(f"\n{text}")
    return 1 if any(row.problem for rows in tables for row in rows) else 0


def measure(scenario: Scenario, *, here: bool = False) -> list[Row]:
    """Run a scenario, in the programs' own environments or in the project's, `here`."""
    _say(scenario.title)
    rows = [Row(case, []) for case in scenario.cases]
    with ExitStack() as stack:

        @cache
        def served(data: Dataset, latency: float) -> Sandbox:
            # Only one server at a time is busy, but no round regenerates its data.
            latency_option = f"--latency-seconds={latency}"
            return stack.enter_context(serve(*options(data), latency_option))

        for number in range(1, scenario.rounds + 1):
            for case, samples in rows:
                samples.append(_run(case, served(case.data, case.latency), here=here))
                _say(f"  {number}. {case.name:50} {samples[-1].seconds:8.2f} s")
    return rows


def _run(case: Case, server: Sandbox, *, here: bool) -> Sample:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        job = Job(Path(name), server, case.page_size, case.resumed, here)
        command = case.program.command(job)
        # Building the command may have called the server, for discovery.
        server.ask("POST", "/sandbox/reset-stats")
        usage = run(command, job.folder)
        stats = server.ask("GET", "/sandbox/stats")
        check, data = case.program.check, () if case.resumed else case.data
        problem = check(job.folder, data) if check else None
        return Sample(*usage, stats["requests"], problem)


def section(scenario: Scenario, rows: Sequence[Row]) -> str:
    """Return the section of a scenario as Markdown."""
    cells = [_cells(row, rows[0]) for row in rows]
    # Empty columns are left out.
    kept = [name for name in cells[0] if any(one[name] for one in cells)]
    counts = sorted({row.case.data.records for row in rows})
    events = " or ".join(f"{count:,}" for count in counts)
    rounds = len(rows[0].samples)
    text = "1 round" if rounds == 1 else f"medians of {rounds} rounds"
    table = tabulate(
        [[one[name] for name in kept] for one in cells],
        kept,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left" if name in {"Program", ""} else "right" for name in kept],
    )
    about = f"`{scenario.name}`: {events} events, {text}"
    return f"### {scenario.title}\n\n{about}\n\n{table}"


def _cells(row: Row, first: Row) -> dict[str, str]:
    requests = row.worst("requests")
    return {
        "Program": row.case.name,
        "Seconds": f"{row.median('seconds'):.2f}",
        "Ratio": f"{row.ratio('seconds', first):.2f}",
        "CPU, s": f"{row.median('cpu_seconds'):.2f}",
        "CPU ratio": f"{row.ratio('cpu_seconds', first):.2f}",
        "Peak RSS, MB": f"{row.worst('peak_rss') / 1e6:.0f}",
        "Requests": f"{requests:,}" if requests else "",
        "": f"**{row.problem}**" if row.problem else "",
    }


def machine() -> str:
    """Return the date and a description of the machine that does not identify it."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+?)\s*$", text, re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (
        f"{datetime.now(UTC).date()}, on {os.cpu_count()} cores of "
        f"{model[1] if model else platform.machine()}, {round(memory / 2**30)} GiB, "
        f"{platform.system()} {platform.machine()}, "
        f"{platform.python_implementation()} {platform.python_version()}."
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
