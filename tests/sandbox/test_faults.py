"""How the sandbox misbehaves, and that it outlives it."""

from __future__ import annotations

import socket
import time
import zlib
from collections import Counter
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from sandbox.faults import KINDS, Faults, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from tests.helpers.sandbox import ITEMS, Client, assert_refused, plan

if TYPE_CHECKING:
    from collections.abc import Callable


def test_faults_come_at_their_rate_from_their_seed():
    def picks(seed: int) -> list[str | None]:
        faults = Faults(Plan(("500", "503"), rate=0.3, seed=seed))
        return [faults.pick() for _ in range(1000)]

    assert picks(1) == picks(1) != picks(2)
    counts = Counter(picks(1))
    assert 600 < counts[None] < 800
    assert min(counts["500"], counts["503"]) > 100
    faults = Faults(Plan(("500",), times=2, after=1))
    assert [faults.pick() for _ in range(5)] == [None, "500", "500", None, None]


GATEWAY = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 499: 1, 500: 13, 501: 12}


@pytest.mark.parametrize(("status", "code"), [*GATEWAY.items(), (503, 14), (504, 4)])
def test_fault_errors_of_the_gateway(client, status, code):
    plan(client, str(status), times=1)
    # A fault waits for a request that is right.
    assert_refused(client.get(auth=("wrong", "wrong")), 401, 16)
    assert_refused(client.get("filters.limit=x"), 400, 3)
    response = client.get()
    assert_refused(response, status, code)
    assert "retry-after" not in response.headers
    assert client.get().ok
    assert client.server.state.stats.faults == {str(status): 1}


@pytest.mark.parametrize("kind", ["502", *map(str, range(520, 528)), "not-json"])
def test_fault_html_of_what_stands_before(client, kind):
    plan(client, kind)
    response = client.get()
    assert response.status_code == (int(kind) if kind.isdigit() else 200)
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_fault_retry_after(client, form):
    plan(client, f"429-retry-after-{form}")
    response = client.get()
    assert_refused(response, 429, 8)
    after = response.headers["retry-after"]
    if form == "date":
        now = parsedate_to_datetime(response.headers["date"])
        assert parsedate_to_datetime(after) > now
    else:
        assert after == "1"
    plan(client, f"429-retry-after-{form}", retry_after="soon")
    assert client.get().headers["retry-after"] == "soon"


def received(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read until the server closes; give head and body as they came."""
    with connection:
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.lower(), body


def test_faults_that_close(client):
    length = len(client.get().content)
    plan(client, "close-before")
    assert received(client.ask()) == (b"", b"")
    plan(client, "close-mid-length")
    head, body = received(client.ask())
    assert f"content-length: {length}".encode() in head
    assert len(body) == length // 2
    plan(client, "close-mid-chunked")
    head, body = received(client.ask())
    assert b"200 ok" in head
    assert b"transfer-encoding: chunked" in head
    assert body
    assert not body.endswith(b"0\r\n\r\n")


def test_faults_that_keep_one_waiting(client):
    whole = client.get("filters.limit=1").content
    plan(client, "trickle", trickle_seconds=0)
    assert client.get("filters.limit=1").content == whole
    plan(client, "trickle", trickle_seconds=60)
    with client.ask() as connection:
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2]:
            answer += connection.recv(65536)
        assert answer.endswith(b"\r\n\r\n{")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    plan(client, "hang")
    with client.ask() as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            received(connection)


def test_fault_endless_body(client):
    plan(client, "endless-body")
    with client.get(stream=True) as response:
        assert "content-length" not in response.headers
        size = 0
        for chunk in response.iter_content(1 << 20):
            size += len(chunk)
            if size > 20 << 20:
                break
        assert size > 20 << 20


PAGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "items-missing": lambda page: {"totalCount": page["totalCount"]},
    "items-null": lambda page: page | {"items": None},
    "items-object": lambda page: page | {"items": {}},
    "total-missing": lambda page: {"items": page["items"]},
    "total-string": lambda page: page | {"totalCount": str(page["totalCount"])},
}


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("spaces", [False, True])
def test_fault_members(client, kind, spaces):
    client.behave(spaces=spaces)
    page = client.get().json()
    plan(client, kind)
    assert client.get().json() == PAGES[kind](page)


def test_fault_json(client):
    whole = client.get().content
    plan(client, "cut-json")
    assert client.get().content == whole[: len(whole) // 2]
    plan(client, "deep-json")
    body = client.get().content
    assert body.startswith(b'{"items":[[[[')
    assert body.count(b"[") == body.count(b"]") == 100_000
    plan(client, "huge-number")
    assert client.get().content.endswith(b":" + b"9" * 10_000 + b"}")


def test_faults_of_compression(client):
    plan(client, "bad-gzip")
    with pytest.raises(requests.exceptions.ContentDecodingError):
        client.get()
    plan(client, "gzip-bomb")
    with client.get(stream=True) as response:
        assert response.headers["content-encoding"] == "gzip"
        packed = response.raw.read(decode_content=False)
    assert len(packed) < 2 << 20
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(packed) == b'{"items":['
    member = reader.unused_data
    reader = zlib.decompressobj(wbits=31)
    assert len(reader.decompress(member)) == 1 << 24
    size = len(member) - len(reader.unused_data)
    assert len(packed) // size * (1 << 24) >= 1 << 30


def test_faults_that_lead_astray(client):
    plan(client, "redirect", location="https://evil.example/")
    response = client.get()
    assert response.status_code == 302
    assert response.headers["location"] == "https://evil.example/"
    plan(client, "escape-message")
    message = assert_refused(client.get(), 400, 3)
    for character in ("\x1b", "\x9b", "\x07", "\r\n", "\x00", "\x7f", "\u202e"):
        assert character in message


def test_the_server_outlives_every_fault_and_every_client_that_leaves(client):
    for kind in KINDS:
        plan(client, kind, times=1)
        with client.ask() as connection:
            connection.recv(100)
    client.server.state.faults = Faults()
    assert client.get().ok


@pytest.mark.parametrize("kind", ["hang", "trickle", "endless-body", None])
def test_the_end_comes_within_a_second(kind):
    options = Options(latency_seconds=0 if kind else 60)
    faults = Plan((kind,)) if kind else None
    with ExitStack() as stack:
        server = stack.enter_context(Sandbox(ITEMS, options=options, faults=faults))
        client = Client(server)
        with client.session, client.ask() as connection:
            if kind:
                assert connection.recv(1)
            begin = time.monotonic()
            stack.close()
            assert time.monotonic() - begin < 1
        with pytest.raises(ConnectionRefusedError):
            client.ask()


def test_small_answers_are_not_held_back(client):
    client.get()
    server = client.server._server
    for connection in server.server_state.connections:
        found = connection.transport.get_extra_info("socket")
        # Nagle's algorithm would make every small answer take 40 ms.
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
