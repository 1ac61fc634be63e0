"""The targets: how each is set up and run, and how what it loaded is read.

`stored` says what becomes of a record there. That is all that may differ between the
sandbox's events and the rows.
"""

import abc
import ast
import csv
import io
import itertools
import json
import re
import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import duckdb

from sandbox.timestamps import SECOND
from sandbox.truth import (
    COLUMNS,
    MICROSECOND,
    OBJECTS,
    TIMES,
    Row,
    differences,
    flattened,
    instants,
    stored,
)
from scripts.environments import build
from scripts.processes import inherited, started
from scripts.warehouse import rows, rows_of
from tests.helpers.commands import BIN, write
from tests.helpers.servers import BUCKET, INDEX, REGION

STREAM = "audit_logs"
SCHEMA = "akuity"

_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_", "PG")

csv.field_size_limit(sys.maxsize)  # Python's own is less than a patch may have.


class Warehouse(abc.ABC):
    """What one target loads into, empty at first."""

    options: tuple[str, ...] = ()  # for `pip install`, beside its file in requirements/
    command: str
    environment: str | None = None  # by default, named after the command
    server: str | None = None  # the fixture that serves what it loads into
    tap: ClassVar[Row] = {}  # the settings of the tap that it needs
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


def commands_of(kind: type[Warehouse]) -> Path:
    """Return the folder with a target's commands, installed if they are not."""
    return build(kind.environment or kind.command, *kind.options)


class Run(NamedTuple):
    """What a pipeline did."""

    read: int  # records that the tap wrote, as it says
    state: Any  # the last one that the target passed on
    errors: str


def load(warehouse, config, state=None, *, succeeds=True, commands=None) -> Run:
    """Run `tap-akuity --config … --state … | target-… --config …` as a shell does."""
    folder = warehouse.folder
    tap: list[Any] = [(commands or BIN) / "tap-akuity"]
    tap += ["--config", write(folder / "tap.json", config)]
    if state is not None:
        tap += ["--state", write(folder / "state.json", state)]
    variables = warehouse.variables().items()
    target: list[Any] = ["env", *(f"{name}={text}" for name, text in variables)]
    target += [(commands or commands_of(type(warehouse))) / warehouse.command]
    target += ["--config", write(folder / "target.json", warehouse.settings())]
    first, second = (shlex.join(map(str, command)) for command in (tap, target))
    script = f"{first} 2>tap.log | {second} 2>target.log"
    # target-postgres gives PostgreSQL times with a zone for columns without one, and
    # they become the session's.
    environment = inherited(*_FOREIGN_SETTINGS) | {"TMPDIR": str(folder), "PGTZ": "UTC"}
    bash = ["bash", "-o", "pipefail", "-c", script]
    with started(bash, folder, environment) as process:
        output, _ = process.communicate(timeout=120)
    told = (folder / "tap.log").read_text(encoding="utf-8")
    errors = (folder / "target.log").read_text(encoding="utf-8") + told
    assert (process.returncode == 0) is succeeds, errors
    states = [json.loads(line) for line in output.splitlines()]
    read = sum(map(int, re.findall(r"Sync completed: .* emitted=(\d+) ", told)))
    return Run(read, states[-1] if states else None, errors)


def from_json(lines: str) -> list[Row]:
    # Not `splitlines`, which also splits at what JSON leaves as it is.
    return [instants(json.loads(line)) for line in lines.split("\n") if line]


def from_csv(files: Iterable[bytes]) -> list[Row]:
    rows: list[Row] = []
    for content in files:
        rows += csv.DictReader(io.StringIO(content.decode(), newline=""))
    for row in rows:
        row |= {name: cell or None for name, cell in row.items()}
        for name in {"count", *OBJECTS} & row.keys():
            # Objects are written as Python writes them.
            row[name] = ast.literal_eval(row[name] or "None")
    return [instants(row) for row in rows]


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
        return [instants(row) for row in self._server.rows(f"{self._name}.{STREAM}")]


