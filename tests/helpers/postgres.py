"""A PostgreSQL of the tests' own, without a port."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from harness import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).with_name("serve_postgres.py")

_START_SECONDS = 60
_STOP_SECONDS = 30
_ASK_SECONDS = 60


class Postgres(NamedTuple):
    """A running server."""

    uri: str
    psql: str

    def connection(self) -> dict[str, Any]:
        """Give it as a connection of Airflow, which wants the password yet."""
        uri = urlsplit(self.uri)
        return {
            "conn_type": "postgres",
            "login": uri.username,
            "schema": uri.path.removeprefix("/"),
            "extra": dict(parse_qsl(uri.query)),
        }

    def database(self, name: str) -> Postgres:
        """Give another database of the server."""
        return self._replace(uri=urlsplit(self.uri)._replace(path=f"/{name}").geturl())

    def ask(self, query: str) -> list[str]:
        """Give the answer's lines."""
        command = [self.psql, self.uri, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_ASK_SECONDS
        )
        # Not `splitlines`, which also splits at what is no end of a line to psql.
        return done.stdout.split("\n")[:-1]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Give the rows of a table, as PostgreSQL itself writes them as JSON."""
        lines = self.ask(f"SELECT row_to_json(t) FROM {table} t")  # noqa: S608 - ours
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def serve(commands: Path) -> Iterator[Postgres]:
    """Run a server for as long as the block takes.

    Args:
        commands: The folder with the commands of an environment that has one.

    Raises:
        HarnessError: It does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="tap-akuity-"))
    command = [str(commands / "python"), str(SCRIPT), str(folder / "data")]
    # There go its lock, and its socket should the path to the data be too long.
    environment = os.environ | {"XDG_RUNTIME_DIR": str(folder), "TZ": "UTC"}
    try:
        with (
            (folder / "errors").open("w+", encoding="utf-8") as errors,
            subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield _first_words(process, folder / "errors")
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(_STOP_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _first_words(process: subprocess.Popen[str], errors: Path) -> Postgres:
    timer = threading.Timer(_START_SECONDS, process.terminate)
    timer.start()
    assert process.stdout is not None
    try:
        return Postgres(**json.loads(process.stdout.readline()))
    except ValueError as error:
        process.wait(_STOP_SECONDS)
        said = errors.read_text(encoding="utf-8").splitlines()
        why = said[-1] if said else f"exit code {process.returncode}"
        msg = f"PostgreSQL did not start: {why}"
        raise HarnessError(msg) from error
    finally:
        timer.cancel()
