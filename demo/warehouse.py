"""Reads the DuckDB file that the loader writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

TABLE = "akuity.audit_logs"
_COLUMNS = (
    "timestamp",
    "action",
    "actor",
    "object",
    "details",
    "count",
    "lastoccurredtimestamp",
)

_BUSIEST = f"""
    SELECT actor->>'id' AS who, actor->>'type' AS type, action,
           object->>'type' AS object, count(*) AS events
    FROM {TABLE}
    GROUP BY ALL
    ORDER BY events DESC, 1, 2, 3, 4
    LIMIT ?
"""  # noqa: S608 - the name of the table is a constant


class Busiest(NamedTuple):
    """Who did what, and how many times."""

    who: str | None
    type: str | None
    action: str | None
    object: str | None
    events: int


class Warehouse:
    """The file, opened only for each query, so that the loader can write to it."""

    def __init__(self, path: Path) -> None:
        """Set up access to the file at `path`."""
        self.path = path

    def clear(self) -> None:
        """Delete the file, and the write-ahead log that DuckDB may have left."""
        for name in (self.path.name, f"{self.path.name}.wal"):
            self.path.with_name(name).unlink(missing_ok=True)

    def count(self) -> int:
        """Return the number of rows."""
        [(count,)] = self._ask(f"SELECT count(*) FROM {TABLE}")  # noqa: S608
        return int(count)

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows, without the columns that the tap adds."""
        columns = ", ".join(f'"{name}"' for name in _COLUMNS)
        rows = self._ask(f"SELECT {columns} FROM {TABLE}")  # noqa: S608
        return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]

    def busiest(self, limit: int) -> list[Busiest]:
        """Return who did what most often."""
        return [Busiest(*row) for row in self._ask(_BUSIEST, [limit])]

    def _ask(
        self, query: str, parameters: list[object] | None = None
    ) -> list[tuple[Any, ...]]:
        with duckdb.connect(self.path, read_only=True) as connection:
            return connection.execute(query, parameters).fetchall()
