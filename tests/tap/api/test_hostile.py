"""What a hostile or broken peer may cost: memory, time, and nothing of the key."""

from __future__ import annotations

import base64
import functools
import gzip
import itertools
import json
import logging
import ssl
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import backoff
import pytest
import trustme
from requests.auth import HTTPBasicAuth
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.client import AkuityClient
from tap_akuity.api.query import Query
from tests.helpers.peer import (
    ROOT_HEADERS,
    Peer,
    config_at,
    page,
    run_measured,
    run_tap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

QUERY = Query(0, 10**18, 0, 100)
MEGABYTE = b" " * (1 << 20)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ELSEWHERE = b"Location: /elsewhere\r\n"  # Of redirects; others may have it.
ENDLESS = 700  # MB; more than any bound below.

ONE_RESPONSE = 125.0
"""MB of the process with one request at a time: Python and the SDK take 50 of them."""

ANY_SERVER = 400.0
"""MB of the process at the default settings, as SECURITY.md says."""


def client_at(peer: Peer, **options: Any) -> AkuityClient:
    given = {
        "auth": HTTPBasicAuth("kid-7f3a9c2e1b", "Zx81-qWertz-99aB"),
        "headers": {},
        "timeout": 30,
        "max_attempts": 1,
        "logger": logging.getLogger("client"),
        **options,
    }
    return AkuityClient(f"{peer.url}/logs", **given)


def status_line(status: int, headers: bytes = b"") -> bytes:
    first = b"HTTP/1.1 %d Some\r\nConnection: close\r\n" % status
    return first + b"Content-Type: application/json\r\n%b\r\n" % headers


def chunk_of_no_size(status: int) -> Iterator[bytes]:
    yield status_line(status, ELSEWHERE + CHUNKED) + b"-1\r\n"
    yield from itertools.repeat(MEGABYTE, ENDLESS)


def endless(status: int) -> Iterator[bytes]:
    yield status_line(status, ELSEWHERE)
    yield from itertools.repeat(MEGABYTE, ENDLESS)


def bomb(status: int, layers: int) -> Iterator[bytes]:
    """Send about one MB that unpacks to one GB, or a few KB with two layers."""
    body = gzip.compress(bytes(1 << 24), mtime=0) * 64
    if layers == 2:
        body = gzip.compress(body, mtime=0)
    encodings = b", ".join([b"gzip"] * layers)
    yield status_line(status, ELSEWHERE + b"Content-Encoding: %b\r\n" % encodings)
    yield body


def endless_headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from itertools.repeat(b"X-A: " + b"a" * 60_000 + b"\r\n", 20_000)


def endless_continue() -> Iterator[bytes]:
    yield from itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000, 10_000)


def endless_extensions() -> Iterator[bytes]:
    yield status_line(200, CHUNKED)
    yield from itertools.repeat(b"1;" + b"x" * 60_000 + b"\r\n \r\n", 20_000)


ANSWERS: dict[str, Callable[[], Iterable[bytes]]] = {
    "a chunk of no size": lambda: chunk_of_no_size(200),
    "a chunk of no size in an error": lambda: chunk_of_no_size(500),
    "a chunk of no size in a redirect": lambda: chunk_of_no_size(302),
    "an endless page": lambda: endless(200),
    "an endless error": lambda: endless(503),
    "an endless redirect": lambda: endless(302),
    "a bomb": lambda: bomb(200, 1),
    "a bomb in a redirect": lambda: bomb(307, 1),
    "a bomb in an error": lambda: bomb(500, 1),
    "a nested bomb": lambda: bomb(200, 2),
    "a nested bomb in an error": lambda: bomb(500, 2),
    "endless headers": endless_headers,
    "endless preliminaries": endless_continue,
    "endless sizes of chunks": endless_extensions,
}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("kind", ANSWERS)
def test_no_response_costs_more_memory_than_allowed(tmp_path: Path, kind: str) -> None:
    with Peer(lambda _: ANSWERS[kind]()) as peer:
        run = run_tap(config_at(tmp_path / "config", peer, page_size=4, concurrency=1))
    assert run.code == 1
    assert run.last_line.isprintable()
    assert "Traceback" not in run.stderr
    assert run.megabytes < ONE_RESPONSE
    # Up to three pages are asked for, each smaller than the last.
    assert peer.sent < 3 * 40 << 20


