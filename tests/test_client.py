from __future__ import annotations

import base64
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import backoff
import pytest
import requests
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api import client
from tap_akuity.api.query import Query
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity

if TYPE_CHECKING:
    from requests_mock import Mocker

URL = "https://akuity.cloud/api/v1/organizations/org/audit-logs"
QUERY = Query(999_000_000, 2_000_000_000, 500, 100)
EMPTY = {"items": [], "totalCount": 0}


def stream_of(**settings: Any) -> AuditLogsStream:
    config = {
        "organization_id": "org",
        "api_key_id": "key",
        "api_key_secret": "hush",
        "max_retries": 0,
        **settings,
    }
    return AuditLogsStream(TapAkuity(config=config))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wait without waiting, and tell how long it would have been."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        if seconds:
            waited.append(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waited))
    monkeypatch.setattr(backoff, "full_jitter", lambda value: value)
    return waited


def test_a_request(requests_mock: Mocker) -> None:
    requests_mock.get(URL, json=EMPTY)
    stream_of().fetch(QUERY)
    (request,) = requests_mock.request_history
    assert request.query == (
        "filters.starttime=1970-01-01t00%3a00%3a00.999z"
        "&filters.endtime=1970-01-01t00%3a00%3a02z"
        "&filters.offset=500&filters.limit=100"
    )
    assert "filters.startTime=1970-01-01T00%3A00%3A00.999Z" in request.url
    basic = base64.b64encode(b"key:hush").decode()
    assert request.headers["Authorization"] == f"Basic {basic}"
    assert request.headers["User-Agent"].startswith("tap-akuity/0")
    assert request.headers["Accept"] == "application/json"
    assert request.body is None


def test_filters_are_repeated_and_not_joined(requests_mock: Mocker) -> None:
    requests_mock.get(URL, json=EMPTY)
    stream_of(
        actions=["created", "a,b"], actor_types=["user"], actor_ids=["x&y", "z"]
    ).fetch(QUERY)
    assert requests_mock.last_request is not None
    assert requests_mock.last_request.url.startswith(
        f"{URL}?filters.action=created&filters.action=a%2Cb&filters.actorType=user"
        "&filters.actorId=x%26y&filters.actorId=z&filters.startTime="
    )


def test_own_url_agent_and_a_strange_organization(requests_mock: Mocker) -> None:
    requests_mock.get(
        "https://eu.example.com/x/api/v1/organizations/a%2Fb%3Fc/audit-logs", json=EMPTY
    )
    stream_of(
        organization_id="a/b?c", api_url="https://eu.example.com/x/", user_agent="me"
    ).fetch(QUERY)
    assert requests_mock.last_request is not None
    assert requests_mock.last_request.headers["User-Agent"] == "me"


def test_an_answer(requests_mock: Mocker) -> None:
    body = '{ "totalCount": 12, "new": 1, "items": [ {"a": 1} , {} ] }'
    date = "Fri, 21 Nov 2025 16:26:40 GMT"
    requests_mock.get(URL, text=body, headers={"Date": date})
    answer = stream_of().fetch(QUERY)
    assert [bytes(item) for item in answer.items] == [b'{"a": 1}', b"{}"]
    assert answer.total_count == 12
    assert answer.date == 1763742400 * 10**9


@pytest.mark.parametrize("headers", [{}, {"Date": "now"}, {"Date": ""}])
def test_no_date_is_no_error(requests_mock: Mocker, headers: dict[str, str]) -> None:
    requests_mock.get(URL, json=EMPTY, headers=headers)
    assert stream_of().fetch(QUERY).date is None


def error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": []}


FATAL = [
    (400, error(3, "bad action"), "check the settings (HTTP 400, “bad action”"),
    (401, error(16, "unauthenticated"), "check `api_key_id` and `api_key_secret`"),
    (403, error(7, "denied"), "has the Owner role in the organization org"),
    (404, error(5, "no"), "check `organization_id` and `api_url` (HTTP 404, “no”"),
    (418, error(2, "tea"), "in an unexpected way: check `api_url` (HTTP 418"),
    (
        501,
        error(12, "Method Not Allowed"),
        "report it as a bug (HTTP 501, “Method Not Allowed”",
    ),
    (302, None, "redirects to evil.example.com, where the API key must not go"),
]


