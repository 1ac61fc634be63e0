"""What a hostile or broken peer may cost: memory, time, and nothing of the key."""

import base64
import gzip
import itertools
import json
import time
from datetime import datetime
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.query import Query
from tests.helpers.clients import client_of
from tests.helpers.peer import KEY, Peer, head, page, run_tap

QUERY = Query(0, 10**18, 0, 100)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GZIP = b"Content-Encoding: gzip\r\n"
NESTED = b"Content-Encoding: gzip, gzip\r\n"


def endless(before, data, _request=b"", *, pause=0):
    yield before
    for _ in range((700 << 20) // len(data)):  # More than any limit here.
        yield data
        time.sleep(pause)


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
    with Peer(partial(endless, before, data, pause=0.02)) as peer:
        client = client_of(f"{peer.url}/logs", timeout=0.2, max_attempts=2)
        began = time.monotonic()
        with pytest.raises(FatalAPIError, match=r"within 0\.2 seconds\)\. Attempts: 2"):
            client.fetch(QUERY)
        while peer.open:
            assert time.monotonic() - began < 10, "the connection is still read"
            time.sleep(0.01)
        assert len(peer.requests) == 2


BROKEN = [
    (head(302, b"Location: //[\r\n"), "redirects to nowhere, where the API key must n"),
    (head(200, b"Content-Length: 9\r\n") + b"{", "(the connection was closed in the m"),
    (head(200, CHUNKED) + b"-1\r\n{", "(the connection was closed in the middle of th"),
    (
        head(200, GZIP) + b"{}",
        "could not be decoded: check the proxy, which may have changed it, and "
        "`api_url` (the body is not encoded as its header says). Attempts: 1.",
    ),
    (
        head(200, NESTED) + b"{}",
        "(the body is encoded in a way that was not requested)",
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


def test_a_status_counts_though_its_body_has_no_end():
    with Peer(partial(endless, head(401), b" ", pause=0.02)) as peer:
        client = client_of(f"{peer.url}/logs", timeout=0.2, max_attempts=3)
        with pytest.raises(FatalAPIError, match=r"^Akuity refused the API key"):
            client.fetch(QUERY)
        assert len(peer.requests) == 1


ONE_RESPONSE = 125  # MB with one request at a time: Python and the SDK take 50 of them.
ANY_SERVER = 400  # MB at the default settings, as docs/security.md says.
BLANKS = b" " * (1 << 20)
BOMB = gzip.compress(bytes(1 << 24), mtime=0) * 64  # One MB unpacks to one GB.
RESPONSES = [
    (head(200, CHUNKED) + b"-1\r\n", BLANKS),
    (head(500, CHUNKED) + b"-1\r\n", BLANKS),
    (head(200), BLANKS),
    (head(503), BLANKS),
    (head(302, b"Location: /elsewhere\r\n"), BLANKS),
    (head(200, GZIP), BOMB),
    (head(500, GZIP), BOMB),
    (head(307, GZIP + b"Location: /elsewhere\r\n"), BOMB),
    (head(200, NESTED), gzip.compress(BOMB)),
    (head(500, NESTED), gzip.compress(BOMB)),
    (b"HTTP/1.1 200 OK\r\n", b"X-A: %b\r\n" % (b"a" * 60_000)),
    (b"HTTP/1.1 200 OK\r\n", b"Set-Cookie: a=%b\r\n" % (b"a" * 60_000) * 95 + b"\r\n"),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    (head(200, CHUNKED), b"1;%b\r\n \r\n" % (b"x" * 60_000)),
]


@pytest.mark.parametrize("is_secure", [False, True])
def test_no_response_costs_more_memory_than_allowed(bundle, context, is_secure):
    responses = [partial(endless, *response) for response in RESPONSES]
    with Peer(responses, context if is_secure else None) as peer:
        runs = run_tap(
            *peer.urls(),
            TAP_AKUITY_PAGE_SIZE="4",
            TAP_AKUITY_CONCURRENCY="1",
            REQUESTS_CA_BUNDLE=str(bundle),
        )
    for number, run in enumerate(runs):
        assert run.code == 1
        assert "Traceback" not in "".join(run.lines)
        assert "not trusted" not in run.lines[-1]
        assert run.megabytes < ONE_RESPONSE, run.lines[-1]
        # A page of four, two halves of it, and three single events at the most.
        assert 0 < peer.sent[str(number)] < 6 * 40 << 20, run.lines[-1]
    assert len(runs) == len(RESPONSES)
    assert "is larger than 8 MiB" in runs[2].lines[-1]


def large_pages(request):
    """Return as many events as are asked for, each of 15 KB, in whatever range."""
    query = parse_qs(urlsplit(request.split()[1].decode()).query)
    names = ("startTime", "endTime", "offset", "limit")
    first, last, offset, limit = (query[f"filters.{name}"][0] for name in names)
    begin, end = (datetime.fromisoformat(one[:19]) for one in (first, last))
    item = '{"timestamp":"%sZ","action":"%d","details":{"patch":"%s😀"}}'
    items = [
        item % ((end - (end - begin) * min(n / 12_000, 1)).isoformat(), n, "x" * 15_000)
        for n in range(int(offset), int(offset) + int(limit))
    ]
    return [page(",".join(items).encode(), 12_000)]


DATED = b'{"timestamp":"2025-01-01T00:00:00Z"'
MANY_MEMBERS = DATED + b"".join(b',"%d":0' % n for n in range(600_000)) + b"}"
LONG = b'"%b"' % (b"soon" * (3 << 19))
SERVERS = [
    large_pages,
    lambda _: [page(b"{}," * 2_700_000 + b"{}", 500)],
    lambda _: [page((DATED + b"},") * 210_000 + b"{}", 500)],
    lambda _: [page(b'{"timestamp":%b}' % LONG, 1)],
    lambda _: [page(b'%b,"lastOccurredTimestamp":%b}' % (DATED, LONG), 1)],
    lambda _: [page(MANY_MEMBERS, 1)],
]


def test_no_server_costs_more_memory_than_promised():
    with Peer(SERVERS) as peer:
        end, level = "2025-01-01T00:01:00Z", "DEBUG"
        environment = {"TAP_AKUITY_END_DATE": end, "TAP_AKUITY_LOGLEVEL": level}
        runs = run_tap(*peer.urls(), **environment)
    assert [run.code for run in runs] == [1, 1, 1, 1, 1, 0]
    for run in runs:
        assert run.megabytes < ANY_SERVER, run.lines[-1]
        assert len(run.lines[-1]) < 1000
        assert len("".join(run.lines)) < 200_000


# With the key for KEY, or for TEXT in JSON.
ECHOES = [
    head(401) + b'{"message":"TEXT"}',
    head(503) + b'{"message":"xTEXTy"}',
    head(401) + b'{"message":"%bTEXT"}' % (b"x" * 280),
    head(403, b"cf-ray: KEY\r\n"),
    head(403, b"x-version: KEY\r\n"),
    b"HTTP/1.KEY 200 OK\r\n\r\n",
    b"HTTP/1.1 503 KEY\r\n\r\n",
    head(302, b"Location: https://KEY.example.com/KEY\r\n"),
    head(200, b"KEY\r\nX: y\r\n") + b"{}",
    page(headers=b"Date: KEY\r\n"),
    page(headers=b"Content-Encoding: KEY\r\n"),
    head(200, b"Content-Length: KEY\r\n"),
    head(200, CHUNKED) + b"KEY\r\n{}",
    page(b'{"timestamp":"TEXT"}', 1),
    page(DATED + b',"lastOccurredTimestamp":"TEXT"}', 1),
]
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


def echo(response, form, _request=b""):
    escaped = json.dumps(form)[1:-1].encode()
    return [response.replace(b"KEY", form.encode()).replace(b"TEXT", escaped)]


def test_a_key_that_is_echoed_is_not_shown():
    with Peer([partial(echo, *e) for e in itertools.product(ECHOES, FORMS)]) as peer:
        runs = run_tap(*peer.urls(), TAP_AKUITY_LOGLEVEL="DEBUG")
        assert len(peer.sent) == len(runs) == len(ECHOES) * len(FORMS)
    pieces = [piece for key in (*KEY, TOKEN) for piece in (key[:10], key[-10:])]
    pieces += ["".join(f"%{ord(c):02x}" for c in piece) for piece in pieces]
    for run in runs:
        text = "".join(run.lines)
        assert text.isprintable()
        text += text.replace(" ", "").replace("\\x1b", "")
        assert not any(piece.lower() in text.lower() for piece in pieces), text


def test_nor_where_logs_are_json(json_logs):
    form = f"{KEY[0]} {FORMS[-2]}"
    with Peer([partial(echo, response, form) for response in ECHOES]) as peer:
        runs = run_tap(*peer.urls(), **json_logs)
    assert json.loads(runs[0].lines[-1])["message"].endswith("“*** ***”).")
    text = "".join(line for run in runs for line in run.lines)
    text = text.replace("\\\\x1b", "").replace("\\u001b", "").replace(" ", "")
    assert not any(key in text for key in KEY)
