"""What a hostile or broken peer may cost: memory, time, and nothing of the key."""

import base64
import itertools
import json
import time
from functools import partial

import pytest
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.query import Query
from tests.helpers.clients import client_of
from tests.helpers.peer import (
    CHUNKED,
    ENDLESS,
    GZIP,
    KEY,
    NESTED,
    Peer,
    endless,
    head,
    page,
    run_tap,
)

QUERY = Query(0, 10**18, 0, 100)


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


@pytest.mark.parametrize("number", range(len(ENDLESS)))
def test_no_response_is_read_without_end(number):
    with Peer(partial(endless, *ENDLESS[number])) as peer:
        with pytest.raises(FatalAPIError) as caught:
            client_of(f"{peer.url}/logs").fetch(QUERY)
        while peer.open:
            time.sleep(0.001)
        assert 0 < peer.sent.total() < 40 << 20
    assert number != 2 or "is larger than 8 MiB" in str(caught.value)


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
    page(b'{"timestamp":"2025-01-01T00:00:00Z","lastOccurredTimestamp":"TEXT"}', 1),
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
    # A third: as three does not divide eight, each form is in responses of each kind.
    pairs = [*itertools.product(ECHOES, FORMS)][::3]
    with Peer([partial(echo, *pair) for pair in pairs]) as peer:
        runs = run_tap(*peer.urls(), TAP_AKUITY_LOGLEVEL="DEBUG")
        assert len(peer.sent) == len(runs) == len(pairs)
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
