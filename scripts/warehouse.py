"""Reads the DuckDB file that the loader writes, opened only for each query."""

from typing import Any, NamedTuple

import duckdb

from scripts import ROOT

DATABASE = ROOT / "demo.duckdb"
"""The database that the environment `sandbox` in meltano.yml loads into."""

TABLE = "akuity.audit_logs"


class Busiest(NamedTuple):
    """Who did what, and how many times."""

    who: str | None
    type: str | None
    action: str | None
    object: str | None
    events: int


def clear() -> None:
    """Delete the file, and the write-ahead log that DuckDB may have left."""
    for name in (DATABASE.name, f"{DATABASE.name}.wal"):
        DATABASE.with_name(name).unlink(missing_ok=True)


def count() -> int:
    """Return the number of rows."""
    [(rows,)] = _ask(f"SELECT count(*) FROM {TABLE}")  # noqa: S608
    return int(rows)


def rows() -> list[tuple[Any, ...]]:
    """Return all rows: the properties of the API's events, in its order."""
    columns = "timestamp, action, actor, object, details, count, lastoccurredtimestamp"
    return _ask(f"SELECT {columns} FROM {TABLE}")  # noqa: S608


def busiest(limit: int) -> list[Busiest]:
    """Return who did what most often."""
    query = f"""
        SELECT actor->>'id' AS who, actor->>'type' AS type, action,
               object->>'type' AS object, count(*) AS events
        FROM {TABLE}
        GROUP BY ALL
        ORDER BY events DESC, 1, 2, 3, 4
        LIMIT {limit}"""  # noqa: S608
    return [Busiest(*row) for row in _ask(query)]


def _ask(query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(DATABASE, read_only=True) as connection:
        return connection.execute(query).fetchall()
