"""Measures loading from the API into each target: time and memory.

    python -m benchmarks.loading [--events N] [--rounds N] [NAME ...]

The targets are those of `make test-targets`, which compares every row; this only counts
the rows. It measures dlt through Parquet, too.
"""

import argparse
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

from benchmarks import report
from benchmarks.checking import printed, same_count
from benchmarks.measuring import measure
from benchmarks.programs import PEERS, Job, Program
from benchmarks.scenarios import Case, Scenario, events
from scripts import ROOT, CommandError
from tests.helpers import (
    environments,
    mariadb,
    object_storage,
    postgres,
    search,
    targets,
)

DLT = ("dlt[duckdb]==1.31.0", "duckdb==1.3.2", "pyarrow==26.0.1")
EXECUTE = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"

KINDS: dict[str, Any] = {
    "jsonl": targets.Jsonl,
    "csv": targets.Csv,
    "csv-batches": targets.CsvInBatches,
    "duckdb": targets.DuckDB,
    "duckdb-10000": targets.DuckDB,
    "duckdb-reader": targets.DuckDB,
    "postgres": targets.PostgreSQL,
    "postgres-batches": targets.PostgreSQLInBatches,
    "postgres-pipelinewise": targets.PipelinewisePostgreSQL,
    "s3-jsonl": object_storage.S3Jsonl,
    "s3-parquet": object_storage.S3Parquet,
    "s3-csv": object_storage.S3Csv,
    "elasticsearch": search.Elasticsearch,
    "mariadb": mariadb.MariaDB,
}


SERVERS: dict[str, Callable[[], Any]] = {
    "elasticsearch": search.serve_cluster,
    "mariadb": mariadb.serve_mariadb,
    "postgres": lambda: postgres.serve(environments.commands_of(targets.PostgreSQL)),
    "s3": object_storage.serve_bucket,
}


def target(name: str, server: Callable[[str], Any]) -> Program:
    """Return the tap and a target as one program."""
    kind = KINDS[name]
    warehouse: Any = None

    def command(job: Job) -> list[str]:
        nonlocal warehouse
        warehouse = kind(job.folder, kind.server and server(kind.server))
        commands, config = environments.commands_of(kind), warehouse.settings()
        if name == "duckdb-10000":
            config["batch_size_rows"] = 10_000
        settings = dict(warehouse.tap)
        if name.endswith(("-batches", "-reader")):
            # Of the default size, which that of the tests is not.
            settings["batch_config"] = job.batches()
        tap = job.executable("tap-akuity", "tap-akuity")
        first = shlex.join([tap, "--config", job.config(**settings)])
        if name == "duckdb-reader":
            docs = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
            sql = docs.split("```sql\n")[1].split("```")[0]
            sql = sql.replace("batches/", f"{job.folder}/")
            python = str(commands / "python")
            second = shlex.join([python, "-c", EXECUTE, config["filepath"], sql])
            line = f"{first} > messages && {second}"
        else:
            path = job.write("target.json", config)
            second = shlex.join([str(commands / kind.command), "--config", path])
            line = f"set -o pipefail; {first} | {second}"
        variables = {"PGTZ": "UTC", **warehouse.variables()}
        assigned = [f"{key}={value}" for key, value in variables.items()]
        return ["env", *assigned, "bash", "-c", line]

    check = same_count(lambda _: len(warehouse.rows()))
    return Program(name, "tap-akuity", command, check)


def dlt_into_duckdb(job: Job) -> list[str]:
    """Return the command of dlt's source, which loads into DuckDB."""
    python = str(environments.build("dlt", DLT) / "python")
    database = str(job.folder / "audit.duckdb")
    return [python, str(PEERS / "dlt_rest_api.py"), job.config(), database]


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
        server = cache(lambda name: stack.enter_context(SERVERS[name]()))
        programs = [
            Program("dlt", "dlt", dlt_into_duckdb, same_count(printed))
            if name == "dlt"
            else target(name, server)
            for name in options.names or known
        ]
        cases = [Case(program, events(options.events), 1000) for program in programs]
        try:
            scenario = Scenario("loading", "Loading", cases, options.rounds)
            table = measure(scenario, here=True)
        except CommandError as error:
            sys.exit(str(error))
    sys.stdout.write(report.section(table) + "\n")
    return 1 if any(row.problem for row in table.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
