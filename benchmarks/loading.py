"""Measures loading from the API into each target: rows per second, and memory.

    python -m benchmarks.loading [--events N] [--rounds N] [NAME ...]

The targets are those of `make test-targets`, which compares every row; this only counts
the rows. It measures dlt through Parquet, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import ROOT, sandboxes
from harness.processes import inherited, kill, started
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
    Warehouse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.sandboxes import Sandbox

LIMIT_SECONDS = 600
KIB = 1024
MB = 1_000_000

READER = "duckdb-reader"
"""The SQL in docs/targets.md, which reads batch files."""

DLT = "dlt"
DLT_REQUIREMENTS = ("dlt[duckdb]==1.31.0", "duckdb==1.3.2", "pyarrow==26.0.1")
DLT_SCRIPT = ROOT / "benchmarks" / "peers" / "dlt_into_duckdb.py"


_EXECUTE = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute(sys.argv[2])"


class SmallBatchesDuckDB(DuckDB):
    """DuckDB with a tenth of the default batch size."""

    def settings(self) -> dict[str, Any]:
        """Return the settings for the next run."""
        return super().settings() | {"batch_size_rows": 10_000}


KINDS: dict[str, Any] = {
    "jsonl": Jsonl,
    "csv": Csv,
    "csv-batches": CsvInBatches,
    "duckdb": DuckDB,
    "duckdb-10000": SmallBatchesDuckDB,
    "postgres": PostgreSQL,
    "postgres-batches": PostgreSQLInBatches,
    "postgres-pipelinewise": PipelinewisePostgreSQL,
    "s3-jsonl": S3Jsonl,
    "s3-parquet": S3Parquet,
    "s3-csv": S3Csv,
    "elasticsearch": Elasticsearch,
    "mariadb": MariaDB,
}


_MEASURE = """
import json, resource, subprocess, sys
code = subprocess.call(sys.argv[2:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([usage.ru_utime + usage.ru_stime, usage.ru_maxrss], file)
sys.exit(code)
"""
"""Runs a command from a small process, because a child inherits its parent's peak."""


class Usage(NamedTuple):
    """The resources used by a run."""

    seconds: float
    cpu_seconds: float
    """User and system time of the tap and the target, without servers."""

    peak_rss: int
    """The peak of the larger process, the tap or the target, in bytes."""


def pipe(
    commands: Sequence[Sequence[str]], folder: Path, variables: dict[str, str]
) -> Usage:
    """Run commands as a pipeline.

    Raises:
        RuntimeError: A command failed.
    """
    environment = inherited("MELTANO_", "TAP_AKUITY_", "TARGET_", "PG") | {
        "TMPDIR": str(folder),
        "PGTZ": "UTC",
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        **variables,
    }
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "log").open("wb"))
        begin = time.perf_counter()
        processes: list[subprocess.Popen[str]] = []
        source: Any = subprocess.DEVNULL
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            streams = {"stdin": source, "stdout": log if last else subprocess.PIPE}
            usage = str(folder / f"usage-{number}")
            measured = [sys.executable, "-c", _MEASURE, usage, *command]
            process = stack.enter_context(
                started(measured, folder, environment, stderr=log, **streams)
            )
            if number > 0:
                source.close()
            source = process.stdout
            processes.append(process)
        timer = threading.Timer(LIMIT_SECONDS, lambda: [*map(kill, processes)])
        timer.start()
        stack.callback(timer.cancel)
        for process in processes:
            process.wait()
        seconds = time.perf_counter() - begin
    if any(process.returncode for process in processes):
        sys.stderr.write((folder / "log").read_text(errors="replace")[-2000:])
        message = f"{[Path(command[0]).name for command in commands]} failed"
        raise RuntimeError(message)
    told = (folder / f"usage-{one}" for one in range(len(commands)))
    cpu, peaks = zip(*(json.loads(path.read_bytes()) for path in told), strict=True)
    return Usage(seconds, sum(cpu), max(peaks) * KIB)


