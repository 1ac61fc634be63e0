"""`make demo`: loads the sandbox into DuckDB, twice, and checks every row."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, Any, NoReturn

import duckdb

from sandbox import truth
from scripts import ROOT, CommandError
from scripts.processes import inherited, started
from scripts.sandboxes import Sandbox, serve
from scripts.warehouse import DATABASE, TABLE, ask, rows

MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"
LOG = ROOT / ".meltano" / "demo.log"
PIPELINE = ("tap-akuity", "target-duckdb")

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


_LOADED = re.compile(r"Loading (\d+) rows into")
_RUN_SECONDS = 600
_STOP_SECONDS = 10
_FOREIGN_SETTINGS = ("MELTANO_", "SANDBOX_", "TAP_AKUITY_", "TARGET_DUCKDB_")


def main() -> int:
    """Run the demo; if it fails, print the reason in one sentence."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    LOG.parent.mkdir(exist_ok=True)
    LOG.unlink(missing_ok=True)
    try:
        with (
            LOG.open("ab") as log,
            serve("--records=5000", "--seed=1", stderr=log) as sandbox,
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
    for name in (DATABASE.name, f"{DATABASE.name}.wal"):
        DATABASE.with_name(name).unlink(missing_ok=True)
    _say("The audit log of a made-up organization, from the API into DuckDB.\n")
    _say(f"Sandbox      {sandbox.url} with {sandbox.records:,} events")
    # Without the state that an earlier demo has left.
    before = len(_run("First run", sandbox, log, "--full-refresh"))
    _say(f"             {before:,} events loaded")

    happened = len(sandbox.ask("POST", "/sandbox/events?count=40"))
    _say(f"Meanwhile    {happened:,} more events happen")

    end_of_first_run = LOG.stat().st_size
    found = _run("Second run", sandbox, log)
    text = LOG.read_bytes()[end_of_first_run:].decode(errors="replace")
    read, total = sum(map(int, _LOADED.findall(text))), len(found)
    _say(f"             {total - before:,} events added ({read:,} read)")

    items = sandbox.ask("GET", "/sandbox/events")
    expected = truth.rows_by_id(items, sandbox.organization_id)
    # target-duckdb stores empty text as NULL, and names in lower case.
    wanted = {
        name: truth.stored(row, blanks=False, lower=True)
        for name, row in expected.items()
    }
    if problems := truth.differences(wanted, found):
        message = f"DuckDB does not hold the sandbox's events: {'; '.join(problems)}."
        raise CommandError(message)
    if read >= total:
        message = "The second run was not incremental: it read every event again."
        raise CommandError(message)
    _say(f"Check        the {total:,} rows are exactly the events of the sandbox")
    lines = [f"  {line}" for line in table(*ask(DATABASE, BUSIEST))]
    _say(REPORT.format("\n".join(lines)))


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

    Raises:
        CommandError: Meltano is not installed, failed, or took too long.
    """
    if not MELTANO.exists():
        message = "Meltano is not installed: run `make demo`."
        raise CommandError(message)
    command = [str(MELTANO), "--environment=sandbox", f"--env-file={os.devnull}"]
    command += arguments
    name = " ".join(["meltano", *arguments])
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
    streams = {"stdout": log, "stderr": subprocess.STDOUT}
    with started(
        command, ROOT, environment, patience=_STOP_SECONDS, **streams
    ) as process:
        try:
            code = process.wait(_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            message = f"`{name}` took longer than {_RUN_SECONDS} seconds."
            raise CommandError(message) from None
    if code != 0:
        message = f"`{name}` failed with exit code {code}."
        raise CommandError(message)


def table(names: Sequence[str], found: Sequence[tuple[Any, ...]]) -> list[str]:
    """Lay out rows in columns, the last one aligned right."""
    cells = [names, *((*words, f"{events:,}") for *words, events in found)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join([*map(str.ljust, words, widths), last.rjust(widths[-1])])
        for *words, last in cells
    ]


def _exit(number: int, _frame: object) -> NoReturn:
    # An exception, so that every `finally` block runs.
    raise SystemExit(128 + number)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