@pytest.mark.parametrize(("status", "body", "message"), FATAL)
def test_what_cannot_pass_is_not_retried(
    requests_mock: Mocker, waits: list[float], status: int, body: Any, message: str
) -> None:
    headers = {"cf-ray": "8f2c", "x-version": "0.9", "Location": "//evil.example.com/x"}
    requests_mock.get(URL, status_code=status, json=body, headers=headers)
    with pytest.raises(FatalAPIError) as caught:
        stream_of(max_retries=5).fetch(QUERY)
    assert message in str(caught.value)
    assert "cf-ray 8f2c, x-version 0.9" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert requests_mock.call_count == 1
    assert waits == []


PASSING: list[dict[str, Any]] = [
    {"status_code": 408},
    {"status_code": 429, "json": error(8, "quota")},
    {"status_code": 499, "json": error(1, "cancelled")},
    {"status_code": 500, "json": error(13, "internal")},
    {"status_code": 502, "text": "<html>"},
    {"status_code": 503},
    {"status_code": 504},
    {"status_code": 520, "text": "<html>Cloudflare</html>"},
    {"status_code": 527},
    {"text": "<html>ok</html>"},
    {"text": ""},
    {"text": '{"items":[{"timestamp'},
    {"text": '{"totalCount":1}'},
    {"text": '{"items":null,"totalCount":1}'},
    {"text": '{"items":{},"totalCount":1}'},
    {"text": '{"items":[]}'},
    {"text": '{"items":[],"totalCount":"0"}'},
    {"content": b'{"items":[{"a":"\xff"}],"totalCount":1}'},
    {"text": "[" * 100_000},
    {"exc": requests.exceptions.ConnectionError("refused")},
    {"exc": requests.exceptions.ReadTimeout("slow")},
    {"exc": requests.exceptions.ChunkedEncodingError("cut")},
    {"exc": requests.exceptions.ContentDecodingError("gzip")},
]


@pytest.mark.parametrize("failure", PASSING)
def test_what_can_pass_is_retried(
    requests_mock: Mocker, waits: list[float], failure: dict[str, Any]
) -> None:
    requests_mock.get(URL, [failure, failure, {"json": {"items": [], "totalCount": 3}}])
    assert stream_of(max_retries=2).fetch(QUERY).total_count == 3
    assert waits == [1, 2]


@pytest.mark.parametrize("failure", PASSING)
def test_but_not_for_ever(
    requests_mock: Mocker, waits: list[float], failure: dict[str, Any]
) -> None:
    requests_mock.get(URL, [failure])
    with pytest.raises(FatalAPIError, match=r"Tries: 3\."):
        stream_of(max_retries=2).fetch(QUERY)
    assert len(waits) == 2


def test_the_waits_grow_to_about_five_minutes_in_all(
    requests_mock: Mocker, waits: list[float]
) -> None:
    requests_mock.get(URL, status_code=503)
    with pytest.raises(FatalAPIError):
        stream_of(max_retries=10).fetch(QUERY)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_the_jitter_is_full(requests_mock: Mocker, monkeypatch: Any) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    requests_mock.get(URL, status_code=503)
    for _ in range(20):
        with pytest.raises(FatalAPIError):
            stream_of(max_retries=1).fetch(QUERY)
    assert all(0 <= wait <= 1 for wait in waited)
    assert len(set(waited)) > 10


@pytest.mark.parametrize(
    ("header", "at_least", "at_most"),
    [
        ("7", 7, 7),
        ("in 90 seconds", 60, 90),
        ("99999", client.MAX_RETRY_AFTER_SECONDS, client.MAX_RETRY_AFTER_SECONDS),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1, 1),
        ("-5", 1, 1),
        ("soon", 1, 1),
        ("", 1, 1),
    ],
)
def test_retry_after(
    requests_mock: Mocker,
    waits: list[float],
    header: str,
    at_least: float,
    at_most: float,
) -> None:
    if header == "in 90 seconds":
        header = formatdate(time.time() + 90, usegmt=True)
    limited = {"status_code": 429, "headers": {"Retry-After": header}}
    requests_mock.get(URL, [limited, {"json": EMPTY}])
    stream_of(max_retries=1).fetch(QUERY)
    (wait,) = waits
    assert at_least <= wait <= at_most


