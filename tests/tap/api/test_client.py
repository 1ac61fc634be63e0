from __future__ import annotations

import base64
import json
import socket
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
import requests
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api import errors
from tap_akuity.api.errors import BadRequestError, PageTooBigError
from tap_akuity.api.query import Query
from tests.helpers.clients import URL, client_of, stream_of

if TYPE_CHECKING:
    from requests_mock import Mocker

QUERY = Query(999_000_000, 2_000_000_000, 500, 100)
EMPTY = {"items": [], "totalCount": 0}


def test_a_request(requests_mock: Mocker) -> None:
    requests_mock.get(URL, json=EMPTY)
    stream_of().client.fetch(QUERY)
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
        actions=["created", "a,b"],
        actor_types=["user"],
        actor_ids=["x&y", "z"],
        actor_ips=["::1"],
        origins=["mcp", "ui"],
    ).client.fetch(QUERY)
    assert requests_mock.last_request is not None
    assert requests_mock.last_request.url.startswith(
        f"{URL}?filters.action=created&filters.action=a%2Cb&filters.actorType=user"
        "&filters.actorId=x%26y&filters.actorId=z&filters.actorIp=%3A%3A1"
        "&filters.origin=mcp&filters.origin=ui&filters.startTime="
    )


def test_own_url_agent_and_a_strange_organization(requests_mock: Mocker) -> None:
    requests_mock.get(
        "https://eu.example.com/x/api/v1/organizations/a%20b%3Fc/audit-logs", json=EMPTY
    )
    stream_of(
        organization_id="a b?c", api_url="https://eu.example.com/x/", user_agent="me"
    ).client.fetch(QUERY)
    assert requests_mock.last_request is not None
    assert requests_mock.last_request.headers["User-Agent"] == "me"


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize(("is_reached", "attempts"), [(False, 5), (True, 11)])
def test_a_server_that_was_never_there_gets_few_attempts(
    requests_mock: Mocker, *, is_reached: bool, attempts: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    client = client_of(url=url, max_attempts=11)
    requests_mock.get(url, json=EMPTY)
    if is_reached:
        client.fetch(QUERY)
    requests_mock.get(url, real_http=True)
    with pytest.raises(FatalAPIError, match=rf"Attempts: {attempts}\.$"):
        client.fetch(QUERY)


def test_a_page(requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1763742400 * 10**9)
    body = '{ "totalCount": 12, "new": 1, "items": [ {"a": 1} , {} ] }'
    date = "Fri, 21 Nov 2025 16:26:40 GMT"
    requests_mock.get(URL, text=body, headers={"Date": date})
    page = client_of().fetch(QUERY)
    assert bytes(page.items) == b'[ {"a": 1} , {} ]'
    assert page.total_count == 12
    assert page.date == 1763742400 * 10**9


@pytest.mark.parametrize("headers", [{}, {"Date": "now"}, {"Date": ""}])
def test_no_date_is_no_error(requests_mock: Mocker, headers: dict[str, str]) -> None:
    requests_mock.get(URL, json=EMPTY, headers=headers)
    assert client_of().fetch(QUERY).date is None


def error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": []}


EU = "(that of the EU region is https://eu.akuity.cloud)"
FATAL = [
    (
        400,
        error(3, "bad action"),
        "Akuity refused the request: check the settings (HTTP 400 from akuity.cloud, "
        "“bad action”",
    ),
    (
        401,
        error(16, "unauthenticated"),
        "Akuity refused the API key: check `api_key_id` and `api_key_secret`, that the "
        "key has not expired, been revoked or been limited to other IP addresses, and "
        f"that `api_url` is its region's {EU} (HTTP 401 from",
    ),
    (
        403,
        error(7, "denied"),
        "The API key may not read the audit log: give it a custom role that may get "
        "`organization/audit-log`, or else the Owner role (HTTP 403 from",
    ),
    (
        404,
        error(5, "no"),
        f"There is no organization at {URL}: check `organization_id` and `api_url` "
        f"{EU} (HTTP 404 from akuity.cloud, “no”",
    ),
    (418, error(2, "tea"), "in an unexpected way: check `api_url` (HTTP 418"),
    (
        501,
        error(12, "Method Not Allowed"),
        "report it as a bug of the tap (HTTP 501 from akuity.cloud, “Method Not Allowe",
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
        client_of(max_attempts=6).fetch(QUERY)
    assert message in str(caught.value)
    assert "cf-ray 8f2c, x-version 0.9" in str(caught.value)
    assert "hush" not in str(caught.value)
    assert requests_mock.call_count == 1
    assert waits == []


PASSING: list[dict[str, Any]] = [
    {"status_code": 408},
    {"status_code": 409, "json": error(10, "aborted")},
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
    {"text": '{"items":null,"tot'},
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
    assert client_of(max_attempts=3).fetch(QUERY).total_count == 3
    assert waits == [1, 2]


@pytest.mark.parametrize("failure", PASSING)
def test_but_not_for_ever(
    requests_mock: Mocker, waits: list[float], failure: dict[str, Any]
) -> None:
    requests_mock.get(URL, [failure])
    with pytest.raises(FatalAPIError, match=r" Attempts: 3\.$") as caught:
        client_of(max_attempts=3).fetch(QUERY)
    assert len(waits) == 2
    status = failure.get("status_code", 200)
    assert ("`api_url`" in str(caught.value)) == (status == 200)


NO_PAGE = [
    f'{{"items":[],"totalCount":{"9" * 10_000}}}',
    '{"totalCount":1}',
    '{"items":null,"totalCount":1}',
    '{"items":{},"totalCount":1}',
    '{"items":[]}',
    '{"items":[],"totalCount":"0"}',
    '{"message":"welcome"}',
    "[]",
    "5",
]


@pytest.mark.parametrize("body", NO_PAGE)
def test_json_that_is_no_page_is_final_after_a_second_attempt(
    requests_mock: Mocker, waits: list[float], body: str
) -> None:
    requests_mock.get(URL, [{"text": body}, {"json": EMPTY}])
    assert client_of(max_attempts=9).fetch(QUERY).total_count == 0
    requests_mock.get(URL, text=body)
    message = r"^https://akuity\.cloud did not respond with events: check `api_url` "
    with pytest.raises(FatalAPIError, match=message + r".* Attempts: 2\.$"):
        client_of(max_attempts=9).fetch(QUERY)
    assert waits == [1, 1]


def test_the_waits_grow_to_about_five_minutes_in_all(
    requests_mock: Mocker, waits: list[float]
) -> None:
    requests_mock.get(URL, status_code=503)
    with pytest.raises(FatalAPIError):
        client_of(max_attempts=11).fetch(QUERY)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_the_jitter_is_full(requests_mock: Mocker, monkeypatch: Any) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    requests_mock.get(URL, status_code=503)
    for _ in range(20):
        with pytest.raises(FatalAPIError):
            client_of(max_attempts=2).fetch(QUERY)
    assert all(0 <= wait <= 1 for wait in waited)
    assert len(set(waited)) > 10


@pytest.mark.parametrize(
    ("header", "at_least", "at_most"),
    [
        ("7", 7, 7),
        ("in 90 seconds", 60, 90),
        ("99999", errors.MAX_RETRY_AFTER_SECONDS, errors.MAX_RETRY_AFTER_SECONDS),
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
    client_of(max_attempts=2).fetch(QUERY)
    (wait,) = waits
    assert at_least <= wait <= at_most


def test_each_retry_is_one_log_line(
    requests_mock: Mocker, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    requests_mock.get(URL, [{"status_code": 503}, {"json": EMPTY}])
    client_of(max_attempts=11).fetch(QUERY)
    assert caplog.messages == [
        "Attempt 1 of 11 failed; retrying in 1.0 seconds: Akuity is having trouble: "
        "try again later (HTTP 503 from akuity.cloud)."
    ]
    assert waits == [1]


def test_what_a_server_says_cannot_harm_the_terminal(requests_mock: Mocker) -> None:
    message = "\x1b]0;owned\x07\x1b[31mred\r\n\u202e" + "x" * 5000
    requests_mock.get(URL, status_code=400, json=error(3, message))
    with pytest.raises(FatalAPIError) as caught:
        client_of().fetch(QUERY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_an_unreachable_host() -> None:
    with pytest.raises(FatalAPIError) as caught:
        client_of(url="http://127.0.0.1:9/x").fetch(QUERY)
    assert str(caught.value) == (
        "Could not get a response from http://127.0.0.1:9: check `api_url`, the "
        "network and the proxy (Failed to establish a new connection: [Errno 111] "
        "Connection refused). Attempts: 1."
    )


TOO_BIG = [
    (429, "grpc: received message larger than max (12732627 vs. 4194304)"),
    (429, "grpc: received message after decompression larger than max (9 vs. 4)"),
]
TOO_LARGE_A_LIMIT = (400, "filters.limit must be at most 100")


@pytest.mark.parametrize(("status", "message"), [*TOO_BIG, TOO_LARGE_A_LIMIT])
def test_a_page_that_is_too_big_is_asked_for_smaller(
    requests_mock: Mocker, waits: list[float], status: int, message: str
) -> None:
    too_big = {"status_code": status, "json": error(8, message)}
    requests_mock.get(URL, [too_big, too_big, {"json": EMPTY}, {"json": EMPTY}])
    client = client_of(max_attempts=4)
    client.fetch(QUERY)
    client.fetch(QUERY)
    limits = [r.qs["filters.limit"] for r in requests_mock.request_history]
    assert limits == [["100"], ["50"], ["25"], ["25"]]
    assert waits == []


@pytest.mark.parametrize(("status", "message"), TOO_BIG)
def test_one_event_that_is_too_big_is_an_error_that_names_the_range(
    requests_mock: Mocker, status: int, message: str
) -> None:
    requests_mock.get(URL, status_code=status, json=error(8, message))
    with pytest.raises(PageTooBigError) as caught:
        client_of(max_attempts=4).fetch(QUERY)
    assert str(caught.value).startswith(
        "An event between 1970-01-01T00:00:00.999Z and 1970-01-01T00:00:02Z is too big "
        "to be sent: leave it out with `start_date`, `end_date` or a filter, and ask "
        "Akuity's support for it. The page is too big for Akuity to send (HTTP 429 from"
    )
    assert requests_mock.call_count == 7


@pytest.mark.parametrize("message", ["offset out of range", TOO_LARGE_A_LIMIT[1]])
def test_a_request_that_is_refused_is_not_about_its_size(
    requests_mock: Mocker, message: str
) -> None:
    requests_mock.get(URL, status_code=400, json=error(3, message))
    with pytest.raises(BadRequestError, match=r"^Akuity refused the request") as caught:
        client_of().fetch(QUERY._replace(limit=1))
    assert not isinstance(caught.value, PageTooBigError)
    assert requests_mock.call_count == 1


def test_a_429_slows_every_thread(requests_mock: Mocker, waits: list[float]) -> None:
    limited = {"status_code": 429, "headers": {"Retry-After": "100"}}
    requests_mock.get(URL, [limited, {"json": EMPTY}])
    client = client_of(max_attempts=2)
    client.fetch(QUERY)
    waits[:] = [50]  # Half of the time has passed when another thread comes.
    thread = threading.Thread(target=client.fetch, args=(QUERY,))
    thread.start()
    thread.join()
    assert waits == [50, 50]


def test_requests_at_a_time_have_a_session_each_that_stays() -> None:
    client = client_of()
    with client._session() as first:
        with client._session() as second:
            assert first is not second
        with client._session() as third:
            assert third is second
    with client._session() as fourth:
        assert fourth is first


@pytest.mark.parametrize(
    ("skew", "believed"),
    [
        (0, True),
        (86_390, True),
        (-86_390, True),
        (86_410, False),
        (-90_000, False),
        (30 * 365 * 86_400, False),
        (-30 * 365 * 86_400, False),
    ],
)
def test_a_clock_that_is_more_than_a_day_off_is_not_believed(
    requests_mock: Mocker,
    caplog: pytest.LogCaptureFixture,
    skew: int,
    *,
    believed: bool,
) -> None:
    there = int(time.time()) + skew
    header = formatdate(there, usegmt=True)
    requests_mock.get(URL, json=EMPTY, headers={"Date": header})
    client = client_of()
    dates = [client.fetch(QUERY).date for _ in range(3)]
    assert dates == [there * 10**9 if believed else None] * 3
    warning = (
        f"The server's clock ({header}) is more than a day off the local clock, which "
        "is used instead: correct the local clock if it is wrong."
    )
    assert caplog.messages == ([] if believed else [warning])


def test_a_date_after_all_calendars(requests_mock: Mocker) -> None:
    header = "Fri, 31 Dec 9999 23:59:59 GMT"
    requests_mock.get(URL, json=EMPTY, headers={"Date": header})
    assert client_of().fetch(QUERY).date is None


@pytest.mark.parametrize("white", ["\n", "\r\n", "\n\t "])
def test_items_are_on_one_line(requests_mock: Mocker, white: str) -> None:
    body = json.dumps({"items": [{"a": ["\n"], "b": 1.50}], "totalCount": 1}, indent=1)
    requests_mock.get(URL, text=body.replace("\n", white) + "\n")
    page = client_of().fetch(QUERY)
    assert bytes(page.items) == b'[{"a":["\\n"],"b":1.5}]'
