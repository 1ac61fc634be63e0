"""Measures loading from the API into each target: time and memory.

    python -m benchmarks.loading [--events N] [--rounds N] [NAME ...]

The targets are those of `make test-targets`, which compares every row; this only counts
the rows. It measures dlt through Parquet, too.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks import report
from benchmarks.checking import printed, same_count
from benchmarks.measuring import measure, say
from benchmarks.programs import BATCH_CONFIG, PEERS, Program
from benchmarks.scenarios import Case, Scenario, events
from harness import ROOT, HarnessError
from tests.helpers import environments
from tests.helpers.mariadb import MariaDB, serve_mariadb
from tests.helpers.object_storage import (
    MOTO,
    S3Csv,
    S3Jsonl,
    S3Parquet,
    serve_bucket,
)
from tests.helpers.postgres import serve
from tests.helpers.search import Elasticsearch, serve_cluster
from tests.helpers.targets import (
    Csv,
    CsvInBatches,
    DuckDB,
    Jsonl,
    PipelinewisePostgreSQL,
    PostgreSQL,
    PostgreSQLInBatches,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.programs import Job

DLT = ("dlt[duckdb]==1.31.0", "duckdb==1.3.2", "pyarrow==26.0.1")
EXECUTE = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"


class SmallBatchesDuckDB(DuckDB):
    """DuckDB with a tenth of the default batch size."""

    def settings(self) -> dict[str, Any]:
        """Return the settings for the next run."""
        return super().settings() | {"batch_size_rows": 10_000}


class Reader(DuckDB):
    """DuckDB with the SQL in docs/targets.md, which reads batch files."""


KINDS: dict[str, Any] = {
    "jsonl": Jsonl,
    "csv": Csv,
    "csv-batches": CsvInBatches,
    "duckdb": DuckDB,
    "duckdb-10000": SmallBatchesDuckDB,
    "duckdb-reader": Reader,
    "postgres": PostgreSQL,
    "postgres-batches": PostgreSQLInBatches,
    "postgres-pipelinewise": PipelinewisePostgreSQL,
    "s3-jsonl": S3Jsonl,
    "s3-parquet": S3Parquet,
    "s3-csv": S3Csv,
    "elasticsearch": Elasticsearch,
    "mariadb": MariaDB,
}
SERVERS: dict[str, Callable[[], Any]] = {
    "elasticsearch": serve_cluster,
    "mariadb": serve_mariadb,
    "postgres": lambda: serve(
        environments.build(PostgreSQL.command, PostgreSQL.requirements)
    ),
    "s3": lambda: serve_bucket(environments.build("moto", MOTO)),
}


def target(name: str, server: Callable[[str], Any]) -> Program:
    """Return the tap and a target as one program."""
    kind = KINDS[name]
    warehouse: Any = None

    def command(job: Job) -> list[str]:
        nonlocal warehouse
        warehouse = kind(job.folder, *([server(kind.server)] if kind.server else []))
        settings = warehouse.tap
        if name.endswith(("-batches", "-reader")):
            storage = {"root": job.folder.as_uri(), "prefix": "audit-"}
            settings = settings | {"batch_config": {**BATCH_CONFIG, "storage": storage}}
        commands = environments.build(
            kind.environment or kind.command, kind.requirements
        )
        tap = [
            job.executable("tap-akuity", "tap-akuity"),
            "--config",
            job.config(**settings),
        ]
        config = warehouse.settings()
        if kind is Reader:
            docs = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
            script = docs.split("```sql\n")[1].split("```")[0]
            script = script.replace("batches/", f"{job.folder}/")
            python = str(commands / "python")
            reader = [python, "-c", EXECUTE, config["filepath"], script]
            line = f"{shlex.join(tap)} > messages && {shlex.join(reader)}"
        else:
            path = job.write("target.json", config)
            loader = [str(commands / kind.command), "--config", path]
            line = f"set -o pipefail; {shlex.join(tap)} | {shlex.join(loader)}"
        variables = {"PGTZ": "UTC", **warehouse.variables()}
        given = [f"{variable}={value}" for variable, value in variables.items()]
        return ["env", *given, "bash", "-c", line]

    check = same_count(lambda _: len(warehouse.rows()))
    return Program(name, "tap-akuity", command, check)


def dlt_into_duckdb() -> Program:
    """Return dlt's source, which loads into DuckDB."""

    def command(job: Job) -> list[str]:
        python = environments.build("dlt", DLT) / "python"
        script = PEERS / "dlt_rest_api.py"
        database = job.folder / "audit.duckdb"
        return [str(python), str(script), job.config(), str(database)]

    return Program("dlt", "dlt", command, same_count(printed))


def main() -> int:
    """Measure the targets, and print a table."""
    known = [*KINDS, "dlt"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if unknown := {*options.names}.difference(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with ExitStack() as stack:

        @cache
        def server(name: str) -> Any:  # noqa: ANN401 - types vary
            return stack.enter_context(SERVERS[name]())

        cases = tuple(
            Case(
                dlt_into_duckdb() if name == "dlt" else target(name, server),
                events(options.events),
                1000,
            )
            for name in options.names or known
        )
        scenario = Scenario("loading", "Loading", cases, options.rounds)
        try:
            table = measure(scenario, here=True)
        except HarnessError as error:
            say(str(error))
            return 1
    sys.stdout.write(report.section(table) + "\n")
    return 1 if any(row.problem for row in table.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