def test_each_retry_is_one_log_line(
    requests_mock: Mocker, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    requests_mock.get(URL, [{"status_code": 503}, {"json": EMPTY}])
    stream = stream_of(max_retries=1)
    caplog.clear()
    stream.fetch(QUERY)
    assert caplog.messages == [
        "Try 1 failed, the next follows in 1.0 seconds: Akuity has trouble: try again "
        "later (HTTP 503)."
    ]
    assert waits == [1]


def test_what_a_server_says_cannot_harm_the_terminal(requests_mock: Mocker) -> None:
    message = "\x1b]0;owned\x07\x1b[31mred\r\n\u202e" + "x" * 5000
    requests_mock.get(URL, status_code=400, json=error(3, message))
    with pytest.raises(FatalAPIError) as caught:
        stream_of().fetch(QUERY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_an_unreachable_host() -> None:
    stream = stream_of(api_url="http://127.0.0.1:9")
    with pytest.raises(FatalAPIError) as caught:
        stream.fetch(QUERY)
    assert str(caught.value) == (
        "Could not get an answer from http://127.0.0.1:9: check `api_url`, the "
        "network and the proxy (Failed to establish a new connection: [Errno 111] "
        "Connection refused). Tries: 1."
    )


TOO_BIG = [
    (429, "grpc: received message larger than max (12732627 vs. 4194304)"),
    (400, "filters.limit must be at most 100"),
]


@pytest.mark.parametrize(("status", "message"), TOO_BIG)
def test_a_page_that_is_too_big_is_asked_for_smaller(
    requests_mock: Mocker, waits: list[float], status: int, message: str
) -> None:
    too_big = {"status_code": status, "json": error(8, message)}
    requests_mock.get(URL, [too_big, too_big, {"json": EMPTY}, {"json": EMPTY}])
    stream = stream_of(max_retries=3)
    stream.fetch(QUERY)
    stream.fetch(QUERY)
    limits = [r.qs["filters.limit"] for r in requests_mock.request_history]
    assert limits == [["100"], ["50"], ["25"], ["25"]]
    assert waits == []


@pytest.mark.parametrize(("status", "message"), TOO_BIG)
def test_one_record_that_is_too_big_is_an_error(
    requests_mock: Mocker, status: int, message: str
) -> None:
    requests_mock.get(URL, status_code=status, json=error(8, message))
    with pytest.raises(FatalAPIError, match="cannot send a page so big"):
        stream_of(max_retries=3).fetch(QUERY)
    assert requests_mock.call_count == 7


def test_a_429_slows_every_thread(requests_mock: Mocker, waits: list[float]) -> None:
    limited = {"status_code": 429, "headers": {"Retry-After": "100"}}
    requests_mock.get(URL, [limited, {"json": EMPTY}])
    stream = stream_of(max_retries=1)
    stream.fetch(QUERY)
    waits[:] = [50]  # Half of the time has passed when another thread comes.
    thread = threading.Thread(target=stream.fetch, args=(QUERY,))
    thread.start()
    thread.join()
    assert waits == [50, 50]


def test_each_thread_has_its_own_session() -> None:
    stream = stream_of()
    sessions = [stream.requests_session]
    thread = threading.Thread(target=lambda: sessions.append(stream.requests_session))
    thread.start()
    thread.join()
    assert sessions[0] is stream.requests_session
    assert sessions[0] is not sessions[1]


def test_a_response_gives_its_records(requests_mock: Mocker) -> None:
    requests_mock.get(URL, text='{"items":[{"action":"created"},{}],"totalCount":2}')
    response = requests.get(URL, timeout=5)
    assert list(stream_of().parse_response(response)) == [{"action": "created"}, {}]
