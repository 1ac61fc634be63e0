import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import backoff
import pytest
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.errors import BadRequestError, PageTooBigError, check_status
from tap_akuity.api.query import Query
from tests.helpers.clients import ORGANIZATION_URL, URL, client_of, stream_of

QUERY = Query(999_000_000, 2_000_000_000, 500, 100)
EMPTY = {"items": [], "totalCount": 0}


def test_a_request_has_the_key_the_filters_and_the_page(requests_mock):
    url = "https://eu.example.com/x/api/v1/organizations/a%20b%3Fc/audit-logs"
    requests_mock.get(url, json=EMPTY)
    stream_of(
        organization_id="a b?c",
        api_url="https://eu.example.com/x/",
        user_agent="me",
        actions=["created", "a,b"],
        actor_types=["user"],
        actor_ids=["x&y", "z"],
        actor_ips=["::1", "2001:DB8:0:0:0:0:0:1", "x"],
        origins=["mcp", "ui"],
    ).client.fetch(QUERY)
    request = requests_mock.last_request
    assert request.headers["User-Agent"] == "me"
    basic = base64.b64encode(b"key:hush").decode()
    assert request.headers["Authorization"] == f"Basic {basic}"
    assert request.url == (
        f"{url}?filters.action=created&filters.action=a%2Cb&filters.actorType=user"
        "&filters.actorId=x%26y&filters.actorId=z&filters.actorIp=%3A%3A1"
        "&filters.actorIp=2001%3ADB8%3A0%3A0%3A0%3A0%3A0%3A1&filters.actorIp=x"
        "&filters.actorIp=2001%3Adb8%3A%3A1"
        "&filters.origin=mcp&filters.origin=ui"
        "&filters.startTime=1970-01-01T00%3A00%3A00.999Z"
        "&filters.endTime=1970-01-01T00%3A00%3A02Z&filters.offset=500&filters.limit=100"
    )


ACROSS_PIECES = f'["{"é" * 70_000}"]'


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ('[ {"a": 1} ]', '[ {"a": 1} ]'),
        ('[\n{"a":["\\n"],\r\n\t "b": 1.50}]', '[{"a":["\\n"],"b":1.50}]'),
        (ACROSS_PIECES, ACROSS_PIECES),
    ],
)
def test_items_are_on_one_line(requests_mock, items, expected):
    requests_mock.get(URL, text=f'{{ "totalCount": 12, "new": 1, "items": {items} }}\n')
    page = client_of().fetch(QUERY)
    assert bytes(page.items).decode() == expected
    assert page.total_count == 12


@pytest.mark.parametrize("total", ["12", '"12"'])
def test_a_count_may_be_text(requests_mock, total):
    requests_mock.get(URL, text=f'{{"items":[],"totalCount":{total}}}')
    assert client_of().fetch(QUERY).total_count == 12


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize(("is_reached", "attempts"), [(False, 5), (True, 11)])
def test_a_server_that_was_never_there_gets_few_attempts(
    requests_mock, is_reached, attempts
):
    url = "http://127.0.0.1:9"
    client = client_of(f"{url}/logs", max_attempts=11)
    if is_reached:
        requests_mock.get(f"{url}/logs", json=EMPTY)
        client.fetch(QUERY)
    requests_mock.get(f"{url}/logs", real_http=True)
    sentence = (
        f"^Could not get a response from {url}: check `api_url`, the network and the "
        r"proxy \(Failed to establish a new connection: \[Errno \d+\] Connection refuse"
        rf"d\)\. Attempts: {attempts}\.$"
    )
    with pytest.raises(FatalAPIError, match=sentence):
        client.fetch(QUERY)


EU = "(for the EU region: https://eu.akuity.cloud)"
TROUBLE = "Akuity is having trouble: try again later"
ABORTED = "Akuity aborted the request: try again later"
STATUSES = [
    (302, 1, "https://akuity.cloud redirects to evil.example.com, where the API key"),
    (400, 1, "Akuity refused the request: check the settings"),
    (
        401,
        1,
        "Akuity refused the API key: check `api_key_id` and `api_key_secret`, that the "
        "key has not expired, been revoked or been limited to other IP addresses, and "
        f"that `api_url` is its region's {EU}",
    ),
    (
        403,
        1,
        "The API key may not read the audit log: give it a custom role that may get "
        "`organization/audit-log`, or else the Owner role",
    ),
    (
        404,
        1,
        f"There is no organization at {URL}: check `organization_id` and `api_url` "
        f"{EU}",
    ),
    (408, 3, TROUBLE),
    (409, 3, ABORTED),
    (418, 1, "Akuity responded in an unexpected way: check `api_url`"),
    (429, 3, "Rate limited by Akuity: lower `concurrency`, or try again later"),
    (499, 3, ABORTED),
    (500, 3, TROUBLE),
    (501, 1, "Akuity does not support the request: report it as a bug of the tap"),
    (527, 3, TROUBLE),
]