@pytest.mark.parametrize("kind", ["a chunk of no size", "an endless redirect"])
def test_nor_over_tls(
    tmp_path: Path, kind: str, authority: trustme.CA, context: ssl.SSLContext
) -> None:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    with Peer(lambda _: ANSWERS[kind](), context) as peer:
        config = config_at(tmp_path / "config", peer, page_size=4, concurrency=1)
        run = run_tap(config, REQUESTS_CA_BUNDLE=str(bundle))
    assert run.code == 1
    assert "not trusted" not in run.last_line
    assert run.megabytes < ONE_RESPONSE
    assert peer.sent < 3 * 40 << 20


FETCHING = """
import json, logging, sys, threading
from requests.auth import HTTPBasicAuth
from tap_akuity.tap import TapAkuity
from tap_akuity.api.query import Query
tap = TapAkuity(config=json.load(open(sys.argv[1])))
client = tap.streams["audit_logs"].client
pages = []
def fetch():
    for _ in range(2):
        pages.append(client.fetch(Query(0, 10**18, 0, 500)))
threads = [threading.Thread(target=fetch) for _ in range(tap.config["concurrency"])]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert len(pages) == 8, len(pages)
assert all(len(memoryview(page.items)) > 7 << 20 for page in pages)
"""


def test_eight_of_the_largest_pages_at_the_default_settings(tmp_path: Path) -> None:
    """Four that wait, and four that come, at the default `concurrency`."""
    letters = "é😀".encode() * (1 << 18)
    items = b'{"a":"' + letters * 5 + b'"}'
    assert 7 << 20 < len(items) < 8 << 20
    with Peer(lambda _: [page(items, 1)]) as peer:
        config = config_at(tmp_path / "config", peer)
        run = run_measured([sys.executable, "-c", FETCHING, str(config)])
    assert run.code == 0, run.stderr
    assert run.megabytes < ANY_SERVER / 2  # The rest is for what is read of them.


def everywhere(size: int, total: int, request: bytes) -> list[bytes]:
    """Give as many events as are asked for, each so large, in whatever range."""
    path = urlsplit(request.split(b" ", 2)[1].decode()).query
    (start,), (end,), (offset,), (limit,) = (
        parse_qs(path)[f"filters.{name}"]
        for name in ("startTime", "endTime", "offset", "limit")
    )
    first, last = (datetime.fromisoformat(one[:19]) for one in (start, end))
    events = [
        {
            "timestamp": f"{(last - (last - first) * min(n / total, 1)).isoformat()}Z",
            "action": f"{n}",
            "details": {"patch": "x" * size},
        }
        for n in range(int(offset), int(offset) + int(limit))
    ]
    return [page(json.dumps(events).encode()[1:-1], total)]


def repeated(item: bytes, count: int) -> Callable[[bytes], list[bytes]]:
    return lambda _: [page(b",".join([item] * count), 500)]


DATED = b'{"timestamp":"2025-02-01T00:00:00Z"'
SERVERS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "large pages in every range": functools.partial(everywhere, 15_000, 12_000),
    "large pages, and many": functools.partial(everywhere, 15_000, 10**6),
    "items without anything": repeated(b"{}", 2_700_000),
    "small items": repeated(DATED + b"}", 210_000),
    "items of empty lists": repeated(DATED + b',"x":[[[[[[[[]]]]]]]]}', 130_000),
    "an item of many members": lambda _: [
        page(DATED + b"".join(b',"%d":0' % n for n in range(600_000)) + b"}", 1)
    ],
}


@pytest.mark.parametrize("name", SERVERS)
def test_no_server_costs_more_memory_than_promised(tmp_path: Path, name: str) -> None:
    with Peer(SERVERS[name]) as peer:
        run = run_tap(config_at(tmp_path / "config", peer))
    assert run.megabytes < ANY_SERVER, run.last_line


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
@pytest.mark.parametrize("member", ["timestamp", "lastOccurredTimestamp"])
def test_what_is_quoted_is_bounded(tmp_path: Path, member: str, level: str) -> None:
    good = {"timestamp": "2025-02-01T00:00:00Z"}
    items = record(**good | {member: "soon" * (3 << 19)})
    with Peer(lambda _: [page(items, 1)]) as peer:
        config = config_at(tmp_path / "config", peer)
        run = run_tap(config, TAP_AKUITY_LOGLEVEL=level)
    assert "cannot be read, so the sync stops before it" in run.last_line
    assert len(run.last_line) < 1000
    assert len(run.stderr) < 200_000
    assert run.megabytes < ANY_SERVER