class Audit(PostgreSQL):
    """PostgreSQL, with the schema that the examples name, empty at first."""

    def __init__(self, folder: Path, server: Any) -> None:
        super().__init__(folder, server)
        self._name = SCHEMA
        server.ask(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


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
    def __init__(self, folder: Path, server: Any = None) -> None:
        super().__init__(folder, server)
        encoding = {"format": "jsonl", "compression": "gzip"}
        storage = {"root": folder.as_uri(), "prefix": "audit-"}
        batches = {"encoding": encoding, "storage": storage, "batch_size": 500}
        self.tap = {"batch_config": batches}  # type: ignore[misc]


class CsvInBatches(_InBatches, Csv):
    """CSV, from batches, whose times are kept as they are."""

    unit = 1


class PostgreSQLInBatches(_InBatches, PostgreSQL):
    """PostgreSQL, from batches, whose times it parses, and rounds, itself."""

    rounds = True


class MariaDB(Warehouse):
    """A table in MariaDB, where a row stays as it came first."""

    # No later Python than 3.10 is allowed, and none is needed.
    options = ("--ignore-requires-python",)
    command = "target-mysql"
    server = "mariadb"
    updates = False
    unit = SECOND

    def settings(self) -> dict[str, Any]:
        self._server.run(f"CREATE DATABASE IF NOT EXISTS {self._name} CHARSET utf8mb4")
        options = f"unix_socket={self._server.socket}&charset=utf8mb4"
        url = f"mysql+mysqldb://root@localhost/{self._name}?{options}"
        return {"sqlalchemy_url": url}

    def variables(self) -> dict[str, str]:
        # By default, it logs all records of a batch with each of them.
        quiet = {"version": 1, "root": {"level": "WARNING"}}
        path = write(self.folder / "logging.json", quiet)
        return {"SINGER_SDK_LOG_CONFIG": str(path)}

    def rows(self) -> list[Row]:
        snake = {"lastOccurredTimestamp": "last_occurred_timestamp"}
        pairs = ", ".join(f"'{name}', `{snake.get(name, name)}`" for name in COLUMNS)
        query = f"SELECT JSON_OBJECT({pairs}) FROM {self._name}.{STREAM}"  # noqa: S608
        rows = from_json(self._server.run(query))
        for row in rows:
            for name in OBJECTS:
                if isinstance(row[name], str):
                    row[name] = json.loads(row[name])
        return rows


class S3Jsonl(Warehouse):
    """Lines of JSON in S3; each run adds objects."""

    command = "target-s3"
    server = "s3"
    upserts = False
    format = "jsonl"

    def settings(self) -> dict[str, Any]:
        aws = {
            "aws_access_key_id": "-",
            "aws_secret_access_key": "-",
            "aws_region": REGION,
            "aws_bucket": BUCKET,
            "aws_endpoint_override": self._server.url,
        }
        return {
            "format": {"format_type": self.format},
            "compression": "none",
            "prefix": self._name,
            "cloud_provider": {"cloud_provider_type": "aws", "aws": aws},
        }

    def _objects(self) -> list[bytes]:
        return self._server.objects(f"{self._name}/")

    def rows(self) -> list[Row]:
        return from_json(b"\n".join(self._objects()).decode())


class S3Parquet(S3Jsonl):
    """Parquet in S3. Objects are structures, whose missing members are null."""

    format = "parquet"
    unit = SECOND

    def rows(self) -> list[Row]:
        rows: list[Row] = []
        path = self.folder / "object.parquet"
        for content in self._objects():
            path.write_bytes(content)
            rows += map(_pruned, rows_of(duckdb, f"'{path}'"))
        return rows

    def stored(self, row: Row) -> Row:
        return _pruned(super().stored(row))


def _pruned(value: Any) -> Any:
    """Leave out null members."""
    if not isinstance(value, dict):
        return value
    return {name: _pruned(one) for name, one in value.items() if one is not None}


class S3Csv(S3Jsonl):
    """CSV in S3, an object for each run. Only right if the tap flattens."""

    # No later Python than 3.10 is allowed, and none is needed.
    options = ("--ignore-requires-python",)
    command = "target-s3-csv"
    tap: ClassVar[Row] = {"flattening_enabled": True, "flattening_max_depth": 3}
    unit = 1
    blanks = False

    def settings(self) -> dict[str, Any]:
        return {
            "aws_access_key_id": "-",
            "aws_secret_access_key": "-",
            "aws_endpoint_url": self._server.url,
            "s3_bucket": BUCKET,
            # Two runs in one second have one name, and the second replaces the first.
            "s3_key_prefix": f"{self._name}/{time.time_ns()}/",
        }

    def rows(self) -> list[Row]:
        return from_csv(self._objects())

    def stored(self, row: Row) -> Row:
        return super().stored(flattened(row))


class Elasticsearch(Warehouse):
    """Documents of an index."""

    command = "target-elasticsearch"
    server = "elasticsearch"

    def settings(self) -> dict[str, Any]:
        url = urlsplit(self._server.url)
        return {
            "scheme": "http",
            "host": url.hostname,
            "port": url.port,
            # By default, each day has its index, in which the same event is another.
            "index_format": INDEX,
            "metadata_fields": {STREAM: {"_id": "id"}},
        }

    def rows(self) -> list[Row]:
        return [instants(row) for row in self._server.documents.values()]