def load(name: str, server: Sandbox, servers: Servers, folder: Path) -> Usage:
    """Load all events once, and check the number of rows."""
    config: dict[str, Any] = {
        "api_url": server.url,
        "organization_id": server.organization_id,
        "api_key_id": server.api_key_id,
        "api_key_secret": server.api_key_secret,
        "start_date": "2020-01-01T00:00:00Z",
        "page_size": 1000,
    }
    batches = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": folder.as_uri(), "prefix": "audit-"},
    }
    tap = [str(Path(sys.executable).parent / "tap-akuity"), "--config"]
    if name == READER:
        tap.append(_write(folder / "tap.json", config | {"batch_config": batches}))
        python = environments.build(DuckDB.command, DuckDB.requirements) / "python"
        warehouse = DuckDB(folder)
        text = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
        script = text.split("```sql\n")[1].split("```")[0]
        script = script.replace("batches/", f"{folder}/")
        database = warehouse.settings()["filepath"]
        first = pipe([tap], folder, {})
        second = pipe([[str(python), "-c", _EXECUTE, database, script]], folder, {})
        usage = Usage(
            first.seconds + second.seconds,
            first.cpu_seconds + second.cpu_seconds,
            max(first.peak_rss, second.peak_rss),
        )
        found = len(warehouse.rows())
    elif name == DLT:
        commands = environments.build(DLT, DLT_REQUIREMENTS)
        path = _write(folder / "tap.json", config)
        command = [str(commands / "python"), str(DLT_SCRIPT), path]
        usage = pipe([command], folder, {"PYTHONPATH": str(ROOT)})
        found = int((folder / "rows").read_text(encoding="utf-8"))
    else:
        kind = KINDS[name]
        warehouse = kind(folder, *servers.of(kind))
        config |= warehouse.tap
        if name.endswith("-batches"):
            config["batch_config"] = batches
        commands = environments.build(
            kind.environment or kind.command, kind.requirements
        )
        target = [str(commands / kind.command), "--config"]
        tap.append(_write(folder / "tap.json", config))
        target.append(_write(folder / "target.json", warehouse.settings()))
        usage = pipe([tap, target], folder, warehouse.variables())
        found = len(warehouse.rows())
    if found != server.records:
        message = f"{name} holds {found} rows, not {server.records}"
        raise RuntimeError(message)
    return usage


class Servers:
    """The servers that targets load into, each started once."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        """Set up without servers; `stack` stops those that `of` starts."""
        self._stack = stack
        self._found: dict[str, Any] = {}

    def of(self, kind: type[Warehouse]) -> Iterator[Any]:
        """Yield the server of a target, if it needs one."""
        name = kind.server
        if name and name not in self._found:
            self._found[name] = self._stack.enter_context(self._serve(name))
        if name:
            yield self._found[name]

    def _serve(self, name: str) -> Any:  # noqa: ANN401 - types vary
        if name == "postgres":
            kind = PostgreSQL
            return serve(environments.build(kind.command, kind.requirements))
        if name == "s3":
            return serve_bucket(environments.build("moto", MOTO))
        return {"mariadb": serve_mariadb, "elasticsearch": serve_cluster}[name]()


def _write(path: Path, content: Any) -> str:  # noqa: ANN401 - JSON
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def main() -> None:
    """Measure the targets, and print a line for each run and each target."""
    names = [*KINDS, READER, DLT]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    chosen: list[str] = options.names or names
    if unknown := {*chosen}.difference(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    found: dict[str, list[Usage]] = {name: [] for name in chosen}
    with (
        contextlib.ExitStack() as stack,
        sandboxes.serve("--records", str(options.events)) as server,
    ):
        servers = Servers(stack)
        for number in range(1, options.rounds + 1):
            for name in chosen:  # In turn, so that a busy minute affects all of them.
                with tempfile.TemporaryDirectory(prefix="loading-") as folder:
                    usage = load(name, server, servers, Path(folder))
                found[name].append(usage)
                busy = os.getloadavg()[0]
                spent = f"{usage.seconds:.1f} s, CPU {usage.cpu_seconds:.1f} s"
                held = f"{usage.peak_rss / MB:,.0f} MB"
                line = f"{number} {name}: {spent}, {held}, load {busy:.1f}"
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
    for name, usages in found.items():
        seconds = median(usage.seconds for usage in usages)
        cpu = median(usage.cpu_seconds for usage in usages)
        peak = max(usage.peak_rss for usage in usages)
        sys.stdout.write(
            f"| {name} | {seconds:.1f} | {options.events / seconds:,.0f} | "
            f"{cpu:.1f} | {peak / MB:,.0f} MB |\n"
        )


if __name__ == "__main__":
    main()
