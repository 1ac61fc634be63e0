"""The target for Elasticsearch, and a server that takes what it sends."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sandbox.truth import Row, instants
from tests.helpers.targets import Warehouse

INDEX = "audit-logs"


class Cluster(NamedTuple):
    """The documents of the index, by id."""

    url: str
    documents: dict[str, Row]


@contextlib.contextmanager
def serve_cluster() -> Iterator[Cluster]:
    """Keep documents as Elasticsearch does, for the block."""
    documents: dict[str, Row] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._respond(404, b"")  # There is no index yet.

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            keeps = urlsplit(self.path).path == "/_bulk"
            self._respond(200, _keep(body, documents) if keeps else b"{}")

        do_POST = do_PUT  # noqa: N815 - as http.server names them

        def _respond(self, status: int, body: bytes) -> None:
            self.send_response(status)
            # The client of Elasticsearch talks to nothing else.
            self.send_header("X-Elastic-Product", "Elasticsearch")
            media_type = "application/vnd.elasticsearch+json;compatible-with=9"
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Cluster(f"http://127.0.0.1:{server.server_port}", documents)
        server.shutdown()


def _keep(body: bytes, documents: dict[str, Row]) -> bytes:
    lines = [json.loads(line) for line in body.split(b"\n") if line]
    items = []
    for action, document in zip(lines[::2], lines[1::2], strict=True):
        assert action["index"]["_index"] == INDEX
        # Without an id, each would be a document of its own.
        name = action["index"].get("_id", f"{len(documents)}")
        documents[name] = document
        items.append({"index": {"_index": INDEX, "_id": name, "status": 200}})
    return json.dumps({"errors": False, "took": 1, "items": items}).encode()


class Elasticsearch(Warehouse):
    """Documents of an index."""

    command = "target-elasticsearch"
    server = "elasticsearch"

    def settings(self) -> dict[str, Any]:
        url = urlsplit(self._server.url)
        return {
            "scheme": "http",
            "host": url.hostname,
            "port": url.port,
            # By default, each day has its index, in which the same event is another.
            "index_format": INDEX,
            "metadata_fields": {"audit_logs": {"_id": "id"}},
        }

    def rows(self) -> list[Row]:
        return [instants(row) for row in self._server.documents.values()]