@pytest.mark.parametrize(("status", "attempts", "sentence"), STATUSES)
def test_only_what_can_pass_is_retried(
    requests_mock, waits, status, attempts, sentence
):
    headers = {"cf-ray": "8f2c", "x-version": "0.9", "Location": "//evil.example.com/x"}
    requests_mock.get(URL, status_code=status, json={"message": "why"}, headers=headers)
    with pytest.raises(FatalAPIError) as caught:
        client_of(max_attempts=3).fetch(QUERY)
    assert str(caught.value).startswith(sentence)
    details = f" (HTTP {status} from akuity.cloud, “why”, cf-ray 8f2c, x-version 0.9)."
    suffix = f" Attempts: {attempts}." if attempts > 1 else ""
    assert str(caught.value).endswith(details + suffix)
    assert requests_mock.call_count == attempts
    assert waits == [0.5, 1][: attempts - 1]


TOO_LARGE_A_LIMIT = "filters.limit must be at most 100"
TOO_BIG = "grpc: received message %slarger than max (12732627 vs. 4194304)"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "offset out of range", BadRequestError),
        # A limit of another kind makes no smaller pages.
        (400, "rate limit exceeded", BadRequestError),
        (400, "request limit exceeded", BadRequestError),
        (429, TOO_BIG % "", PageTooBigError),
        (429, TOO_BIG % "after decompression ", PageTooBigError),
        (500, "grpc: string field contains invalid UTF-8", FatalAPIError),
    ],
)
def test_what_a_message_rules_out_is_not_retried(requests_mock, status, message, kind):
    requests_mock.get(URL, status_code=status, json={"message": message})
    sentence = r"^(Akuity refused the request: check the s|The page is too big for Ak)"
    with pytest.raises(FatalAPIError, match=sentence) as caught:
        client_of(max_attempts=4).fetch(QUERY)
    assert type(caught.value) is kind
    assert requests_mock.call_count == 1


def test_text_that_is_not_utf_8_is_not_a_page(requests_mock, waits):
    content = b'{"items":[{"a":"%b\xff"}],"totalCount":1}' % (b"x" * 70_000)
    requests_mock.get(URL, content=content)
    with pytest.raises(FatalAPIError, match="did not respond with events: check `api_"):
        client_of(max_attempts=3).fetch(QUERY)
    assert waits == [0.5, 1]


def test_the_waits_grow_to_a_minute_with_full_jitter(requests_mock, waits, caplog):
    requests_mock.get(URL, status_code=503)
    with pytest.raises(FatalAPIError):
        client_of(max_attempts=11).fetch(QUERY)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30]
    assert len(caplog.messages) == 10
    assert caplog.messages[1] == (
        "Attempt 2 of 11 failed; retrying in 1.0 seconds: Akuity is having trouble: "
        "try again later (HTTP 503 from akuity.cloud)."
    )


def test_a_retry_without_a_wait_is_made_now(requests_mock, monkeypatch, caplog):
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.04)
    requests_mock.get(URL, [{"status_code": 503}, {"json": EMPTY}])
    client_of(max_attempts=2).fetch(QUERY)
    assert "Attempt 1 of 2 failed; retrying now: Akuity is" in caplog.text


REVOKED = {"status_code": 401}
DOWN = {"status_code": 503, "headers": {"Retry-After": "100"}}


@pytest.mark.parametrize(("fatal", "attempts"), [(REVOKED, 9), (DOWN, 1)])
def test_an_error_that_ends_the_run_ends_every_wait(requests_mock, fatal, attempts):
    requests_mock.get(f"{URL}?filters.offset=1", **DOWN)
    requests_mock.get(f"{URL}?filters.offset=2", **fatal)
    client = client_of(max_attempts=9)
    with ThreadPoolExecutor(3) as threads:
        waiting = [
            threads.submit(client.fetch, QUERY._replace(offset=1)) for _ in range(3)
        ]
        while requests_mock.call_count < 3:
            time.sleep(0.001)
        client.max_attempts = attempts
        with pytest.raises(FatalAPIError) as caught:
            client.fetch(QUERY._replace(offset=2))
        waiting.append(threads.submit(client.fetch, QUERY))
        assert {str(one.exception(5)) for one in waiting} == {str(caught.value)}
    assert requests_mock.call_count == 4


