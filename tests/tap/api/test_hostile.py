"""What a hostile or broken peer may cost: memory, time, and nothing of the key."""

import base64
import functools
import gzip
import itertools
import json
import time
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.query import Query
from tests.helpers.clients import client_of
from tests.helpers.peer import KEY, Peer, head, page, run_tap

QUERY = Query(0, 10**18, 0, 100)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
START = "2025-01-01T00:00:00Z"

ONE_RESPONSE = 125  # MB with one request at a time: Python and the SDK take 50 of them.
ANY_SERVER = 400  # MB at the default settings, as docs/security.md says.


def endless(before, data=b" " * (1 << 20), pause=0):
    yield before
    for _ in range((700 << 20) // len(data)):  # More than any limit here.
        yield data
        time.sleep(pause)


def bomb(status, layers=1):
    """Send about one MB that unpacks to one GB, or a few KB with two layers."""
    body = gzip.compress(bytes(1 << 24), mtime=0) * 64
    if layers == 2:
        body = gzip.compress(body, mtime=0)
    encodings = b", ".join([b"gzip"] * layers)
    return [head(status, b"Content-Encoding: %b\r\n" % encodings), body]


RESPONSES = {
    "a chunk of no size": lambda: endless(head(200, CHUNKED) + b"-1\r\n"),
    "a chunk of no size in an error": lambda: endless(head(500, CHUNKED) + b"-1\r\n"),
    "an endless page": lambda: endless(head(200)),
    "an endless error": lambda: endless(head(503)),
    "an endless redirect": lambda: endless(head(302, b"Location: /elsewhere\r\n")),
    "a bomb": lambda: bomb(200),
    "a bomb in an error": lambda: bomb(500),
    "a nested bomb": lambda: bomb(200, layers=2),
    "a nested bomb in an error": lambda: bomb(500, layers=2),
    "endless headers": lambda: endless(
        b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 60_000 + b"\r\n"
    ),
    "endless preliminaries": lambda: endless(
        b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000
    ),
    "endless sizes of chunks": lambda: endless(
        head(200, CHUNKED), b"1;" + b"x" * 60_000 + b"\r\n \r\n"
    ),
}


@pytest.mark.parametrize("is_secure", [False, True])
def test_no_response_costs_more_memory_than_allowed(bundle, context, *, is_secure):
    responses = [lambda _, one=one: one() for one in RESPONSES.values()]
    with Peer(responses, context if is_secure else None) as peer:
        runs = run_tap(
            *(f"{peer.url}/{number}" for number in range(len(responses))),
            TAP_AKUITY_PAGE_SIZE="4",
            TAP_AKUITY_CONCURRENCY="1",
            REQUESTS_CA_BUNDLE=str(bundle),
        )
    for number, (kind, run) in enumerate(zip(RESPONSES, runs, strict=True)):
        assert run.code == 1, kind
        assert "Traceback" not in "".join(run.lines), kind
        assert "not trusted" not in run.last_line, kind
        assert run.megabytes < ONE_RESPONSE, kind
        # Up to three pages are asked for, each smaller than the last.
        assert 0 < peer.sent[str(number)] < 3 * 40 << 20, kind


def large_pages(request):
    """Return as many events as are asked for, each of 15 KB, in whatever range."""
    query = parse_qs(urlsplit(request.split()[1].decode()).query)
    names = ("startTime", "endTime", "offset", "limit")
    first, last, offset, limit = (query[f"filters.{name}"][0] for name in names)
    begin, end = (datetime.fromisoformat(one[:19]) for one in (first, last))
    items = [
        b'{"timestamp":"%bZ","action":"%d","details":{"patch":"%b"}}'
        % ((end - (end - begin) * min(n / 12_000, 1)).isoformat().encode(), n, PATCH)
        for n in range(int(offset), int(offset) + int(limit))
    ]
    return [page(b",".join(items), 12_000)]


PATCH = b"x" * 15_000 + "😀".encode()
DATED = b'{"timestamp":"%b"' % START.encode()
MANY_MEMBERS = DATED + b"".join(b',"%d":0' % n for n in range(600_000)) + b"}"
LONG = b'"%b"' % (b"soon" * (3 << 19))
SERVERS = {
    "large pages in every range": large_pages,
    "items without anything": lambda _: [page(b"{}," * 2_700_000 + b"{}", 500)],
    "small items": lambda _: [page((DATED + b"},") * 210_000 + b"{}", 500)],
    "an item of many members": lambda _: [page(MANY_MEMBERS, 1)],
    "a long timestamp": lambda _: [page(b'{"timestamp":%b}' % LONG, 1)],
    "a long last time": lambda _: [
        page(b'%b,"lastOccurredTimestamp":%b}' % (DATED, LONG), 1)
    ],
}


def test_no_server_costs_more_memory_than_promised():
    with Peer(list(SERVERS.values())) as peer:
        runs = run_tap(
            *(f"{peer.url}/{number}" for number in range(len(SERVERS))),
            TAP_AKUITY_END_DATE="2025-01-01T00:01:00Z",
            TAP_AKUITY_LOGLEVEL="DEBUG",
        )
    for kind, run in zip(SERVERS, runs, strict=True):
        assert run.code == (kind != "an item of many members"), run.last_line
        assert run.megabytes < ANY_SERVER, kind
        assert len(run.last_line) < 1000, kind
        assert len("".join(run.lines)) < 200_000, kind


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("before", "data"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
        (head(200), b" "),
        (head(200, CHUNKED), b"1\r\n \r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_nothing_reads_on_when_the_time_is_over(before, data):
    with Peer(lambda _: endless(before, data, pause=0.02)) as peer:
        client = client_of(f"{peer.url}/logs", timeout=0.2, max_attempts=2)
        began = time.monotonic()
        with pytest.raises(FatalAPIError, match=r"within 0\.2 seconds\)\. Attempts: 2"):
            client.fetch(QUERY)
        while peer.open:
            assert time.monotonic() - began < 10, "the connection is still read"
            time.sleep(0.01)
        assert len(peer.requests) == 2


def test_a_status_counts_though_its_body_has_no_end():
    with Peer(lambda _: endless(head(401), b" ", pause=0.02)) as peer:
        client = client_of(f"{peer.url}/logs", timeout=0.2, max_attempts=3)
        with pytest.raises(FatalAPIError, match=r"^Akuity refused the API key"):
            client.fetch(QUERY)
        assert len(peer.requests) == 1


BROKEN = [
    (
        head(302, b"Location: //[\r\n"),
        "redirects to nowhere, where the API key must not go: correct `api_url`",
    ),
    (
        head(200, b"Content-Length: 500\r\n") + b"{",
        "(the connection was closed in the middle of the response). Attempts: 1.",
    ),
    (head(200, CHUNKED) + b"-1\r\n{", "(the size of a chunk is malformed). Attempts"),
    (
        head(200, GZIP) + b"{}",
        "could not be decoded: check the proxy, which may have changed it, and "
        "`api_url` (the body is not encoded as its header says). Attempts: 1.",
    ),
    (
        head(200, b"Content-Encoding: gzip, gzip\r\n") + b"{}",
        "(the body is encoded in a way that was not asked for). Attempts: 1.",
    ),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "(not an HTTP response: SSH-2.0-OpenSSH_9.6"),
    (b"", "(the connection was closed without a response). Attempts: 1."),
]


@pytest.mark.parametrize(("response", "sentence"), BROKEN)
def test_what_is_broken_is_one_sentence(response, sentence):
    with Peer(lambda _: [response]) as peer, pytest.raises(FatalAPIError) as caught:
        client_of(f"{peer.url}/logs").fetch(QUERY)
    assert sentence in str(caught.value)
    assert "(b'" not in str(caught.value)
    assert "('" not in str(caught.value)


def error_page(message, status=401, headers=b""):
    return head(status, headers) + json.dumps({"message": message}).encode()


ECHOES = {
    "a message": error_page,
    "a message of a retry": lambda key: error_page(f"x{key}y", 503),
    "a long message": lambda key: error_page("x" * 280 + key),
    "a request id": lambda key: error_page("", 403, b"cf-ray: %b\r\n" % key.encode()),
    "a version": lambda key: error_page("", 403, b"x-version: %b\r\n" % key.encode()),
    "a status line": lambda key: f"HTTP/1.{key} 200 OK\r\n\r\n".encode(),
    "a reason": lambda key: f"HTTP/1.1 503 {key}\r\n\r\n".encode(),
    "a redirect": lambda key: head(
        302, f"Location: https://{key}.example.com/{key}\r\n".encode()
    ),
    "a broken header": lambda key: head(200, f"{key}\r\nX: y\r\n".encode()) + b"{}",
    "a date": lambda key: page(headers=f"Date: {key}\r\n".encode()),
    "an encoding": lambda key: page(headers=f"Content-Encoding: {key}\r\n".encode()),
    "a length": lambda key: head(200, f"Content-Length: {key}\r\n".encode()),
    "a timestamp": lambda key: page(json.dumps({"timestamp": key}).encode(), 1),
    "a last time": lambda key: page(
        json.dumps({"timestamp": START, "lastOccurredTimestamp": key}).encode(), 1
    ),
    "the size of a chunk": lambda key: head(200, CHUNKED) + f"{key}\r\n{{}}".encode(),
}
TOKEN = base64.b64encode(":".join(KEY).encode()).decode()
FORMS = [
    *KEY,
    TOKEN,
    KEY[1].upper(),
    KEY[1][:10],
    KEY[1][6:],
    "\x1b".join(KEY[1]),
    "".join(f"%{ord(c):02x}" for c in KEY[1]),
]


def test_a_key_that_is_echoed_is_not_shown():
    echoes = list(itertools.product(ECHOES, FORMS))
    responses = [
        functools.partial(lambda kind, form, _: [ECHOES[kind](form)], *echo)
        for echo in echoes
    ]
    with Peer(responses) as peer:
        urls = [f"{peer.url}/{number}" for number in range(len(responses))]
        runs = run_tap(*urls, TAP_AKUITY_LOGLEVEL="DEBUG")
        assert len(peer.sent) == len(echoes)
    pieces = [piece for key in (*KEY, TOKEN) for piece in (key[:10], key[-10:])]
    pieces += ["".join(f"%{ord(c):02x}" for c in piece) for piece in pieces]
    for echo, run in zip(echoes, runs, strict=True):
        text = "".join(run.lines)
        assert text.isprintable(), echo
        text += text.replace(" ", "").replace("\\x1b", "")
        assert not any(piece.lower() in text.lower() for piece in pieces), echo


def test_nor_where_logs_are_json(json_logs):
    echo = error_page(f"{KEY[0]} {chr(27).join(KEY[1])}")
    with Peer(lambda _: [echo]) as peer:
        (run,) = run_tap(peer.url, **json_logs)
    assert json.loads(run.lines[-1])["message"].endswith("“*** ***”).")
    text = "".join(run.lines).replace("\\u001b", "").replace(" ", "")
    assert KEY[0] not in text
    assert KEY[1] not in text
