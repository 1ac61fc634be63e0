"""Formats the results as Markdown."""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tabulate import tabulate

from benchmarks.measuring import Row, Table
from benchmarks.targets import Target

HEADER = """\
# Results

Written by `make bench`; [README.md](README.md) tells how the numbers are made."""

LEFT = {"Program", "Environment", "Versions", ""}
"""Columns of text."""


def markdown(
    tables: Iterable[Table], targets: Iterable[Target], versions: Mapping[str, str]
) -> str:
    """Return the whole report, with the versions of the packages by environment."""
    parts = [HEADER, machine()]
    if versions:
        parts.append(_table(("Environment", "Versions"), [*versions.items()]))
    rows = [(*one[:3], "reached" if one.met else "**missed**") for one in targets]
    if rows:
        parts += ["## Targets", _table(("", "To reach", "Measured", ""), rows)]
    return "\n\n".join([*parts, *map(section, tables)]) + "\n"


def section(table: Table) -> str:
    """Return the section of a scenario."""
    rows = [_cells(row, table.rows[0]) for row in table.rows]
    # Empty columns are left out.
    kept = [name for name in rows[0] if any(row[name] for row in rows)]
    counts = sorted({row.case.data.records for row in table.rows})
    events = " or ".join(f"{count:,}" for count in counts)
    rounds = len(table.rows[0].samples)
    text = "1 round" if rounds == 1 else f"medians of {rounds} rounds"
    return (
        f"## {table.scenario.title}\n\n"
        f"`{table.scenario.name}`: {events} events, {text}\n\n"
        f"{_table(kept, [[row[name] for name in kept] for row in rows])}"
    )


def _cells(row: Row, first: Row) -> dict[str, str]:
    case, seconds = row.case, row.median("seconds")
    requests, offset = row.worst("requests"), row.worst("max_offset")
    reads = requests and not case.resumed
    return {
        "Program": case.name,
        "Seconds": f"{seconds:.2f}",
        "Ratio": f"{row.ratio('seconds', first):.2f}",
        "CPU, s": f"{row.median('cpu_seconds'):.2f}",
        "CPU ratio": f"{row.ratio('cpu_seconds', first):.2f}",
        "Events/s": f"{case.data.records / seconds:,.0f}" if reads else "",
        "Peak RSS, MB": f"{row.worst('peak_rss') / 1e6:.0f}",
        "Requests": f"{requests:,}" if requests else "",
        "Largest offset": f"{offset:,}" if offset else "",
        "": row.problem or "",
    }


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = ["left" if name in LEFT else "right" for name in names]
    return str(
        tabulate(rows, names, tablefmt="pipe", disable_numparse=True, colalign=align)
    )


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
