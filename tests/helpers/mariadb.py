"""The target for MySQL, and a MariaDB of the tests' own, without a port."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sandbox.timestamps import SECOND
from tests.helpers.targets import STREAM, Warehouse, cut, instants
from tests.helpers.truth import OBJECTS, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = ("mariadbd", "mariadb-install-db", "my_print_defaults", "mariadb")
INSTALL = (
    "with Debian, apt-get install mariadb-server-core mariadb-client-core "
    "libmariadb-dev pkg-config gcc"
)

_SECONDS = 60
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

_QUIET = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "WARNING"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}

_COLUMNS = {
    "id": "id",
    "organization_id": "organization_id",
    "timestamp": "timestamp",
    "action": "action",
    "actor": "actor",
    "count": "count",
    "details": "details",
    "lastOccurredTimestamp": "last_occurred_timestamp",
    "object": "object",
}


class MariaDBServer(NamedTuple):
    """A running server."""

    socket: Path

    def ask(self, query: str) -> list[str]:
        """Give the lines of the result."""
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root"]
        command += ["--default-character-set=utf8mb4", "--batch", "--raw"]
        done = subprocess.run(
            [*command, "--skip-column-names", "--execute", query],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
        return done.stdout.split("\n")[:-1]

    def answers(self) -> bool:
        """Say whether it is ready."""
        try:
            self.ask("SELECT 1")
        except subprocess.CalledProcessError:
            return False
        return True


def missing_programs() -> list[str]:
    """Name what is not installed."""
    return [name for name in PROGRAMS if not shutil.which(name, path=_PATH)]


@contextlib.contextmanager
def serve_mariadb() -> Iterator[MariaDBServer]:
    """Run a server for as long as the block takes."""
    # The target commits each row, for which a disk would be slow.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
    place = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="tap-akuity-", dir=place))
    server = MariaDBServer(folder / "socket")
    options = ["--no-defaults", f"--datadir={folder / 'data'}"]
    options += ["--user=root"] if os.geteuid() == 0 else []
    install = ["mariadb-install-db", *options, "--skip-test-db"]
    install += ["--auth-root-authentication-method=normal"]
    try:
        subprocess.run(install, capture_output=True, check=True, timeout=_SECONDS)
        daemon = shutil.which("mariadbd", path=_PATH) or "mariadbd"
        command = [daemon, *options, f"--socket={server.socket}", "--skip-networking"]
        command += ["--innodb-flush-log-at-trx-commit=0"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait_for(server, process)
            yield server
        finally:
            process.kill()
            process.wait(_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(server: MariaDBServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not server.answers():
        assert process.poll() is None, "MariaDB did not start"
        assert time.monotonic() < deadline, "MariaDB does not answer"
        time.sleep(0.05)


class MariaDB(Warehouse):
    """A table in MariaDB. Times are cut to seconds, and a row stays as it came first.

    To the target, what is there already is only to be left alone: a `count` that grew
    is not taken over. The next release may know better.
    """

    # No later Python than 3.10 is allowed, and none is needed.
    requirements = (
        "--ignore-requires-python",
        "thk-target-mysql==0.1.3",
        "setuptools<81",
    )
    command = "target-mysql"
    server = "mariadb"
    upserts = True
    updates = False

    _databases = itertools.count(1)

    def __init__(self, folder: Path, server: MariaDBServer) -> None:
        super().__init__(folder)
        self._server = server
        self._database = f"audit_{next(self._databases)}"
        server.ask(f"CREATE DATABASE {self._database} CHARACTER SET utf8mb4")

    def settings(self) -> dict[str, Any]:
        options = f"unix_socket={self._server.socket}&charset=utf8mb4"
        url = f"mysql+mysqldb://root@localhost/{self._database}?{options}"
        return {"sqlalchemy_url": url}

    def variables(self) -> dict[str, str]:
        # It logs all records of the batch with each one, unless no handler takes them.
        path = self.folder / "logging.json"
        path.write_text(json.dumps(_QUIET), encoding="utf-8")
        return {"SINGER_SDK_LOG_CONFIG": str(path)}

    def rows(self) -> list[Row]:
        pairs = ", ".join(f"'{name}', `{to}`" for name, to in _COLUMNS.items())
        table = f"{self._database}.{STREAM}"
        query = f"SELECT JSON_OBJECT({pairs}) FROM {table}"  # noqa: S608 - ours
        return [self._read(json.loads(line)) for line in self._server.ask(query)]

    def _read(self, row: Row) -> Row:
        for name in OBJECTS:
            if isinstance(row[name], str):
                row[name] = json.loads(row[name])
        return instants(row, zone="Z")

    def stored(self, row: Row) -> Row:
        return cut(row, SECOND)
