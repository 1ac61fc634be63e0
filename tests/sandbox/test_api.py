"""The sandbox over HTTP, as the gateway would be."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import pytest

from sandbox.access import EXPIRED_KEY, VIEWER_KEY
from sandbox.faults import Faults, Plan
from sandbox.state import Options
from sandbox.timestamps import DAY
from tests.helpers.sandbox import (
    API_KEY,
    ITEMS,
    ORGANIZATION,
    PATH,
    UNTIL,
    UNTIL_NS,
    assert_refused,
    instant,
    reach,
)


@pytest.mark.parametrize("spaces", [False, True])
def test_a_page(client, spaces):
    client.behave(spaces=spaces)
    separators = None if spaces else (",", ":")
    for query, items, total in (
        ("filters.limit=3&filters.offset=1", ITEMS[-2:-5:-1], 250),
        ("filters.endTime=2020-01-01T00:00:00Z", [], 0),
    ):
        page = {"items": items, "totalCount": total}
        text = json.dumps(page, ensure_ascii=False, separators=separators)
        assert client.get(query).text == text


@pytest.mark.parametrize(
    ("behaviour", "limit", "size"),
    [
        ({}, "", 10),
        ({}, "filters.limit=0", 10),
        ({}, "filters.limit=4294967295", 250),
        ({"default_limit": 7}, "", 7),
        ({"max_limit": 9}, "filters.limit=10", 9),
        ({"max_limit": 9, "over_limit": "refuse"}, "filters.limit=9", 9),
    ],
)
def test_limits(client, behaviour, limit, size):
    client.behave(**behaviour)
    page = client.get(limit).json()
    assert (len(page["items"]), page["totalCount"]) == (size, 250)


@pytest.mark.parametrize(
    ("name", "path", "newer"),
    [
        ("action", ("action",), False),
        ("actorType", ("actor", "type"), False),
        ("actorId", ("actor", "id"), False),
        ("actorIp", ("actor", "ip"), True),
        ("origin", ("actor", "origin"), True),
    ],
)
def test_filters_and_a_server_that_does_not_know_them(client, name, path, newer):
    values = [reach(item, path) for item in ITEMS]
    value = next(filter(None, values))
    query = f"filters.limit=1000&filters.{name}={quote(value)}"
    found = client.get(query).json()
    assert {reach(item, path) for item in found["items"]} == {value}
    assert found["totalCount"] == values.count(value) < 250
    client.behave(older=True)
    assert client.get(query).json()["totalCount"] == (
        250 if newer else values.count(value)
    )


@pytest.mark.parametrize(
    "key",
    [
        *(None, "", "Basic", "Basic %%%", "Basic /////w==", "Bearer c2FuZGJveA=="),
        *(("sandbox-key-id", "wrong"), ("wrong", "sandbox-key-secret"), ("", "")),
        (VIEWER_KEY.id, "wrong"),
    ],
)
def test_without_a_key_nothing_is_shown(client, key):
    headers = {"authorization": key} if isinstance(key, str) else {}
    auth = key if isinstance(key, tuple) else (lambda request: request)
    for path in (PATH, ORGANIZATION, API_KEY):
        response = client.get(path=path, headers=headers, auth=auth)
        assert assert_refused(response, 401, 16) == "unauthenticated"


ALL, NEIGHBOURS = (PATH, ORGANIZATION, API_KEY), (ORGANIZATION, API_KEY)
ELSEWHERE = (*(path + "-2" for path in ALL), PATH + "/", "/", "/sandbox")


@pytest.mark.parametrize(
    ("options", "key", "paths", "refusal"),
    [
        ({}, None, ELSEWHERE, (404, 5)),
        ({}, VIEWER_KEY, [PATH], (403, 7)),
        ({}, EXPIRED_KEY, ALL, (401, 16)),
        ({"role": "member"}, None, [PATH], (403, 7)),
        ({"key_expires": UNTIL}, None, ALL, (401, 16)),
        ({"neighbours": "403"}, None, NEIGHBOURS, (403, 7)),
        ({"neighbours": "404", "role": "auditor"}, None, NEIGHBOURS, (404, 5)),
    ],
)
def test_what_is_not_shown_and_what_is(client, options, key, paths, refusal):
    client.server.state.options = Options(**options)
    auth = key and (key.id, key.secret)
    for path in paths:
        assert_refused(client.get(path=path, auth=auth), *refusal)
    for path in {PATH, ORGANIZATION} - set(paths):
        assert client.get(path=path, auth=auth).ok


@pytest.mark.parametrize("path", [PATH, ORGANIZATION, "/sandbox/stats"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_not_implemented(client, path, method):
    url = client.server.url + path
    assert_refused(client.session.request(method, url, timeout=5), 501, 12)
    assert client.session.head(client.server.url + PATH, timeout=5).status_code == 501


@pytest.mark.parametrize("path", [PATH, ORGANIZATION, "/nowhere"])
def test_every_response_names_build_request_and_time(client, path):
    client.server.state.options = Options(clock_skew_seconds=-7200)
    before = int(time.time()) - 7200
    responses = [client.get(path=path) for _ in range(3)]
    assert len({int(response.headers["cf-ray"], 16) for response in responses}) == 3
    for response in responses:
        assert response.headers["x-version"]
        assert "server" not in response.headers
        date = parsedate_to_datetime(response.headers["date"]).timestamp()
        assert before <= date <= time.time() - 7200
    client.server.state.options = Options(date_header=False)
    assert "date" not in client.get(path=path).headers


@pytest.mark.parametrize("compressed", [False, True])
def test_a_page_may_be_too_big_for_the_hop_behind(client, compressed):
    whole = len(client.get("filters.limit=9").content)
    client.behave(too_big_bytes=whole, compressed_hop=compressed)
    assert client.get("filters.limit=9").ok
    message = assert_refused(client.get("filters.limit=99"), 429, 8)
    text, _, sizes = message.partition(" (")
    after = "after decompression " if compressed else ""
    assert text == f"grpc: received message {after}larger than max"
    assert int(sizes.split()[0]) > whole == int(sizes.split()[-1].rstrip(")"))


def test_events_may_arrive_with_every_request(client):
    client.server.state.options = Options(arrivals=3)
    before = time.time_ns()
    first = client.get("filters.limit=3").json()
    second = client.get("filters.limit=3").json()
    assert (first["totalCount"], second["totalCount"]) == (253, 256)
    arrived = first["items"] + second["items"]
    assert len({json.dumps(item) for item in arrived}) == 6
    assert all(before <= instant(item) <= time.time_ns() for item in arrived)


def test_time_may_be_lost(client):
    client.server.state.options = Options(latency_seconds=0.1)
    begin = time.monotonic()
    client.get()
    assert time.monotonic() - begin >= 0.1


def test_the_sandbox_serves_32_at_once(client):
    client.server.state.faults = Faults(Plan(("hang",)))
    with ExitStack() as stack:
        connections = [stack.enter_context(client.ask()) for _ in range(32)]
        for connection in connections:
            assert connection.recv(1)
    assert client.server.state.stats.in_flight_max == 32


def test_the_organization_and_the_key(client):
    expires = datetime(2100, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    client.server.state.options = Options(role="auditor", key_expires=expires)
    organization = client.get(path=ORGANIZATION).json()["organization"]
    assert organization.items() >= {"id": "sandbox", "name": "Northwind"}.items()
    assert organization["plan"] == "enterprise"
    assert organization["quota"]["auditRecordMonths"] == "1200"
    key = client.get(path=API_KEY).json()["apiKey"]
    assert key["permissions"]["customRoles"] == ["auditor"]
    assert key["expireTime"] == "2100-02-03T04:05:06Z"
    client.server.state.options = Options()
    assert client.get(path=API_KEY).json()["apiKey"]["expireTime"] is None
    client.behave(older=True)
    organization = client.get(path=ORGANIZATION).json()["organization"]
    assert list(organization["quota"]) == ["maxOrgMembers"]
    assert_refused(client.get(path=API_KEY), 404, 5)
    found = client.get(path="/sandbox/stats").json()["neighbours"]
    assert found == {ORGANIZATION: 2, API_KEY: 3}


@pytest.mark.parametrize("filter_on", ["timestamp", "lastOccurredTimestamp"])
def test_what_is_older_than_what_is_kept_is_forgotten(client, filter_on):
    client.behave(filter_on=filter_on)
    client.server.state.clock = lambda: UNTIL_NS
    client.server.state.options = Options(months_kept=2, months_archived=12)
    kept = [item for item in ITEMS if instant(item) >= UNTIL_NS - 61 * DAY]
    assert 0 < len(kept) < len(ITEMS)
    assert client.get().json()["totalCount"] == len(kept)
    left = client.get(path="/sandbox/events").json()
    assert sorted(left, key=ITEMS.index) == kept
    quota = client.get(path=ORGANIZATION).json()["organization"]["quota"]
    assert quota["auditRecordMonths"] == "2"
    assert quota["auditRecordArchiveMonths"] == "12"
    client.server.state.clock = time.time_ns
