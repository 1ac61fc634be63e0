"""Loads the sandbox's audit log into DuckDB, twice, and checks every row."""

import re
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import duckdb
from tabulate import tabulate

from scripts import ROOT, CommandError, comparison, sandboxes, warehouse
from scripts.meltano import meltano
from scripts.sandboxes import Sandbox
from scripts.warehouse import DATABASE, TABLE, Busiest

LOG = ROOT / ".meltano" / "demo.log"
STATE_ID = "sandbox:tap-akuity-to-target-duckdb"
PIPELINE = ("tap-akuity", "target-duckdb")

REPORT = f"""
Who did what most

{{}}

The events are in {DATABASE.name}, in the table {TABLE}. The latest ones:

  .venv/bin/python -m scripts.query "
    SELECT strftime(timestamp, '%Y-%m-%d %H:%M') AS time, action,
      left(actor->>'id', 20) AS who, object->>'type' AS object
    FROM {TABLE} ORDER BY timestamp DESC LIMIT 10"

Next, your own organization: fill in a copy of .env.example named .env, then

  .venv-meltano/bin/meltano run {" ".join(PIPELINE)}"""  # noqa: S608 - to be printed

_LOADED = re.compile(r"Loading (\d+) rows into")


def main() -> int:
    """Run the demo; if it fails, print the reason in one sentence."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    try:
        with (
            LOG.open("ab") as log,
            sandboxes.serve("--records=5000", "--seed=1", stderr=log) as sandbox,
        ):
            _demo(sandbox, log)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130
    except (CommandError, OSError, duckdb.Error) as error:
        end = LOG.read_text(errors="replace").splitlines()[-40:]
        lines = ["", f"The end of {LOG}:", "", *end, "", str(error), ""]
        sys.stderr.write("\n".join(lines))
        return 1
    return 0


def _demo(sandbox: Sandbox, log: IO[Any]) -> None:
    warehouse.clear()
    _say("The audit log of a made-up organization, from the API into DuckDB.\n")
    _say(f"Sandbox      {sandbox.url} with {sandbox.records:,} events")
    meltano("state", "clear", "--force", STATE_ID, sandbox=sandbox, log=log)

    before = _run("First run", sandbox, log)
    _say(f"             {before:,} events loaded")

    happened = len(sandbox.ask("POST", "/sandbox/events?count=40"))
    _say(f"Meanwhile    {happened:,} more events happen")

    end_of_first_run = LOG.stat().st_size
    total = _run("Second run", sandbox, log)
    read = rows_loaded(LOG, since=end_of_first_run)
    _say(f"             {total - before:,} events added ({read:,} read)")

    problem = comparison.difference(
        map(comparison.from_api, sandbox.ask("GET", "/sandbox/events")),
        map(comparison.from_row, warehouse.rows()),
    )
    if problem:
        raise CommandError(problem)
    if read >= total:
        message = "The second run was not incremental: it read every event again."
        raise CommandError(message)
    _say(f"Check        the {total:,} rows are exactly the events of the sandbox")
    _say(REPORT.format("\n".join(f"  {row}" for row in table(warehouse.busiest(10)))))


def _run(title: str, sandbox: Sandbox, log: IO[Any]) -> int:
    """Run the pipeline, and return the number of rows afterwards."""
    _say(f"{title:12} meltano run {' '.join(PIPELINE)}")
    start = time.monotonic()
    # Without `--force`, a killed run would block the next one.
    meltano("run", "--force", *PIPELINE, sandbox=sandbox, log=log)
    _say(f"             done in {time.monotonic() - start:.1f} s")
    return warehouse.count()


def rows_loaded(log: Path, *, since: int) -> int:
    """Return how many rows the loader received, according to its log."""
    text = log.read_bytes()[since:].decode(errors="replace")
    return sum(int(rows) for rows in _LOADED.findall(text))


def table(busiest: Sequence[Busiest]) -> list[str]:
    """Lay out rows in columns, with the count right-aligned."""
    # The headers are a row, because tabulate spaces real headers wider.
    rows = [Busiest._fields, *((*words, f"{events:,}") for *words, events in busiest)]
    aligned = ("left",) * 4 + ("right",)
    text: str = tabulate(rows, tablefmt="plain", missingval="-", colalign=aligned)
    return text.splitlines()


def _exit(number: int, _frame: object) -> NoReturn:
    # An exception, so that every `finally` block runs.
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
