"""The numbers: medians of each program in each scenario, and back from JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.killing import Killed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measuring import Measured
    from benchmarks.scenarios import Scenario

MB = 1_000_000


class Row(NamedTuple):
    """A program in a scenario: medians over its rounds."""

    program: str
    seconds: float
    records_per_second: float | None
    """None where it was cut off, or where there was nothing to read."""

    cpu_seconds: float
    peak_rss_mb: float
    ratio: float | None
    """Of the seconds to those of the tap; None where it was cut off."""

    requests: int
    max_offset: int
    in_flight_max: int
    finished: bool
    problem: str | None
    rounds: list[float]
    """The seconds of each."""


class Table(NamedTuple):
    """A scenario."""

    scenario: str
    title: str
    date: str
    records: int
    page_size: int
    rows: list[Row]

    def row(self, program: str) -> Row:
        """Find a program."""
        return next(row for row in self.rows if row.program == program)


class Results(NamedTuple):
    """All that was measured on one machine."""

    machine: dict[str, Any]
    versions: dict[str, dict[str, str]]
    tables: list[Table]
    killed: Killed | None = None

    def table(self, scenario: str) -> Table | None:
        """Find a scenario."""
        return next((one for one in self.tables if one.scenario == scenario), None)


def tabulate(scenario: Scenario, measured: Sequence[Measured], date: str) -> Table:
    """Make the table of a scenario.

    Args:
        scenario: What was run.
        measured: What its programs took, the tap first.
        date: When.

    Returns:
        The table.
    """
    reference = measured[0].median("seconds")
    records = 0 if scenario.resumed else scenario.data.records
    rows = []
    for one in measured:
        seconds = one.median("seconds")
        rows.append(
            Row(
                program=one.program,
                seconds=round(seconds, 3),
                records_per_second=round(records / seconds)
                if records and one.finished
                else None,
                cpu_seconds=round(one.median("cpu_seconds"), 3),
                peak_rss_mb=round(one.worst("peak_rss") / MB, 1),
                ratio=round(seconds / reference, 2) if one.finished else None,
                requests=one.worst("requests"),
                max_offset=one.worst("max_offset"),
                in_flight_max=one.worst("in_flight_max"),
                finished=one.finished,
                problem=one.problem,
                rounds=[round(sample.seconds, 3) for sample in one.samples],
            )
        )
    data = scenario.data
    return Table(
        scenario.name, scenario.title, date, data.records, scenario.page_size, rows
    )


def merge(old: Results | None, new: Results, order: Sequence[str]) -> Results:
    """Keep the tables of an earlier run that were not made anew.

    Args:
        old: What was measured earlier, if anything.
        new: What was measured now.
        order: The names of the scenarios.

    Returns:
        Both, or `new` alone if it is of another machine or of other versions.
    """
    if old is None or (old.machine, old.versions) != (new.machine, new.versions):
        return new
    tables = {table.scenario: table for table in (*old.tables, *new.tables)}
    return new._replace(
        tables=[tables[name] for name in order if name in tables],
        killed=new.killed or old.killed,
    )


def to_json(results: Results) -> str:
    """Write as JSON."""
    document = results._asdict()
    document["tables"] = [
        {**table._asdict(), "rows": [row._asdict() for row in table.rows]}
        for table in results.tables
    ]
    document["killed"] = results.killed._asdict() if results.killed else None
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def from_json(text: str) -> Results:
    """Read what `to_json` wrote."""
    document = json.loads(text)
    document["tables"] = [
        Table(**{**table, "rows": [Row(**row) for row in table["rows"]]})
        for table in document["tables"]
    ]
    document["killed"] = Killed(**document["killed"]) if document["killed"] else None
    return Results(**document)


def load(path: Path) -> Results | None:
    """Read the results of an earlier run, if there are any that can be read."""
    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError):
        return None