def test_a_request_that_the_run_can_do_without_ends_nothing(requests_mock):
    requests_mock.get(ORGANIZATION_URL, status_code=401)
    requests_mock.get(URL, [{"status_code": 400}, {"json": EMPTY}])
    client = client_of()
    with pytest.raises(FatalAPIError):
        client.get(ORGANIZATION_URL, lambda got: check_status(got, URL), max_attempts=3)
    with pytest.raises(BadRequestError):
        client.fetch(QUERY)
    assert client.fetch(QUERY).total_count == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("Sun, 09 Sep 2001 01:48:10 GMT", 90),
        ("99999", 300),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.5),
        ("-5", 0.5),
        ("", 0.5),
    ],
)
def test_a_retry_waits_as_long_as_the_server_asks(
    requests_mock, waits, monkeypatch, header, seconds
):
    monkeypatch.setattr(time, "time", lambda: 10**9)
    limited = {"status_code": 429, "headers": {"Retry-After": header}}
    requests_mock.get(URL, [limited, {"json": EMPTY}])
    client_of(max_attempts=2).fetch(QUERY)
    assert waits == [seconds]


def test_a_429_slows_every_thread(requests_mock, waits):
    limited = {"status_code": 429, "headers": {"Retry-After": "100"}}
    requests_mock.get(URL, [limited, {"json": EMPTY}])
    client = client_of(max_attempts=2)
    client.fetch(QUERY)
    waits[:] = [50]  # Half of the time has passed when another thread comes.
    thread = threading.Thread(target=client.fetch, args=(QUERY,))
    thread.start()
    thread.join()
    assert waits == [50, 50]


@pytest.mark.parametrize(
    ("limit", "limits", "later"),
    [
        (100, [100, 50, 25], 25),
        # Akuity's own maximum is tried first.
        (5000, [5000, 1000, 500], 500),
    ],
)
def test_a_limit_that_is_refused_is_lowered(requests_mock, waits, limit, limits, later):
    refused = {"status_code": 400, "json": {"message": TOO_LARGE_A_LIMIT}}
    requests_mock.get(URL, [refused, refused, {"json": EMPTY}])
    client = client_of()
    for _ in range(2):
        client.fetch(QUERY._replace(limit=limit))
    asked = [int(r.qs["filters.limit"][0]) for r in requests_mock.request_history]
    assert (asked, waits) == ([*limits, later], [])


def test_a_limit_that_is_refused_for_another_reason_is_kept(requests_mock):
    """If no smaller page works, down to one event, the limit was not the problem."""
    refused = {"status_code": 400, "json": {"message": TOO_LARGE_A_LIMIT}}
    requests_mock.get(URL, [*[refused] * 7, {"json": EMPTY}])
    client = client_of()
    with pytest.raises(BadRequestError):
        client.fetch(QUERY)
    client.fetch(QUERY)
    limits = [int(r.qs["filters.limit"][0]) for r in requests_mock.request_history]
    assert limits == [100, 50, 25, 12, 6, 3, 1, 100]


@pytest.mark.parametrize("skew", [86_390, -86_390, 86_410, -90_000])
def test_a_clock_that_is_more_than_a_day_off_is_not_believed(
    requests_mock, caplog, skew
):
    there = int(time.time()) + skew
    header = formatdate(there, usegmt=True)
    requests_mock.get(URL, json=EMPTY, headers={"Date": header})
    client = client_of()
    dates = [client.fetch(QUERY).date for _ in range(2)]
    is_believed = abs(skew) < 86_400
    assert dates == [there * 10**9 if is_believed else None] * 2
    warning = (
        f"The server's clock ({header}) is more than a day off the local clock, which "
        "is used instead: correct the local clock if it is wrong."
    )
    assert caplog.messages == ([] if is_believed else [warning])


@pytest.mark.parametrize(
    "headers", [{}, {"Date": "now"}, {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}]
)
def test_no_date_is_no_error(requests_mock, headers):
    requests_mock.get(URL, json=EMPTY, headers=headers)
    assert client_of().fetch(QUERY).date is None


@pytest.mark.usefixtures("waits")
def test_requests_and_retries_are_counted(requests_mock):
    page = {"json": {"items": [], "totalCount": 0}}
    requests_mock.get(URL, [{"status_code": 503}, page])
    client = client_of(max_attempts=2)
    for counts in ((2, 1), (3, 1)):
        client.fetch(QUERY)
        assert (client.requests, client.retries) == counts
