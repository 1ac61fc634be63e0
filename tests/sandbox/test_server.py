"""The sandbox over HTTP: as the gateway would be, misbehaving, and steered."""

import gzip
import json
import signal
import sys
import time
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import requests

from sandbox import control
from sandbox.__main__ import main, parser
from sandbox.data import Dataset
from sandbox.faults import KINDS, Faults, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour
from sandbox.timestamps import from_record
from scripts import ROOT
from scripts.processes import inherited, started

UNTIL = datetime(2025, 11, 21, 16, 30, tzinfo=UTC)
ITEMS = list(Dataset(250, 1, UNTIL))
ORGANIZATION = "/api/v1/organizations/sandbox"
PATH = f"{ORGANIZATION}/audit-logs"
API_KEY = "/api/v1/apikeys/sandbox-key-id"
KEY = ("sandbox-key-id", "sandbox-key-secret")

TEXT = json.dumps(ITEMS[:-11:-1], ensure_ascii=False, separators=(",", ":"))
ROWS = TEXT.encode()
PAGE = b'{"items":%b,"totalCount":250}' % ROWS


@pytest.fixture
def sandbox():
    with Sandbox(ITEMS) as running:
        yield running


def get(sandbox, path=PATH, **options):
    options = {"auth": KEY, "allow_redirects": False, **options}
    return requests.get(sandbox.url + path, timeout=5, **options)


def post(sandbox, path):
    return requests.post(f"{sandbox.url}/sandbox/{path}", timeout=5)


def ask(sandbox):
    """Send a request, and return the socket to read the response from."""
    connection = HTTPConnection(urlsplit(sandbox.url).netloc, timeout=5)
    key = "c2FuZGJveC1rZXktaWQ6c2FuZGJveC1rZXktc2VjcmV0"
    connection.request("GET", PATH, headers={"Authorization": f"Basic {key}"})
    return connection.sock


def refusal(response):
    body = response.json()
    assert (list(body), body["details"]) == (["code", "message", "details"], [])
    return response.status_code, body["code"], body["message"]


@pytest.mark.parametrize(
    ("options", "auth", "paths", "expected"),
    [
        ({}, None, [PATH, ORGANIZATION, API_KEY], (401, 16)),
        ({}, ("sandbox-key-id", "wrong"), [PATH, ORGANIZATION, API_KEY], (401, 16)),
        ({"key_expires": UNTIL}, KEY, [PATH, ORGANIZATION, API_KEY], (401, 16)),
        ({"role": "member"}, KEY, [PATH], (403, 7)),
        ({}, KEY, ["/", PATH + "/", ORGANIZATION + "2", API_KEY + "2"], (404, 5)),
    ],
)
def test_what_is_not_shown(sandbox, options, auth, paths, expected):
    sandbox.state.options = Options(**options)
    for path in paths:
        *codes, message = refusal(get(sandbox, path, auth=auth))
        assert tuple(codes) == expected
        assert ("expired" in message) == ("key_expires" in options)
    assert PATH in paths or get(sandbox).content == PAGE


def test_events_happen_with_every_request_and_when_asked_for(sandbox):
    before = time.time_ns()
    added = post(sandbox, "events?count=30").json()
    sandbox.state.options = Options(arrivals=3)
    added += get(sandbox, f"{PATH}?filters.limit=3").json()["items"][::-1]
    times = [from_record(item["timestamp"]) for item in added]
    assert before <= times[0] <= times[-1] <= time.time_ns()
    assert times == sorted(set(times))
    # Items are added as they are.
    odd = {**ITEMS[0], "timestamp": "soon", "action": "odd \ud83d 🚀", "added": "later"}
    sandbox.store.add([odd], at=0)
    assert get(sandbox, "/sandbox/events").json() == [odd, *ITEMS, *added]


