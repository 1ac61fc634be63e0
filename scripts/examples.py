"""Loads the sandbox with `sync.sh`, runs the SQL queries, and draws the chart.

`make examples` prints the tables of `docs/questions.md`.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from sandbox.data import Dataset, Item
from sandbox.server import Sandbox
from scripts import ROOT
from scripts.environments import build

EXAMPLES = ROOT / "examples"
CHART = EXAMPLES / "chart" / "events_per_day.py"
FOLDER = ROOT / "build" / "examples"

HISTORY = Dataset(1500, 95, datetime(2025, 11, 1, tzinfo=UTC))
"""Independent of today's date, so that the results stay the same."""
SHOWN = 2
"""How many rows of each result the page shows."""


class Result(NamedTuple):
    """The result of a query."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def load(folder: Path, items: Iterable[Item] = HISTORY) -> Path:
    """Load events as the README's section "Without Meltano" says, into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "venv").symlink_to(sys.prefix)
    shutil.copy(EXAMPLES / "shell" / "sync.sh", folder)
    with Sandbox(items) as sandbox:
        config = {
            "api_url": sandbox.url,
            "organization_id": sandbox.organization_id,
            "api_key_id": sandbox.api_key_id,
            "api_key_secret": sandbox.api_key_secret,
            "start_date": "2025-01-01",
        }
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        command = ["bash", "sync.sh"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603
    return folder / "audit.duckdb"


def queries() -> dict[str, str]:
    """Return the queries by name."""
    paths = sorted((EXAMPLES / "sql").glob("*.sql"))
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


def ask(database: Path, query: str) -> Result:
    """Run a query on a DuckDB file."""
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.execute(query)
        columns = tuple(name for name, *_ in found.description or ())
        return Result(columns, found.fetchall())


def table(result: Result) -> str:
    """Format the first rows as a Markdown table."""
    lines = [result.columns, ["---"] * len(result.columns), *result.rows[:SHOWN]]
    texts = [["" if cell is None else str(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)


def draw(database: Path, picture: Path) -> None:
    """Draw the chart, always with the same matplotlib."""
    python = build("chart") / "python"
    subprocess.run([python, CHART, database, picture], check=True, timeout=120)  # noqa: S603


def main() -> int:
    """Load the events, run the queries, and print the results."""
    try:
        database = load(FOLDER)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error.stderr}`sync.sh` failed in {FOLDER}.\n")
        return 1
    sys.stdout.write(f"{database.relative_to(ROOT)}: {HISTORY.records:,} events\n")
    for name, query in queries().items():
        result = ask(database, query)
        shown = min(SHOWN, len(result.rows))
        sys.stdout.write(f"\n{name}: {shown} of {len(result.rows):,} rows\n")
        if shown:
            sys.stdout.write(f"\n{table(result)}\n")
    draw(database, CHART.with_suffix(".svg"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
