"""The target for Elasticsearch, and a server that takes what it sends."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from tests.helpers.targets import Warehouse, cut, instants

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.truth import Row

INDEX = "audit-logs"


class Cluster(NamedTuple):
    """Documents, by index and id."""

    url: str
    documents: dict[tuple[str, str], Row]


@contextlib.contextmanager
def serve_cluster() -> Iterator[Cluster]:
    """Keep documents as Elasticsearch does, for as long as the block takes."""
    documents: dict[tuple[str, str], Row] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(404, b"")  # There is no index yet.

        def do_PUT(self) -> None:
            body = self._body()
            if urlsplit(self.path).path == "/_bulk":
                self._answer(200, _keep(body, documents))
            else:
                self._answer(200, b'{"acknowledged": true}')

        do_POST = do_PUT  # noqa: N815 - as http.server names them

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            # The client of Elasticsearch talks to nothing else.
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header(
                "Content-Type", "application/vnd.elasticsearch+json;compatible-with=9"
            )
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield Cluster(f"http://127.0.0.1:{server.server_port}", documents)
        finally:
            server.shutdown()
            thread.join()


def _keep(body: bytes, documents: dict[tuple[str, str], Row]) -> bytes:
    # Not `splitlines`, which also splits at what JSON leaves as it is.
    lines = [json.loads(line) for line in body.split(b"\n") if line]
    items: list[dict[str, Any]] = []
    for action, document in zip(lines[::2], lines[1::2], strict=True):
        to = action["index"]
        # Without an id, each would be a document of its own.
        name = to.get("_id", f"{len(documents)}")
        documents[to["_index"], name] = document
        items.append({"index": {"_index": to["_index"], "_id": name, "status": 200}})
    return json.dumps({"errors": False, "took": 1, "items": items}).encode()


class Elasticsearch(Warehouse):
    """Documents of an index. Times are cut to microseconds."""

    requirements = ("target-elasticsearch==2.1.0",)
    command = "target-elasticsearch"
    server = "elasticsearch"
    upserts = True

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        super().__init__(folder)
        self._cluster = cluster

    def settings(self) -> dict[str, Any]:
        url = urlsplit(self._cluster.url)
        return {
            "scheme": "http",
            "host": url.hostname,
            "port": url.port,
            # The index of the day by default, where the same event would be another.
            "index_format": INDEX,
            "metadata_fields": {"audit_logs": {"_id": "id"}},
        }

    def rows(self) -> list[Row]:
        return [instants(one) for one in self._cluster.documents.values()]

    def stored(self, row: Row) -> Row:
        return cut(row)
