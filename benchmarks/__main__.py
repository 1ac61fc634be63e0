"""`make bench`: compares the tap with its alternatives, and updates docs/speed.md."""

import argparse
import gc
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from pathlib import Path

from tabulate import tabulate

from benchmarks.measuring import Runs, Sample, run
from benchmarks.programs import Job
from benchmarks.scenarios import SCENARIOS, Case, Scenario
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.timestamps import to_go
from sandbox.truth import Row, truth
from scripts import ROOT, CommandError
from scripts.environments import build

PAGE = ROOT / "docs" / "speed.md"
START = "<!-- What follows is written by `make bench`. -->\n"
HERE = {"tap-akuity", "sdk-default"}  # which also run in the project's own environment
TEXTS = {"Program", "Distribution", ""}
_say = partial(print, file=sys.stderr)


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
    if given.smoke:
        wanted = [scenario.tiny(HERE) for scenario in wanted]
    try:
        if not given.smoke:
            warm_up(case for scenario in wanted for case in scenario.cases)
        tables = [measure(scenario, here=given.smoke) for scenario in wanted]
    except CommandError as error:
        sys.exit(str(error))
    text = "\n\n".join([machine(), *map(section, wanted, tables)]) + "\n"
    if not given.smoke and not given.names:
        prose = PAGE.read_text(encoding="utf-8").partition(START)[0]
        PAGE.write_text(f"{prose}{START}\n{text}", encoding="utf-8")
    print(f"\n{text}", end="")
    return 1 if any(row.problem for rows in tables for row in rows) else 0


def warm_up(cases: Iterable[Case]) -> None:
    """Install each program, and run it once, so that no round compiles modules."""
    tiny = {case.program.name: case.tiny() for case in cases}
    for name in sorted({case.program.environment for case in tiny.values()}):
        build(f"bench-{name}")
    measure(Scenario("", "Warm-up", [*tiny.values()]))


def measure(scenario: Scenario, *, here: bool = False) -> list[Runs]:
    """Run a scenario, in the programs' own environments or in the project's, `here`."""
    _say(scenario.title)
    rows = [Runs(case, []) for case in scenario.cases]
    with ExitStack() as stack:
        # Only one sandbox at a time is busy, but no round generates its events anew.
        served = cache(lambda data: stack.enter_context(Sandbox(data)))
        for number in range(1, scenario.rounds + 1):
            for case, samples in rows:
                if number == 1 or not case.once:
                    samples.append(_run(case, served(case.data), here=here))
                    _say(f"  {number}. {case.name:50} {samples[-1].seconds:8.2f} s")
    return rows


def _run(case: Case, sandbox: Sandbox, *, here: bool) -> Sample:
    rows, bookmark = _rows(sandbox), None
    if case.resumed:
        rows = rows[-1:]
        bookmark = to_go(rows[0]["timestamp"]).replace(" +0000 UTC", "Z")
    sandbox.state.options = Options(latency_seconds=case.latency)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        job = Job(Path(name), sandbox, case.page_size, bookmark, here)
        command = case.program.command(job)
        sandbox.state.stats.reset()  # Building the command may have made requests.
        sample = run(command, job.folder)
        requests = sandbox.state.stats.requests
        problem = case.program.problem(job.folder / "output", rows)
        return sample._replace(requests=requests, problem=problem)


@lru_cache(maxsize=1)  # because of the memory
def _rows(sandbox: Sandbox) -> list[Row]:
    """Return the rows that the sandbox's events should become, oldest first."""
    rows = [*truth(sandbox).values()]
    gc.freeze()  # So that no collection of garbage delays a response.
    return rows


def section(scenario: Scenario, rows: Sequence[Runs]) -> str:
    """Return the section of a scenario as Markdown."""
    make = _speedups if scenario.name == "distributions" else _cells
    cells = list(make(rows))
    # Empty columns are left out.
    kept = [name for name in cells[0] if any(one[name] for one in cells)]
    counts = sorted({row.case.data.records for row in rows})
    events = " or ".join(f"{count:,}" for count in counts)
    text = "1 round" if scenario.rounds == 1 else f"medians of {scenario.rounds} rounds"
    table = tabulate(
        [[one[name] for name in kept] for one in cells],
        kept,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["left" if name in TEXTS else "right" for name in kept],
    )
    about = f"`{scenario.name}`: {events} events, {text}"
    return f"### {scenario.title}\n\n{about}\n\n{table}"


def _cells(rows: Sequence[Runs]) -> Iterator[dict[str, str]]:
    for row in rows:
        requests = row.worst("requests")
        yield {
            "Program": row.case.name,
            "Seconds": f"{row.median('seconds'):.2f}",
            "Ratio": f"{row.ratio('seconds', rows[0]):.2f}",
            "CPU, s": f"{row.median('cpu_seconds'):.2f}",
            "CPU ratio": f"{row.ratio('cpu_seconds', rows[0]):.2f}",
            "Peak RSS, MB": f"{row.worst('peak_rss') / 1e6:.0f}",
            "Requests": f"{requests:,}" if requests else "",
            "": f"**{row.problem}**" if row.problem else "",
        }


def _speedups(rows: Sequence[Runs]) -> Iterator[dict[str, str]]:
    """Compare 8 requests at a time with 1, without the start-up, in the first row."""
    start_up, *others = rows
    for one, eight, large in zip(*(others[n::3] for n in range(3)), strict=True):
        alone, together = (
            row.median("seconds") - start_up.median("seconds") for row in (one, eight)
        )
        requests = max(row.worst("requests") for row in (one, eight))
        problem = one.problem or eight.problem or large.problem or start_up.problem
        yield {
            "Distribution": one.case.detail,
            "1 at a time, s": f"{alone:.2f}",
            "8 at a time, s": f"{together:.2f}",
            "Times as fast": f"{alone / together:.2f}",
            "Requests, 500 a page": f"{requests:,}",
            "Requests, 1,000 a page": f"{large.worst('requests'):,}",
            "": f"**{problem}**" if problem else "",
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
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}."
    )


if __name__ == "__main__":
    sys.exit(main())
