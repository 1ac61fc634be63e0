"""The target for MySQL, and a MariaDB of the tests' own, without a port."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sandbox.timestamps import SECOND
from sandbox.truth import COLUMNS, OBJECTS, Row
from tests.helpers.commands import write
from tests.helpers.targets import STREAM, Warehouse, from_json

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

INSTALLED = shutil.which("mariadbd", path=_PATH) is not None


class MariaDBServer(NamedTuple):
    """A running server."""

    socket: Path

    def run(self, query: str) -> str:
        """Return the result as text."""
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root"]
        command += ["--default-character-set=utf8mb4", "--batch", "--raw"]
        command += ["--skip-column-names", "--execute", query]
        return subprocess.check_output(command, text=True, timeout=60)


@contextlib.contextmanager
def serve_mariadb() -> Iterator[MariaDBServer]:
    """Run a server for the block."""
    environment = os.environ | {"PATH": _PATH}
    with tempfile.TemporaryDirectory(prefix="tap-akuity-") as folder:
        socket = Path(folder) / "socket"
        options = ["--no-defaults", f"--datadir={folder}/data"]
        options += ["--user=root"] if os.geteuid() == 0 else []
        install = ["mariadb-install-db", *options, "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal"]
        subprocess.run(
            install, env=environment, stdout=subprocess.DEVNULL, check=True, timeout=60
        )
        serve = ["mariadbd", *options, f"--socket={socket}", "--skip-networking"]
        # The target commits each row, for which a disk would be slow.
        serve += ["--innodb-flush-log-at-trx-commit=0"]
        with subprocess.Popen(serve, env=environment) as process:
            try:
                while not socket.exists():
                    assert process.poll() is None, "MariaDB did not start"
                    time.sleep(0.05)
                yield MariaDBServer(socket)
            finally:
                process.kill()


class MariaDB(Warehouse):
    """A table in MariaDB, where a row stays as it came first."""

    # No later Python than 3.10 is allowed, and none is needed.
    options = ("--ignore-requires-python",)
    command = "target-mysql"
    server = "mariadb"
    updates = False
    unit = SECOND

    def settings(self) -> dict[str, Any]:
        self._server.run(f"CREATE DATABASE IF NOT EXISTS {self._name} CHARSET utf8mb4")
        options = f"unix_socket={self._server.socket}&charset=utf8mb4"
        url = f"mysql+mysqldb://root@localhost/{self._name}?{options}"
        return {"sqlalchemy_url": url}

    def variables(self) -> dict[str, str]:
        # By default, it logs all records of a batch with each of them.
        quiet = {"version": 1, "root": {"level": "WARNING"}}
        path = write(self.folder / "logging.json", quiet)
        return {"SINGER_SDK_LOG_CONFIG": str(path)}

    def rows(self) -> list[Row]:
        snake = {"lastOccurredTimestamp": "last_occurred_timestamp"}
        pairs = ", ".join(f"'{name}', `{snake.get(name, name)}`" for name in COLUMNS)
        query = f"SELECT JSON_OBJECT({pairs}) FROM {self._name}.{STREAM}"  # noqa: S608
        rows = from_json(self._server.run(query))
        for row in rows:
            for name in OBJECTS:
                if isinstance(row[name], str):
                    row[name] = json.loads(row[name])
        return rows
