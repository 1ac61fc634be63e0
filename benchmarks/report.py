"""Formats the results as Markdown."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.measuring import Row, Table
    from benchmarks.targets import Target

HEADER = """\
# Results

Written by `make bench`; [README.md](README.md) tells how the numbers are made."""

COLUMNS = (
    "Program",
    "Seconds",
    "Ratio",
    "CPU, s",
    "CPU ratio",
    "Events/s",
    "Peak RSS, MB",
    "Requests",
    "Largest offset",
    "",
)
GIB = 1 << 30


def markdown(
    tables: Iterable[Table], targets: Sequence[Target], versions: Mapping[str, str]
) -> str:
    """Return the whole report.

    Args:
        tables: The measurements.
        targets: The targets, compared with the measurements.
        versions: The versions of the packages in each environment.

    Returns:
        Markdown.
    """
    parts = [HEADER, machine()]
    if versions:
        parts.append(_table(("Environment", "Versions"), [*versions.items()]))
    if targets:
        rows = [(*one[:3], "reached" if one.met else "**missed**") for one in targets]
        names = ("", "To reach", "Measured", "")
        parts += ["## Targets", _table(names, rows, right=(1, 2))]
    parts += [scenario(table) for table in tables]
    return "\n\n".join(parts) + "\n"


def scenario(table: Table) -> str:
    """Return the section of a scenario."""
    rows = [_cells(row, table.rows[0]) for row in table.rows]
    # Empty columns are left out.
    kept = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]
    counts = sorted({row.case.data.records for row in table.rows})
    events = " or ".join(f"{count:,}" for count in counts)
    rounds = len(table.rows[0].samples)
    text = "1 round" if rounds == 1 else f"medians of {rounds} rounds"
    cells = [[row[place] for place in kept] for row in rows]
    names = [COLUMNS[place] for place in kept]
    right = [number for number, name in enumerate(names) if name not in {"", "Program"}]
    return "\n\n".join(
        [
            f"## {table.scenario.title}",
            f"`{table.scenario.name}`: {events} events, {text}",
            _table(names, cells, right),
        ]
    )


def _cells(row: Row, first: Row) -> list[str]:
    case, seconds = row.case, row.median("seconds")
    reads = row.worst("requests") and not case.resumed
    requests, offset = row.worst("requests"), row.worst("max_offset")
    return [
        case.name,
        f"{seconds:.2f}",
        f"{row.ratio('seconds', first):.2f}",
        f"{row.median('cpu_seconds'):.2f}",
        f"{row.ratio('cpu_seconds', first):.2f}",
        f"{case.data.records / seconds:,.0f}" if reads else "",
        f"{row.worst('peak_rss') / 1e6:.0f}",
        f"{requests:,}" if requests else "",
        f"{offset:,}" if offset else "",
        row.problem or "",
    ]


def _table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
) -> str:
    text: str = tabulate(
        [[cell.replace("|", "\\|") for cell in row] for row in rows],
        names,
        tablefmt="pipe",
        disable_numparse=True,
        colalign=["right" if n in right else "left" for n in range(len(names))],
    )
    return text


def machine() -> str:
    """Return the date and a description of the machine that does not identify it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    path = Path("/proc/cpuinfo")
    cpu = cpu_model(path.read_text(encoding="utf-8") if path.exists() else "")
    return (
        f"{datetime.now(timezone.utc).date()}, on {os.cpu_count()} cores of "
        f"{cpu or platform.machine()}, {round(memory / GIB)} GiB, "
        f"{platform.system()} {platform.machine()}, "
        f"{platform.python_implementation()} {platform.python_version()}."
    )


def cpu_model(cpuinfo: str) -> str:
    """Return the processor model."""
    match = re.search(r"^model name\s*:\s*(.+?)\s*$", cpuinfo, re.MULTILINE)
    return " ".join(match[1].split()) if match else ""
