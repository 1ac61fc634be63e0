"""The results as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.targets import targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.results import Results, Row, Table
    from benchmarks.targets import Target

HEADER = """\
# Results

Written by `make bench`; [README.md](README.md) tells how the numbers are made.
"""

LEFT, RIGHT = ":--", "--:"
COLUMNS = {
    "Program": LEFT,
    "Seconds": RIGHT,
    "Ratio to tap-akuity": RIGHT,
    "Records/s": RIGHT,
    "CPU s": RIGHT,
    "Peak RSS, MB": RIGHT,
    "Requests": RIGHT,
    "Largest offset": RIGHT,
    "": LEFT,
}


def markdown(results: Results, *, quick: bool = False) -> str:
    """Write all of it.

    Args:
        results: What was measured.
        quick: Whether with so few records that the targets mean nothing.

    Returns:
        Markdown.
    """
    found = [] if quick else targets(results)
    parts = [HEADER, *_machine(results), _targets(found)]
    parts += [scenario(table) for table in results.tables]
    return "\n".join(part for part in parts if part)


def scenario(table: Table) -> str:
    """Write the table of a scenario."""
    rows = [_cells(table, row) for row in table.rows]
    # A column that says nothing is left out.
    kept = [place for place in range(len(COLUMNS)) if any(row[place] for row in rows)]
    names, marks = [*COLUMNS], [*COLUMNS.values()]
    return "\n".join(
        [
            f"## {table.title}",
            "",
            f"{table.records:,} records, {_rounds(table)}, {table.date}",
            "",
            *_table(
                [names[place] for place in kept],
                [marks[place] for place in kept],
                [[row[place] for place in kept] for row in rows],
            ),
            "",
        ]
    )


def _rounds(table: Table) -> str:
    counts = sorted({len(row.rounds) for row in table.rows}, reverse=True)
    text = " or ".join(f"{count}" for count in counts)
    return "1 round" if counts == [1] else f"medians of {text} rounds"


def _cells(table: Table, row: Row) -> list[str]:
    pages = -(-table.records // table.page_size)
    note = row.problem or ""
    if not row.finished:
        note = f"cut off after {row.requests:,} of {pages:,} pages"
    return [
        row.program,
        f"{row.seconds:.2f}" if row.finished else f"> {row.seconds:.0f}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.records_per_second is None else f"{row.records_per_second:,.0f}",
        f"{row.cpu_seconds:.2f}",
        f"{row.peak_rss_mb:.0f}",
        f"{row.requests:,}" if row.requests else "",
        f"{row.max_offset:,}" if row.max_offset else "",
        note,
    ]


def _machine(results: Results) -> Iterator[str]:
    machine = results.machine
    yield (
        f"Machine: {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, {machine['system']}, {machine['python']}.\n"
    )
    rows = [
        [name, ", ".join(f"{package} {number}" for package, number in found.items())]
        for name, found in results.versions.items()
    ]
    yield "\n".join([*_table(["Environment", "Versions"], [LEFT, LEFT], rows), ""])


def _targets(found: Sequence[Target]) -> str:
    if not found:
        return ""
    rows = [[one.what, one.target, one.measured, _yes(met=one.met)] for one in found]
    names, marks = ["", "To reach", "Measured", ""], [LEFT, RIGHT, RIGHT, LEFT]
    return "\n".join(["## Targets", "", *_table(names, marks, rows), ""])


def _yes(*, met: bool) -> str:
    return "reached" if met else "**missed**"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(
    names: Sequence[str], marks: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[str]:
    lines = [[_cell(text) for text in line] for line in (names, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    right = [mark == RIGHT for mark in marks]
    layout = [
        f"{{:{'>' if is_right else '<'}{width}}}"
        for is_right, width in zip(right, widths, strict=True)
    ]
    template = f"| {' | '.join(layout)} |"
    yield template.format(*lines[0])
    rules = [
        "-" * (width - 1) + ":" if is_right else "-" * width
        for is_right, width in zip(right, widths, strict=True)
    ]
    yield template.format(*rules)
    for line in lines[1:]:
        yield template.format(*line)
