"""Loads the sandbox's audit log into DuckDB, twice, and checks every row."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import duckdb
from tabulate import tabulate

from demo import DATABASE, comparison
from demo.processes import meltano
from demo.warehouse import TABLE, Busiest, Warehouse
from harness import ROOT, HarnessError, sandboxes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import FrameType

    from harness.sandboxes import Sandbox

LOG = ROOT / ".meltano" / "demo.log"
STATE_ID = "sandbox:tap-akuity-to-target-duckdb"
PIPELINE = ("tap-akuity", "target-duckdb")

REPORT = f"""
Who did what most

{{}}

The events are in {DATABASE.name}, in the table {TABLE}. The latest ones:

  .venv/bin/python -m demo.query "
    SELECT strftime(timestamp, '%Y-%m-%d %H:%M') AS time, action,
      left(actor->>'id', 20) AS who, object->>'type' AS object
    FROM {TABLE} ORDER BY timestamp DESC LIMIT 10"

Next, your own organization: fill in a copy of .env.example named .env, then

  .venv-meltano/bin/meltano run {" ".join(PIPELINE)}"""  # noqa: S608 - to be printed

_LOG_LINES = 40
_LOADED = re.compile(r"Loading (\d+) rows into")
_TOP = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; if it fails, print the reason in one sentence."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--records", type=int, default=5000, help="initial events")
    parser.add_argument("--new", type=int, default=40, help="new events between runs")
    parser.add_argument("--seed", type=int, default=1, help="seed of the events")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    try:
        _demo(options.records, options.new, options.seed)
    except KeyboardInterrupt:
        return _fail("Interrupted.", code=130)
    except (HarnessError, OSError, duckdb.Error) as error:
        _show_log()
        return _fail(str(error))
    return 0


def _demo(records: int, new: int, seed: int) -> None:
    warehouse = Warehouse(DATABASE)
    warehouse.clear()
    _say("The audit log of a made-up organization, from the API into DuckDB.")
    _say()
    with (
        LOG.open("ab") as errors,
        sandboxes.serve(
            f"--records={records}", f"--seed={seed}", stderr=errors
        ) as sandbox,
    ):
        _say(f"Sandbox      {sandbox.url} with {sandbox.records:,} events")
        meltano("state", "clear", "--force", STATE_ID, sandbox=sandbox, log=LOG)

        before = _run("First run", sandbox, warehouse)
        _say(f"             {before:,} events loaded")

        happened = len(sandbox.ask("POST", f"/sandbox/events?count={new}"))
        _say(f"Meanwhile    {happened:,} more events happen")

        end_of_first_run = LOG.stat().st_size
        total = _run("Second run", sandbox, warehouse)
        read = rows_loaded(LOG, since=end_of_first_run)
        _say(f"             {total - before:,} events added ({read:,} read)")

        problem = comparison.difference(
            map(comparison.from_api, sandbox.ask("GET", "/sandbox/events")),
            map(comparison.from_row, warehouse.rows()),
        )
    if problem:
        raise HarnessError(problem)
    if read >= total:
        message = "The second run was not incremental: it read every event again."
        raise HarnessError(message)
    _say(f"Check        the {total:,} rows are exactly the events of the sandbox")
    rows = table(warehouse.busiest(_TOP))
    _say(REPORT.format("\n".join(f"  {row}" for row in rows)))


def _run(title: str, sandbox: Sandbox, warehouse: Warehouse) -> int:
    """Run the pipeline, and return the number of rows afterwards."""
    _say(f"{title:12} meltano run {' '.join(PIPELINE)}")
    start = time.monotonic()
    # Without `--force`, a killed run would block the next one.
    meltano("run", "--force", *PIPELINE, sandbox=sandbox, log=LOG)
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


def _show_log() -> None:
    if LOG.exists():
        lines = LOG.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        sys.stderr.write("\n".join(["", f"The end of {LOG}:", "", *lines, "", ""]))


def _fail(sentence: str, *, code: int = 1) -> int:
    sys.stderr.write(f"{sentence}\n")
    return code


def _exit(number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that every `finally` block runs.
    raise SystemExit(128 + number)


def _say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