@pytest.mark.parametrize(
    "answer",
    [
        lambda: endless_slowly(b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        lambda: endless_slowly(status_line(200), b" "),
        lambda: endless_slowly(status_line(200, CHUNKED), b"1\r\n \r\n"),
        lambda: endless_slowly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_nothing_reads_on_when_the_time_is_over(
    answer: Callable[[], Iterable[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.001)
    with Peer(lambda _: answer()) as peer:
        client = client_at(peer, timeout=0.3, max_attempts=3)
        client._logger.disabled = True
        began = time.monotonic()
        with pytest.raises(FatalAPIError, match=r"within 0\.3 seconds\)\. Attempts: 3"):
            client.fetch(QUERY)
        assert time.monotonic() - began < 10
        deadline = time.monotonic() + 5
        while peer.open:
            assert time.monotonic() < deadline, "the connection is still read"
            time.sleep(0.01)
        assert peer.connections == 3


def test_a_status_counts_though_its_body_has_no_end() -> None:
    with Peer(lambda _: endless_slowly(status_line(401), b" ")) as peer:
        with pytest.raises(FatalAPIError, match=r"^Akuity refused the API key"):
            client_at(peer, timeout=0.3, max_attempts=3).fetch(QUERY)
        assert peer.connections == 1


def endless_slowly(before: bytes, data: bytes) -> Iterator[bytes]:
    yield before
    while True:
        yield data
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            b"HTTP/1.1 302 Found\r\nLocation: //[\r\nContent-Length: 0\r\n\r\n",
            "redirects to nowhere, where the API key must not go: correct `api_url`",
        ),
        (
            ROOT_HEADERS + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
            "Could not get a response from http://127.0.0.1:",
        ),
        (
            ROOT_HEADERS + b"Content-Length: 500\r\n\r\n{",
            "(the connection was closed in the middle of the response). Attempts: 1.",
        ),
        (
            status_line(200, CHUNKED) + b"40\r\n{",
            "(the connection was closed in the middle of the response). Attempts: 1.",
        ),
        (
            status_line(200, CHUNKED) + b"-1\r\n{",
            "(the size of a chunk is malformed). Attempts: 1.",
        ),
        (
            status_line(200, b"Content-Encoding: gzip\r\n") + b"{}",
            "could not be decoded: check the proxy, which may have changed it, and "
            "`api_url` (the body is not encoded as its header says). Attempts: 1.",
        ),
        (
            status_line(200, b"Content-Encoding: gzip, gzip\r\n") + b"{}",
            "(the body is encoded in a way that was not asked for). Attempts: 1.",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "(not an HTTP response: SSH-2.0-OpenSSH_9.6"),
        (b"", "(the connection was closed without a response). Attempts: 1."),
    ],
)
def test_what_is_broken_is_one_sentence(answer: bytes, sentence: str) -> None:
    with Peer(lambda _: [answer]) as peer, pytest.raises(FatalAPIError) as caught:
        client_at(peer).fetch(QUERY)
    assert sentence in str(caught.value)
    assert "(b'" not in str(caught.value)
    assert "('" not in str(caught.value)


KEY = ("kid-7f3a9c2e1b", "Zx81-qWertz-99aB")
BASIC = base64.b64encode(":".join(KEY).encode()).decode()


def error_page(message: str, status: int = 401, headers: bytes = b"") -> bytes:
    body = json.dumps({"code": 16, "message": message, "details": []}).encode()
    return status_line(status, headers + b"Content-Length: %d\r\n" % len(body)) + body


def record(**members: Any) -> bytes:
    return json.dumps({"action": "created", **members}).encode()


ECHOES: dict[str, Callable[[str], bytes]] = {
    "a message": error_page,
    "a message of a retry": lambda key: error_page(f"x{key}y", 503),
    "a long message": lambda key: error_page("x" * 280 + key),
    "a request id": lambda key: error_page("", 403, b"cf-ray: %b\r\n" % key.encode()),
    "a version": lambda key: error_page("", 403, b"x-version: %b\r\n" % key.encode()),
    "a status line": lambda key: f"HTTP/1.{key} 200 OK\r\n\r\n".encode(),
    "a reason": lambda key: f"HTTP/1.1 503 {key}\r\n\r\n".encode(),
    "a redirect": lambda key: status_line(
        302, f"Location: https://{key}.example.com/{key}\r\n".encode()
    ),
    "a broken header": lambda key: ROOT_HEADERS + f"{key}\r\nX: y\r\n\r\n{{}}".encode(),
    "a date": lambda key: page(headers=f"Date: {key}\r\n".encode()),
    "an encoding": lambda key: page(headers=f"Content-Encoding: {key}\r\n".encode()),
    "a length": lambda key: ROOT_HEADERS + f"Content-Length: {key}\r\n\r\n".encode(),
    "a timestamp": lambda key: page(record(timestamp=key), 1),
    "a last time": lambda key: page(
        record(timestamp="2025-02-01T00:00:00Z", lastOccurredTimestamp=key), 1
    ),
    "the size of a chunk": lambda key: (
        status_line(200, CHUNKED) + f"{key}\r\n{{}}".encode()
    ),
}
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in part": lambda key: key[: len(key) * 2 // 3],
    "its end": lambda key: key[len(key) // 3 :],
    "in capitals": str.upper,
    "encoded": lambda key: "".join(f"%{ord(c):02x}" for c in key),
    "interrupted": "\x1b".join,
}


# The command again and again in one process, which is faster.
REPEATED = """
import logging, os, sys
from tap_akuity.__main__ import main
# Many lines at DEBUG, and none of them knows of a response.
logging.getLogger("singer_sdk.singerlib.catalog").setLevel("INFO")
for level in sys.argv.pop(1).split():
    os.environ["TAP_AKUITY_LOGLEVEL"] = level
    logging.getLogger().handlers.clear()
    sys.stderr = sys.__stderr__
    try:
        main()
    except SystemExit as end:
        print("ended with", end.code, file=sys.stderr)
"""


@pytest.mark.parametrize("kind", ECHOES)
def test_a_key_that_is_echoed_is_not_shown(tmp_path: Path, kind: str) -> None:
    forms = [form(key) for key in (*KEY, BASIC) for form in FORMS.values()]
    levels = ["INFO"] * len(forms) + ["DEBUG"] * len(forms)
    left = iter(forms * 2)
    with Peer(lambda _: [ECHOES[kind](next(left))]) as peer:
        config = config_at(tmp_path / "config", peer)
        script = [sys.executable, "-c", REPEATED, " ".join(levels)]
        run = run_measured([*script, "--config", str(config)])
    assert run.code == 0, run.stderr
    assert run.stderr.count("ended with") == len(levels), run.stderr
    assert all(c.isprintable() or c == "\n" for c in run.stderr)
    shown = run.stderr.lower()
    shown += shown.replace(" ", "").replace("\\x1b", "")
    for key in (*KEY, BASIC):
        for piece in (key, key[:10], key[-10:]):
            assert piece.lower() not in shown
            assert "".join(f"%{ord(c):02x}" for c in piece) not in shown


def test_nor_where_logs_are_structured(tmp_path: Path) -> None:
    """As Meltano configures it: JSON lines, to the same stderr."""
    logs = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "singer_sdk.logging.StructuredFormatter"}},
        "handlers": {
            "console": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "json",
            }
        },
        "root": {"level": "DEBUG", "handlers": ["console"]},
    }
    log_config = tmp_path / "logging.yml"
    log_config.write_text(json.dumps(logs), encoding="utf-8")
    echo = "\x1b".join(KEY[1])
    with Peer(lambda _: [error_page(f"{KEY[0]} {echo}")]) as peer:
        config = config_at(tmp_path / "config", peer)
        run = run_tap(config, SINGER_SDK_LOG_CONFIG=str(log_config))
    assert json.loads(run.stderr.splitlines()[-1])["message"].endswith("“*** ***”).")
    assert KEY[0] not in run.stderr
    assert KEY[1] not in run.stderr.replace("\\u001b", "").replace(" ", "")