def test_stats(sandbox):
    get(sandbox, f"{PATH}?filters.limit=1&limit=3")
    sandbox.state.faults = Faults(Plan(("503", "503"), times=1))
    assert [get(sandbox).status_code for _ in range(2)] == [503, 200]
    get(sandbox, API_KEY)
    stats = {"requests": 3, "faults": {"503": 1}, "account": {API_KEY: 1}}
    stats["queries"] = ["filters.limit=1&limit=3", "", ""]
    assert get(sandbox, "/sandbox/stats").json() == stats
    assert post(sandbox, "reset-stats").json() == stats
    assert get(sandbox, "/sandbox/stats").json()["requests"] == 0


@pytest.mark.parametrize("count", ["0", "100001", "-1", "1.5", ""])
def test_a_count_that_makes_no_sense_is_refused(sandbox, count):
    response = post(sandbox, f"events?count={count}")
    message = f"count must be a whole number from 1 to 100000, not '{count}'"
    assert refusal(response) == (400, 3, message)
    assert get(sandbox, "/sandbox/events").json() == ITEMS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_one_line_and_ends_when_told(number):
    command = [sys.executable, "-m", "sandbox", "--records=30", "--seed=4"]
    command += ["--until=2025-11-21T16:30:00Z", "--organization-id=acme"]
    command += ["--no-date-header", "--fault-kinds", "503", "502", "--fault-times=1"]
    with started(command, ROOT, inherited()) as process:
        ready = json.loads(process.stdout.readline() if process.stdout else "")
        url = ready["url"] + PATH.replace("sandbox", "acme")
        auth = (ready["api_key_id"], ready["api_key_secret"])
        failed, passed = (requests.get(url, auth=auth, timeout=5) for _ in range(2))
        process.send_signal(number)
        rest = process.communicate(timeout=5)
    assert (ready["organization_id"], ready["records"]) == ("acme", 30)
    assert failed.status_code in {502, 503}
    assert passed.json()["items"] == list(Dataset(30, 4, UNTIL))[:-11:-1]
    assert "date" not in passed.headers
    assert (process.returncode, *rest) == (0, "", "")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--records=-1", "--records: must be a whole number of at least 0, not '-1'"),
        ("--until=today", "must be a time such as 2026-01-01T08:30:00Z, not 'today'"),
        ("--fault-rate=-1", "--fault-rate: must be a number of at least 0, not '-1'"),
        ("--distribution=odd", "--distribution: invalid choice: 'odd'"),
        ("--port=PORT", " is in use or not allowed: choose another"),
        ("--nonsense", "unrecognized arguments: --nonsense (--help lists all options)"),
    ],
)
def test_the_command_refuses_briefly(argument, message, sandbox, monkeypatch, capsys):
    port = sandbox.url.rpartition(":")[2]
    monkeypatch.setattr(sys, "argv", ["sandbox", argument.replace("PORT", port)])
    with pytest.raises(SystemExit, match="2"):
        main()
    sentence = capsys.readouterr().err
    assert sentence.startswith("sandbox: ")
    assert message in sentence
    assert sentence.count("\n") == 1


def test_help_lists_all_there_is():
    text = " ".join(parser().format_help().replace(",", " ").split())
    classes = ((Dataset, ""), (Behaviour, ""), (Options, ""), (Plan, "fault-"))
    names = [prefix + field.name for cls, prefix in classes for field in fields(cls)]
    options = [f"--{name.replace('_', '-')} " for name in names]
    paths = [route.path for route in control.routes(Sandbox([]).state)]
    for expected in (*options, *paths, *KINDS):
        assert expected in text


