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

from sandbox.data import Dataset, Item
from sandbox.server import Sandbox
from scripts import ROOT
from scripts.environments import build
from scripts.warehouse import Result, ask

EXAMPLES = ROOT / "examples"
CHART = EXAMPLES / "chart" / "events_per_day.py"
FOLDER = ROOT / "build" / "examples"

# Independent of today's date, so that the results stay the same.
HISTORY = Dataset(1500, 95, datetime(2025, 11, 1, tzinfo=UTC))
SHOWN = 2  # rows of each result, on the page


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
        subprocess.run(["bash", "sync.sh"], cwd=folder, check=True)  # noqa: S607
    return folder / "audit.duckdb"


def queries() -> dict[str, str]:
    """Return the queries by name."""
    paths = sorted((EXAMPLES / "sql").glob("*.sql"))
    return {path.stem: path.read_text(encoding="utf-8") for path in paths}


def table(result: Result) -> str:
    """Format the first rows as a Markdown table."""
    lines = [result.columns, ["---"] * len(result.columns), *result.rows[:SHOWN]]
    texts = [["" if cell is None else str(cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)


def draw(database: Path, picture: Path) -> None:
    """Draw the chart, always with the same matplotlib."""
    python = build("chart") / "python"
    subprocess.run([python, CHART, database, picture], check=True, timeout=120)  # noqa: S603


def main() -> None:
    """Load the events, run the queries, and print the results."""
    database = load(FOLDER)
    print(f"{database.relative_to(ROOT)}: {HISTORY.records:,} events")
    for name, query in queries().items():
        result = ask(database, query)
        print(f"\n{name}: {len(result.rows):,} rows\n\n{table(result)}")
    draw(database, CHART.with_suffix(".svg"))


if __name__ == "__main__":
    main()
