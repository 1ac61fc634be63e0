"""Reads the DuckDB files that target-duckdb writes, opened only for each query."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from sandbox.truth import Row, instants
from scripts import ROOT

DATABASE = ROOT / "demo.duckdb"
"""The database that the environment `sandbox` in meltano.yml loads into."""

TABLE = "akuity.audit_logs"


class Result(NamedTuple):
    """The result of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def ask(database: Path, query: str) -> Result:
    """Run a query on a DuckDB file."""
    with duckdb.connect(database, read_only=True) as connection:
        found = connection.execute(query)
        return Result([name for name, *_ in found.description or ()], found.fetchall())


def rows(database: Path) -> list[Row]:
    """Return all rows of the table."""
    with duckdb.connect(database, read_only=True) as connection:
        return rows_of(connection, TABLE)


def rows_of(connection: Any, table: str) -> list[Row]:  # noqa: ANN401 - or `duckdb`
    """Return the rows of a table, or of a file that DuckDB reads."""
    connection.execute("SET TimeZone = 'UTC'")
    found = connection.execute(f"SELECT to_json(t) FROM {table} t")  # noqa: S608
    return [instants(json.loads(text)) for (text,) in found.fetchall()]