HALF = PAGE[: len(PAGE) // 2]
BLANKS = gzip.compress(bytes([32]) * (1 << 24), mtime=0)
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8, 499: 1, 500: 13, 501: 12}
STARTS = {
    **{str(n): b'{"code":%d,' % c for n, c in {**CODES, 503: 14, 504: 4}.items()},
    **dict.fromkeys(["429-retry-after-seconds", "429-retry-after-date"], b'{"code":8,'),
    **dict.fromkeys(["not-json", "502", *map(str, range(520, 528))], b"<!DOCTYPE html"),
    "escape-message": rb'{"code":3,"message":"\u001b[2J',
    "bad-gzip": b"\x1f\x8b\x08\x00not deflated",
    "gzip-bomb": gzip.compress(b'{"items":[', mtime=0) + 64 * BLANKS,
}
BODIES = {
    "redirect": b"",
    "cut-json": HALF,
    "items-missing": b'{"totalCount":250}',
    "items-null": b'{"items":null,"totalCount":250}',
    "items-object": b'{"items":{},"totalCount":250}',
    "total-missing": b'{"items":%b}' % ROWS,
    "total-string": b'{"items":%b,"totalCount":"all"}' % ROWS,
    "huge-number": b'{"items":%b,"totalCount":%b}' % (ROWS, b"9" * 10_000),
    "deep-json": b'{"items":%b,"totalCount":250}' % (b"[" * 100_000 + b"]" * 100_000),
}
HEADERS = {
    **dict.fromkeys(["bad-gzip", "gzip-bomb"], ("content-encoding", "gzip")),
    "redirect": ("location", "https://evil.example/"),
    "429-retry-after-seconds": ("retry-after", "1"),
    "429-retry-after-date": ("retry-after", " GMT"),
}
CHUNK = b"%x\r\n%b\r\n" % (len(HALF), HALF)
CHUNKED, LENGTH = b"transfer-encoding: chunked", b"content-length: %d" % len(PAGE)
BROKEN = {
    "close-before": (b"", b"", True),
    "close-mid-length": (LENGTH, HALF, True),
    "close-mid-chunked": (CHUNKED, CHUNK, True),
    "hang": (CHUNKED, CHUNK, False),
    "trickle": (LENGTH, PAGE[:1], False),
    "endless-body": (CHUNKED, CHUNK + 9 * (b"10000\r\n%65536b\r\n" % b""), False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_does_on_the_wire_what_its_name_says(sandbox, kind):
    sandbox.state.faults = Faults(Plan((kind,), location="https://evil.example/"))
    if kind in BROKEN:
        header, content, ends = BROKEN[kind]
        head, body, has_ended = wire(sandbox)
        is_more = kind == "endless-body" or (kind == "trickle" and len(body) < 9)
        assert header in head.lower()
        assert has_ended == ends
    else:
        is_more = kind in STARTS
        content = (STARTS | BODIES)[kind]
        with get(sandbox, stream=True) as response:
            body = response.raw.read(decode_content=False)
        assert kind[:3] == str(response.status_code) or kind[0] not in "45"
        name, value = HEADERS.get(kind, ("cf-ray", ""))
        assert response.headers[name].endswith(value)
    assert body.startswith(content)
    assert is_more or body == content
    sandbox.state.faults = Faults()
    assert get(sandbox).content == PAGE


def wire(sandbox):
    """Return what is sent within 0.4 seconds, and whether the connection has ended."""
    found, part, end = b"", b"-", time.monotonic() + 0.4
    with ask(sandbox) as connection:
        connection.settimeout(0.4)
        while part and time.monotonic() < end:
            with suppress(TimeoutError):
                part = connection.recv(1 << 20)
                found += part
    head, _, body = found.partition(b"\r\n\r\n")
    return head, body, part == b""


@pytest.mark.parametrize("kinds", [(), ("hang",), ("trickle",), ("endless-body",)])
def test_the_end_comes_at_once_and_closes_connections(kinds):
    with Sandbox(ITEMS, faults=Plan(kinds)) as sandbox:
        connection = ask(sandbox)
        assert connection.recv(1)
        begin = time.monotonic()
    assert time.monotonic() - begin < 1
    with connection, suppress(ConnectionResetError):
        while connection.recv(1 << 20):
            pass
