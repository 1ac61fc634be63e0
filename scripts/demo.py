"""`make demo`: loads the sandbox into DuckDB, twice, and checks every row."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from textwrap import indent
from typing import IO, Any

import duckdb
from tabulate import tabulate

from sandbox import truth
from sandbox.data import Dataset
from sandbox.server import Sandbox
from scripts import ROOT, CommandError
from scripts.processes import inherited, started
from scripts.warehouse import DATABASE, TABLE, ask, rows

MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"
LOG = ROOT / ".meltano" / "demo.log"
PIPELINE = ("tap-akuity", "target-duckdb")
DATA = Dataset(5000, seed=1)

BUSIEST = f"""
    SELECT coalesce(actor->>'id', '-') AS who, coalesce(actor->>'type', '-') AS type,
           coalesce(action, '-') AS action, coalesce(object->>'type', '-') AS object,
           count(*) AS events
    FROM {TABLE}
    GROUP BY ALL
    ORDER BY events DESC, 1, 2, 3, 4
    LIMIT 10"""  # noqa: S608

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

_say = partial(print, flush=True)
_LOADED = re.compile(r"Loading (\d+) rows into")
_FOREIGN_SETTINGS = ("MELTANO_", "SANDBOX_", "TAP_AKUITY_", "TARGET_DUCKDB_")


def main() -> int:
    """Run the demo; if it fails, print the reason in one sentence."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # An exception, so that every `finally` block runs.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    try:
        with LOG.open("ab") as log, Sandbox(DATA) as sandbox:
            _demo(sandbox, log)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130
    except (CommandError, OSError, subprocess.SubprocessError, duckdb.Error) as error:
        end = LOG.read_text(errors="replace").splitlines()[-40:]
        lines = ["", f"The end of {LOG}:", "", *end, "", str(error), ""]
        sys.stderr.write("\n".join(lines))
        return 1
    return 0


def _demo(sandbox: Sandbox, log: IO[Any]) -> None:
    for name in (DATABASE.name, f"{DATABASE.name}.wal"):
        DATABASE.with_name(name).unlink(missing_ok=True)
    _say("The audit log of a made-up organization, from the API into DuckDB.\n")
    _say(f"Sandbox      {sandbox.url} with {len(sandbox.store):,} events")
    # Without the state that an earlier demo has left.
    before = len(_run("First run", sandbox, log, "--full-refresh"))
    _say(f"             {before:,} events loaded")

    happened = sandbox.state.happen(40)
    _say(f"Meanwhile    {len(happened):,} more events happen")

    end_of_first_run = LOG.stat().st_size
    found = _run("Second run", sandbox, log)
    text = LOG.read_bytes()[end_of_first_run:].decode(errors="replace")
    read, total = sum(map(int, _LOADED.findall(text))), len(found)
    _say(f"             {total - before:,} events added ({read:,} read)")

    # target-duckdb stores empty text as NULL, and names in lower case.
    expected = {
        name: truth.stored(row, blanks=False, lower=True)
        for name, row in truth.truth(sandbox).items()
    }
    if problems := truth.differences(expected, found):
        message = f"DuckDB does not hold the sandbox's events: {'; '.join(problems)}."
        raise CommandError(message)
    if read >= total:
        message = "The second run was not incremental: it read every event again."
        raise CommandError(message)
    _say(f"Check        the {total:,} rows are exactly the events of the sandbox")
    columns, busiest = ask(DATABASE, BUSIEST)
    texts = [0, 1, 2, 3]
    table = tabulate(busiest, columns, "plain", intfmt=",", disable_numparse=texts)
    _say(REPORT.format(indent(table, "  ")))


def _run(title: str, sandbox: Sandbox, log: IO[Any], *options: str) -> list[truth.Row]:
    """Run the pipeline, and return the rows afterwards."""
    _say(f"{title:12} meltano run {' '.join(PIPELINE)}")
    start = time.monotonic()
    # Without `--force`, a killed run would block the next one.
    meltano("run", "--force", *options, *PIPELINE, sandbox=sandbox, log=log)
    _say(f"             done in {time.monotonic() - start:.1f} s")
    return rows(DATABASE)


def meltano(*arguments: str, sandbox: Sandbox, log: IO[Any]) -> None:
    """Run Meltano in its environment `sandbox`, with its output in a log.

    Ignores the settings of a real organization, whether in `.env` or exported.
    """
    command = [str(MELTANO), "--environment=sandbox", f"--env-file={os.devnull}"]
    environment = inherited(*_FOREIGN_SETTINGS) | {
        "SANDBOX_URL": sandbox.url,
        "SANDBOX_ORGANIZATION_ID": sandbox.organization_id,
        "SANDBOX_API_KEY_ID": sandbox.api_key_id,
        "SANDBOX_API_KEY_SECRET": sandbox.api_key_secret,
        "NO_COLOR": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # Keep Meltano's logs in this folder, not in the home directory.
        "XDG_STATE_HOME": str(ROOT / ".meltano" / "state"),
    }
    command += arguments
    with started(
        command, ROOT, environment, patience=10, stdout=log, stderr=subprocess.STDOUT
    ) as process:
        code = process.wait(600)
    if code != 0:
        message = f"`meltano {' '.join(arguments)}` failed with exit code {code}."
        raise CommandError(message)


if __name__ == "__main__":
    sys.exit(main())
