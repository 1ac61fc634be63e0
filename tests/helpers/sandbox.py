"""What the tests of the sandbox share."""

from __future__ import annotations

import json
import socket
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from sandbox.data import Dataset
from sandbox.query import Query
from sandbox.store import Behaviour, Store
from sandbox.timestamps import from_record, from_rfc3339, to_go

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.data import Item
    from sandbox.server import Sandbox


UNTIL = datetime(2025, 11, 21, 16, 30, tzinfo=timezone.utc)
UNTIL_NS = from_rfc3339("2025-11-21T16:30:00Z")


def generate(*values: Any) -> list[Item]:
    return list(Dataset(*values))


ITEMS = generate(250, 1, UNTIL)
ORGANIZATION = "/api/v1/organizations/sandbox"
PATH = f"{ORGANIZATION}/audit-logs"
API_KEY = "/api/v1/apikeys/sandbox-key-id"


def instant(item: Item) -> int:
    return from_record(item["timestamp"])


def event(ns: int, name: str = "event", **members: Any) -> Item:
    return {
        "timestamp": to_go(ns),
        "action": "created",
        "actor": {"type": "user", "id": "ana"},
        "details": {"message": name},
        "count": 1,
        "lastOccurredTimestamp": to_go(ns),
        **members,
    }


def name(item: Item) -> str:
    return str(item["details"]["message"])


def reach(item: Any, path: Iterable[str]) -> Any:
    for step in path:
        item = item and item.get(step)
    return item


def names(store: Store, **query: Any) -> list[str]:
    rows, _ = store.query(Query(**{"limit": 100, **query}))
    return [name(json.loads(row)) for row in rows]


class Client:
    """A session with the running sandbox."""

    def __init__(self, server: Sandbox) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (server.api_key_id, server.api_key_secret)

    def get(self, query: str = "", path: str = PATH, **options: Any) -> Any:
        url = f"{self.server.url}{path}?{query}"
        options = {"timeout": 5, "allow_redirects": False, **options}
        return self.session.get(url, **options)

    def post(self, path: str, content: Any = None) -> Any:
        return self.session.post(self.server.url + path, json=content, timeout=5)

    def behave(self, **options: Any) -> None:
        self.server.state.store = Store(ITEMS, Behaviour(**options))

    def ask(self) -> socket.socket:
        """Send a request, and leave the answer to be read."""
        port = urlsplit(self.server.url).port or 0
        connection = socket.create_connection(("127.0.0.1", port), 5)
        credentials = "c2FuZGJveC1rZXktaWQ6c2FuZGJveC1rZXktc2VjcmV0"
        connection.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Basic {credentials}\r\n\r\n".encode()
        )
        return connection


def assert_refused(response: requests.Response, status: int, code: int) -> str:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["code", "message", "details"]
    assert (body["code"], body["details"]) == (code, [])
    assert body["message"]
    return str(body["message"])


def plan(client: Client, *kinds: str, **fields: Any) -> None:
    assert client.post("/sandbox/faults", {"kinds": kinds, **fields}).status_code == 200
