"""The targets: how each is set up, and how what it loaded is read.

`stored` says what becomes of a record there. That is all that may differ between the
sandbox's events and the rows.
"""

import abc
import ast
import csv
import io
import itertools
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sandbox.timestamps import SECOND
from sandbox.truth import (
    MICROSECOND,
    OBJECTS,
    TIMES,
    Row,
    differences,
    instants,
    stored,
)
from scripts.environments import build
from scripts.warehouse import rows

STREAM = "audit_logs"
SCHEMA = "akuity"

csv.field_size_limit(sys.maxsize)  # Python's own is less than a patch may have.


class Warehouse(abc.ABC):
    """What one target loads into, empty at first."""

    options: tuple[str, ...] = ()  # for `pip install`, beside its file in requirements/
    command: str
    environment: str | None = None  # by default, named after the command
    server: str | None = None  # the fixture that serves what it loads into
    upserts = True  # one row for each `id`
    updates = True  # a record whose `id` is already there replaces its row
    unit = MICROSECOND  # nanoseconds to which times are truncated
    rounds = False  # times are rounded to microseconds instead
    blanks = True  # empty text in a column of its own stays empty, not null
    lower = False  # names are in lower case

    _numbers = itertools.count(1)

    def __init__(self, folder: Path, server: Any = None) -> None:
        self.folder = folder
        self._server = server
        self._name = f"{SCHEMA}_{next(self._numbers)}"

    @property
    def tap(self) -> dict[str, Any]:
        """The settings of the tap that it needs."""
        return {}

    def variables(self) -> dict[str, str]:
        """Return the environment variables that it needs."""
        return {}

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the settings for the next run."""

    @abc.abstractmethod
    def rows(self) -> list[Row]:
        """Return all rows; if it does not upsert, in the order they were loaded."""

    def problems(self, expected: Mapping[str, Row], rows: Any = None) -> list[str]:
        """Say how the rows, by default all, differ from what these records become."""
        stored = {name: self.stored(row) for name, row in expected.items()}
        return differences(stored, self.rows() if rows is None else rows)

    def stored(self, row: Row) -> Row:
        """Return the row that a record becomes."""
        if self.rounds:
            row = row | {name: rounded(row[name]) for name in TIMES if row.get(name)}
        return stored(row, blanks=self.blanks, lower=self.lower, unit=self.unit)


def rounded(instant: int) -> int:
    """Round a time as PostgreSQL does, which reads its fraction as a float."""
    seconds, fraction = divmod(instant, SECOND)
    return seconds * SECOND + round(fraction / SECOND * 1e6) * MICROSECOND


class Jsonl(Warehouse):
    """Lines of JSON; each run appends."""

    command = "target-jsonl"
    upserts = False
    unit = 1

    def settings(self) -> dict[str, Any]:
        return {"destination_path": str(self.folder), "do_timestamp_file": False}

    def rows(self) -> list[Row]:
        return from_json((self.folder / f"{STREAM}.jsonl").read_text(encoding="utf-8"))


class Csv(Warehouse):
    """CSV; each run replaces its file, and so gets one of its own."""

    command = "target-csv"
    upserts = False
    blanks = False

    def settings(self) -> dict[str, Any]:
        name = f"run-{len(self._files()) + 1}.csv"
        return {"output_path": str(self.folder), "file_naming_scheme": name}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("run-*.csv"))

    def rows(self) -> list[Row]:
        return from_csv(path.read_bytes() for path in self._files())


class DuckDB(Warehouse):
    """A table in DuckDB."""

    command = "target-duckdb"
    blanks = False
    lower = True

    def settings(self) -> dict[str, Any]:
        path = str(self.folder / "audit.duckdb")
        return {"filepath": path, "default_target_schema": SCHEMA}

    def rows(self) -> list[Row]:
        return rows(self.folder / "audit.duckdb")


class PostgreSQL(Warehouse):
    """A table in PostgreSQL."""

    command = "target-postgres"
    server = "postgres"

    def settings(self) -> dict[str, Any]:
        return {
            "sqlalchemy_url": self._server.uri.replace("://", "+psycopg://", 1),
            "default_target_schema": self._name,
            "add_record_metadata": False,
            "activate_version": False,
        }

    def rows(self) -> list[Row]:
        schema = self.settings()["default_target_schema"]
        return [instants(row) for row in self._server.rows(f"{schema}.{STREAM}")]


class Audit(PostgreSQL):
    """PostgreSQL, with the schema that the examples name, empty at first."""

    def __init__(self, folder: Path, server: Any) -> None:
        super().__init__(folder, server)
        server.ask(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"default_target_schema": SCHEMA}


class PipelinewisePostgreSQL(PostgreSQL):
    """The other target for PostgreSQL, which rounds times."""

    environment = "pipelinewise-target-postgres"
    rounds = True
    blanks = False
    lower = True

    def settings(self) -> dict[str, Any]:
        connection = self._server.connection()
        return {
            "host": connection["extra"]["host"],
            "port": 5432,
            "user": connection["login"],
            "password": "-",
            "dbname": connection["schema"],
            "default_target_schema": self._name,
        }


class _InBatches(Warehouse):
    @property
    def tap(self) -> dict[str, Any]:
        return {
            "batch_config": {
                "encoding": {"format": "jsonl", "compression": "gzip"},
                "storage": {"root": self.folder.as_uri(), "prefix": "audit-"},
                "batch_size": 500,
            }
        }


class CsvInBatches(_InBatches, Csv):
    """CSV, from batches, whose times are kept as they are."""

    unit = 1


class PostgreSQLInBatches(_InBatches, PostgreSQL):
    """PostgreSQL, from batches, whose times it parses, and rounds, itself."""

    rounds = True


def from_json(lines: str) -> list[Row]:
    """Return the rows of lines of JSON."""
    # Not `splitlines`, which also splits at what JSON leaves as it is.
    return [instants(json.loads(line)) for line in lines.split("\n") if line]


def from_csv(files: Iterable[bytes]) -> list[Row]:
    """Return the rows of CSV files."""
    rows: list[Row] = []
    for content in files:
        rows += csv.DictReader(io.StringIO(content.decode(), newline=""))
    for row in rows:
        row |= {name: cell or None for name, cell in row.items()}
        for name in {"count", *OBJECTS} & row.keys():
            # Objects are written as Python writes them.
            row[name] = ast.literal_eval(row[name] or "None")
    return [instants(row) for row in rows]


def commands_of(kind: type[Warehouse]) -> Path:
    """Return the folder with a target's commands, installed if they are not."""
    return build(kind.environment or kind.command, *kind.options)
