"""The sandbox keeps every promise that the demo, tests and benchmarks rely on."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sandbox.app import VIEWER_KEY_ID, VIEWER_KEY_SECRET
from sandbox.data import Dataset, Organization, generate, older
from sandbox.errors import ApiError
from sandbox.faults import KINDS, Faults, Plan
from sandbox.instants import instants
from sandbox.query import Query, parse
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.stats import Stats
from sandbox.store import Behaviour, Store
from sandbox.timestamps import DAY, HOUR, SECOND, from_record, from_rfc3339, to_go

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.data import Item
    from sandbox.instants import Distribution

UNTIL = datetime(2025, 11, 21, 16, 30, tzinfo=timezone.utc)
UNTIL_NS = from_rfc3339("2025-11-21T16:30:00Z")
DISTRIBUTIONS: tuple[Distribution, ...] = ("organization", "even", "clustered")
ROOT = Path(__file__).parent.parent

ITEMS = generate(250, 1, UNTIL)
PATH = "/api/v1/organizations/sandbox/audit-logs"


def instant(item: Item) -> int:
    return from_record(item["timestamp"])


def event(ns: int, name: str = "event", **fields: Any) -> Item:
    return {
        "timestamp": to_go(ns),
        "action": "created",
        "actor": {"type": "user", "id": "ana"},
        "object": {"type": "workspace", "id": None, "parentId": None},
        "details": {"message": name, "patch": "", "actionType": "CREATE"},
        "count": 1,
        "lastOccurredTimestamp": to_go(ns),
        **fields,
    }


def name(item: Item) -> str:
    return str(item["details"]["message"])


def names(store: Store, **query: Any) -> list[str]:
    rows, _ = store.query(Query(**{"limit": 100, **query}))
    return [name(json.loads(row)) for row in rows]


# Timestamps


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("2025-11-21 16:26:40.13921 +0000 UTC", 139_210_000),
        ("2025-11-21 16:26:40 +0000 UTC", 0),
        ("2025-11-21 16:26:40.000000001 +0000 UTC", 1),
        ("2025-11-21 16:26:40.5 +0000 UTC", 500_000_000),
    ],
)
def test_go_prints_0_to_9_digits_without_trailing_zeros(text, fraction):
    ns = from_rfc3339("2025-11-21T16:26:40Z") + fraction
    assert to_go(ns) == text
    assert from_record(text) == ns


@given(st.integers(-(10**18), 4 * 10**18))
def test_go_text_is_exact(ns):
    assert from_record(to_go(ns)) == ns


@pytest.mark.parametrize(
    "text",
    [
        "2025-11-21 18:26:40.5 +0200 CEST",
        "2025-11-21 11:26:40.5 -0500 -0500",
        "2025-11-21T16:26:40.5Z",
        "2025-11-21T18:26:40.500+02:00",
    ],
)
def test_a_record_may_name_another_zone(text):
    assert to_go(from_record(text)) == "2025-11-21 16:26:40.5 +0000 UTC"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-11-21",
        "2025-11-21T16:26:40",
        "2025-11-21 16:26:40Z",
        "2025-11-21T16:26:40 00:00",
        "2025-11-21T16:26:40+0000",
        "2025-11-21t16:26:40z",
        "2025-11-21T16:26Z",
        "2025-11-21T16:26:40.Z",
        "2025-11-21T24:00:00Z",
        "2025-11-21T16:26:60Z",
        "2025-02-29T16:26:40Z",
        "2025-13-01T16:26:40Z",
        "2025-11-21T16:26:40Z\n",
        "٢٠٢٥-11-21T16:26:40Z",
        "1763742400",
    ],
)
def test_rfc3339_is_strict(text):
    with pytest.raises(ValueError, match=r"is not a timestamp|day is out|month must"):
        from_rfc3339(text)


# Data


@pytest.mark.parametrize(
    ("distribution", "digest"),
    [
        ("organization", "af1dd5409123e5f2"),
        ("even", "238a7742bdba80bd"),
        ("clustered", "77b279064f59a566"),
    ],
)
def test_a_seed_gives_the_same_bytes_everywhere(distribution, digest):
    items = generate(3000, 7, UNTIL, None, distribution)
    text = json.dumps([older(item) for item in items], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


def test_another_seed_gives_other_data():
    assert generate(10, 1, UNTIL) != generate(10, 2, UNTIL)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("records", [0, 1, 2, 3000])
@pytest.mark.parametrize("days", [None, 1, 7])
def test_all_records_are_in_the_days_and_in_order(distribution, records, days):
    items = generate(records, 3, UNTIL, days, distribution)
    found = [instant(item) for item in items]
    span = days or {"organization": 90, "even": 90, "clustered": 1826}[distribution]
    assert len(items) == records
    assert found == sorted(found)
    assert all(UNTIL_NS - span * DAY <= ns < UNTIL_NS for ns in found)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_no_two_records_are_the_same_event(distribution):
    keys = ("timestamp", "action", "actor", "object", "details")
    items = generate(8000, 5, UNTIL, None, distribution)
    events = Counter(json.dumps([item[key] for key in keys]) for item in items)
    assert events.most_common(1)[0][1] == 1


def test_items_have_the_shape_of_the_api():
    for item in generate(5000, 2, UNTIL):
        assert list(item) == [
            "timestamp",
            "action",
            "actor",
            "object",
            "details",
            "count",
            "lastOccurredTimestamp",
        ]
        assert to_go(instant(item)) == item["timestamp"]
        assert set(item["actor"] or ()) <= {"type", "id", "ip", "origin"}
        assert all(isinstance(text, str) for text in (item["actor"] or {}).values())
        if item["object"] is not None:
            assert set(item["object"]) == {"type", "id", "parentId"}
            identity, parent = item["object"]["id"], item["object"]["parentId"]
            assert identity is None or set(identity) == {
                "name",
                "kind",
                "group",
                "namespace",
            }
            assert parent is None or set(parent) == {
                "name",
                "parentName",
                "applicationName",
                "projectName",
            }
        if item["details"] is not None:
            assert set(item["details"]) == {"message", "patch", "actionType"}
            patch = item["details"]["patch"]
            assert not patch or isinstance(json.loads(patch), dict)
        last = item["lastOccurredTimestamp"]
        assert item["count"] >= 1
        if last and item["count"] > 1:
            assert instant(item) < from_record(last) < UNTIL_NS
        elif last:
            assert last == item["timestamp"]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_trap_is_in_the_default_data(seed):
    items = generate(2000, seed, UNTIL)
    patches = [(item["details"] or {}).get("patch", "") for item in items]
    patched = [patch for patch in patches if patch]
    text = "".join(patched)
    assert any(item["actor"] is None for item in items)
    assert any(item["object"] is None for item in items)
    assert any(item["details"] is None for item in items)
    assert any(item["object"] and item["object"]["id"] is None for item in items)
    assert any(item["object"] and item["object"]["parentId"] is None for item in items)
    assert any(item["actor"] and "ip" not in item["actor"] for item in items)
    assert any(item["count"] > 1 for item in items)
    assert any(item["lastOccurredTimestamp"] == "" for item in items)
    assert len(patched) < len(items) / 5
    assert max(map(len, patched)) > 3000
    for trap in ('\\"', "\\n", "\n", "🚀", "تمت", "ß"):
        assert trap in text
    fractions = {len(item["timestamp"].split()[1].partition(".")[2]) for item in items}
    assert fractions == set(range(10))
    assert Counter(item["timestamp"] for item in items).most_common(1)[0][1] > 5


def test_an_organization_works_by_day_and_rests_at_weekends():
    found = [instant(item) for item in generate(5000, 4, UNTIL)]
    moments = [datetime.fromtimestamp(ns // SECOND, timezone.utc) for ns in found]
    weekend = sum(moment.weekday() >= 5 for moment in moments)
    night = sum(not 7 <= moment.hour < 21 for moment in moments)
    busiest = Counter(ns // (60 * SECOND) for ns in found).most_common(1)[0][1]
    assert weekend < len(moments) / 10
    assert night < len(moments) / 20
    assert busiest > 100


def test_even_is_even():
    found = [instant(item) for item in generate(999, 1, UNTIL, 90, "even")]
    gaps = [after - before for before, after in pairwise(found)]
    assert max(gaps) - min(gaps) <= 1


def test_clustered_is_five_years_of_silence_and_bursts():
    found = [instant(item) for item in generate(3000, 1, UNTIL, None, "clustered")]
    per_second = Counter(ns // SECOND for ns in found)
    silent = 1826 - len({ns // DAY for ns in found})
    assert per_second.most_common(1)[0][1] > 1400
    assert silent > 1700
    assert found[-1] - found[0] > 1700 * DAY


def test_a_burst_of_50000_fits_in_one_second():
    found = instants("clustered", 120_000, Random(1), UNTIL_NS - 1826 * DAY, UNTIL_NS)
    largest = Counter(ns // SECOND for ns in found).most_common(1)[0][1]
    assert largest >= 50_000


# Store

QUARTER = SECOND // 4
quarters = st.integers(0, 12).map(lambda n: n * QUARTER)
behaviours = st.builds(
    Behaviour,
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    whole_seconds=st.booleans(),
    filter_on=st.sampled_from(["timestamp", "lastOccurredTimestamp"]),
    order=st.sampled_from(["newest", "oldest", "random"]),
    shuffle_ties=st.booleans(),
    max_limit=st.sampled_from([1, 2, 3, 100]),
)


@given(
    behaviours,
    st.lists(st.tuples(quarters, quarters), max_size=12),
    st.none() | quarters,
    st.none() | quarters,
)
def test_a_query_gives_what_a_slow_and_simple_one_would(behaviour, times, start, end):
    items = [
        event(at, str(n), lastOccurredTimestamp=to_go(at + later))
        for n, (at, later) in enumerate(times)
    ]
    store = Store(items, behaviour)

    def key(item: Item) -> int:
        return from_record(item[behaviour.filter_on])

    def compared(ns: int) -> int:
        return ns // SECOND if behaviour.whole_seconds else ns

    def matches(item: Item) -> bool:
        at = compared(key(item))
        from_start = start is None or (
            at > compared(start)
            or (behaviour.start_inclusive and at == compared(start))
        )
        to_end = end is None or (
            at < compared(end) or (behaviour.end_inclusive and at == compared(end))
        )
        return from_start and to_end

    expected = [item for item in items if matches(item)]
    found: list[Item] = []
    while True:
        query = Query(start_ns=start, end_ns=end, limit=5, offset=len(found))
        rows, total = store.query(query)
        left = len(expected) - len(found)
        assert total == len(expected)
        assert len(rows) == min(5, behaviour.max_limit, left)
        if not rows:
            break
        found += [json.loads(row) for row in rows]
    assert all(item in expected for item in found)
    if behaviour.order != "random":
        keys = sorted(map(key, expected), reverse=behaviour.order == "newest")
        assert [key(item) for item in found] == keys
        if not behaviour.shuffle_ties or (behaviour.max_limit == 100 and total <= 5):
            assert sorted(map(name, found)) == sorted(map(name, expected))


def test_a_server_may_refuse_a_large_limit():
    store = Store(ITEMS, Behaviour(max_limit=9, over_limit="refuse"))
    assert len(store.query(Query(limit=9))[0]) == 9
    with pytest.raises(ApiError, match="limit must not exceed 9") as caught:
        store.query(Query(limit=10))
    assert (caught.value.status, caught.value.code) == (400, 3)


def test_an_older_server_knows_nothing_of_what_came_later():
    store, before = Store(ITEMS), Store(ITEMS, Behaviour(older=True))
    assert [json.loads(body) for body in before.bodies()] == list(map(older, ITEMS))
    for path, values in {
        "origin": {"mcp"},
        "actorIp": {"203.0.113.2", "198.51.100.2"},
    }.items():
        query = Query(limit=1000, filters={path: values})
        rows, total = store.query(query)
        member = path.removeprefix("actor").lower()
        assert {json.loads(row)["actor"][member] for row in rows} == values
        assert before.query(query)[1] == len(ITEMS) > total == len(rows)
    # What it is asked about may have what it does not know.
    assert before.bump(ITEMS[3], UNTIL_NS)["count"] == ITEMS[3]["count"] + 1


def without_revision(item: Item) -> Item:
    return {
        name: without_revision(value) if isinstance(value, dict) else value
        for name, value in item.items()
        if name != "revision"
    }


def test_twins_differ_in_an_unknown_member_only():
    plain = generate(200, 1, UNTIL)
    items = list(Dataset(200, 1, UNTIL, twins=30))
    assert len(items) == 230
    twins = [item for item in items if item != without_revision(item)]
    assert len(twins) == 30
    assert [item for item in items if item not in twins] == plain
    assert all(without_revision(twin) in plain for twin in twins)
    owners = {
        path
        for twin in twins
        for path in ("", "actor", "object", "id", "details")
        if "revision" in str(twin.get(path) or (path == "" and [*twin]))
    }
    assert owners >= {"", "actor", "object", "details"}


def test_every_event_may_have_members_that_nobody_knows():
    items = list(Dataset(50, 1, UNTIL, unknown_members=True, twins=1))
    assert len({item["requestId"] for item in items}) == 50
    assert all("labels" in (item["object"] or item) for item in items)


def test_random_is_another_order_on_every_request():
    store = Store(ITEMS, Behaviour(order="random"))
    pages = [store.query(Query(limit=len(ITEMS)))[0] for _ in range(3)]
    assert pages[0] != pages[1] != pages[2]
    assert sorted(pages[0]) == sorted(store.bodies())


def test_ties_may_come_in_another_order_on_every_request():
    items = [event(n // 20 * SECOND, str(n)) for n in range(60)]
    store = Store(items, Behaviour(order="oldest", shuffle_ties=True))
    first, second = names(store), names(store)
    assert first != second
    assert set(first[:20]) == set(second[:20])
    # So pages that cut through ties repeat some records, and miss others.
    pages = [names(store, limit=10, offset=offset) for offset in range(0, 60, 10)]
    assert len({name for page in pages for name in page}) < 60


def test_filters_are_exact_and_combine():
    items = [
        event(1, "a", action="x,y"),
        event(2, "b", action="x"),
        event(3, "c", action="x", actor=None),
        event(4, "d", actor={"type": "api_key", "id": "ana"}),
    ]
    store = Store(items)
    assert names(store, filters={"action": {"x"}}) == ["c", "b"]
    assert names(store, filters={"action": {"x,y", "created"}}) == ["d", "a"]
    assert names(store, filters={"actorId": {"ana"}}) == ["d", "b", "a"]
    assert names(store, filters={"action": {"x"}, "actorType": {"user"}}) == ["b"]
    assert names(store, filters={"actorType": {"user"}}, end_ns=2) == ["a"]


def test_late_records_take_their_place():
    store = Store([event(1, "a"), event(5, "c")])
    store.add([event(3, "b"), event(9, "d")])
    store.add([event(12, "e")])
    assert names(store) == ["e", "d", "c", "b", "a"]
    assert store.newest() == 12


def test_retention_forgets():
    store = Store(ITEMS)
    middle = instant(ITEMS[100])
    removed = store.remove_before(middle)
    assert removed + len(store) == len(ITEMS)
    assert all(instant(json.loads(body)) >= middle for body in store.bodies())


def test_the_same_event_again_is_no_new_record():
    store = Store(ITEMS)
    old = ITEMS[17]
    new = store.bump(old, UNTIL_NS, times=3)
    assert new == {
        **old,
        "count": old["count"] + 3,
        "lastOccurredTimestamp": to_go(UNTIL_NS),
    }
    assert len(store) == len(ITEMS)
    assert new in [json.loads(body) for body in store.bodies()]
    # The identity is what counts, not what grows.
    assert store.bump(old, UNTIL_NS + 1)["count"] == old["count"] + 4
    with pytest.raises(LookupError):
        store.bump({**old, "action": "another"}, UNTIL_NS)


def test_a_bump_moves_a_record_where_the_last_occurrence_is_compared():
    behaviour = Behaviour(filter_on="lastOccurredTimestamp")
    items = [event(1, "a"), event(2, "b")]
    store = Store(items, behaviour)
    store.bump(items[0], 7)
    assert names(store) == ["a", "b"]
    assert names(store, start_ns=5) == ["a"]


def test_a_record_without_last_occurrence_is_found_by_its_timestamp():
    behaviour = Behaviour(filter_on="lastOccurredTimestamp")
    store = Store([event(3, "a", lastOccurredTimestamp="")], behaviour)
    assert names(store, start_ns=3, end_ns=4) == ["a"]


def test_an_unreadable_timestamp_needs_a_place():
    store = Store()
    with pytest.raises(ValueError, match="not a timestamp"):
        store.add([event(1, timestamp="soon")])
    store.add([event(1, "odd", timestamp="soon")], at=4)
    assert names(store, start_ns=4, end_ns=5) == ["odd"]


def test_a_new_event_is_never_told_twice_at_one_instant():
    organization = Organization(Random(1))
    told = [organization.event(5, 5) for _ in range(2000)]
    assert len({json.dumps(item) for item in told}) == 2000


# Requests, as the gateway reads them


def refusal(query_string: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(query_string)
    return caught.value


def test_all_that_is_known_is_read():
    query = parse(
        "filters.startTime=2025-11-21T00:00:00.000000001Z"
        "&filters.endTime=2025-11-21T02:00:00%2B01:00"
        "&filters.limit=10&filters.offset=4294967295"
        "&filters.action=a%2Cb&filters.action=c"
        "&filters.actorType=user&filters.actorId=Sarah+Brown%40x"
        "&filters.origin=mcp&filters.actorIp=::1"
    )
    midnight = from_rfc3339("2025-11-21T00:00:00Z")
    assert query == Query(
        start_ns=midnight + 1,
        end_ns=midnight + HOUR,
        limit=10,
        offset=2**32 - 1,
        filters={
            "action": {"a,b", "c"},
            "actorType": {"user"},
            "actorId": {"Sarah Brown@x"},
            "origin": {"mcp"},
            "actorIp": {"::1"},
        },
    )


@pytest.mark.parametrize(
    "query_string",
    [
        "",
        "limit=5",
        "startTime=nonsense",
        "filters.bogus=1",
        "filters.start_time=nonsense",
        "filters.Limit=x",
        "filters.k8sResource.enabled=true",
        "filters.argocdApplication.objectName=a",
    ],
)
def test_what_is_not_known_is_ignored(query_string):
    assert parse(query_string) == Query()


@pytest.mark.parametrize("field", ["limit", "offset"])
@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1.0", "1e3", "ten", "4294967296", "1_0", "٣", "9" * 5000]
)
def test_what_is_no_uint32_is_refused(field, text):
    error = refusal(f"filters.{field}={text}")
    assert (error.status, error.code) == (400, 3)


@pytest.mark.parametrize(
    "query_string",
    [
        "filters.limit=1&filters.limit=1",
        "filters.offset=1&filters.offset=2",
        "filters.startTime=2025-11-21T00:00:00Z&filters.startTime=2025-11-22T00:00:00Z",
        "filters.startTime=",
        "filters.startTime=2025-11-21",
        "filters.startTime=2025-11-21T00:00:00",
        "filters.endTime=2025-11-21T00:00:00+00:00",
        "filters.endTime=2025-11-21%2000:00:00Z",
    ],
)
def test_what_can_not_be_read_is_refused(query_string):
    error = refusal(query_string)
    assert (error.status, error.code) == (400, 3)


# Over HTTP


class Client:
    """A session with the running sandbox."""

    def __init__(self, server: Sandbox) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (server.api_key_id, server.api_key_secret)

    def get(self, query: str = "", path: str = PATH, **options: Any) -> Any:
        url = f"{self.server.url}{path}?{query}"
        options = {"timeout": 5, "allow_redirects": False, **options}
        return self.session.get(url, **options)

    def post(self, path: str, content: Any = None) -> Any:
        return self.session.post(self.server.url + path, json=content, timeout=5)

    def ask(self, request: str = PATH) -> socket.socket:
        """Send a request, and leave the answer to be read."""
        port = urlsplit(self.server.url).port or 0
        connection = socket.create_connection(("127.0.0.1", port), 5)
        credentials = "c2FuZGJveC1rZXktaWQ6c2FuZGJveC1rZXktc2VjcmV0"
        connection.sendall(
            f"GET {request} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Basic {credentials}\r\n\r\n".encode()
        )
        return connection


@pytest.fixture(scope="module")
def running() -> Iterator[Client]:
    with Sandbox(ITEMS) as server:
        client = Client(server)
        with client.session:
            yield client


@pytest.fixture
def client(running: Client) -> Client:
    """Give the running sandbox, as if it had just been started."""
    state = running.server.state
    state.store = Store(ITEMS)
    state.options = Options()
    state.faults = Faults()
    state.stats = Stats()
    running.session.cookies.clear()
    return running


def assert_refused(response: requests.Response, status: int, code: int) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["code", "message", "details"]
    assert (body["code"], body["details"]) == (code, [])
    assert body["message"]


def test_a_page(client):
    response = client.get("filters.limit=3&filters.offset=1")
    assert response.status_code == 200
    assert response.json() == {
        "items": ITEMS[-2:-5:-1],
        "totalCount": len(ITEMS),
    }
    assert response.content.startswith(b'{"items":[{"timestamp":"')
    assert response.content.endswith(b'"}],"totalCount":250}')


def test_an_empty_page(client):
    body = client.get("filters.offset=4294967295").content
    assert body == b'{"items":[],"totalCount":250}'
    body = client.get("filters.endTime=2020-01-01T00:00:00Z").content
    assert body == b'{"items":[],"totalCount":0}'


def test_json_may_have_spaces(client):
    client.server.state.store = Store(ITEMS, Behaviour(spaces=True))
    body = client.get("filters.limit=2").content
    page = {"items": ITEMS[-1:-3:-1], "totalCount": 250}
    assert body.decode() == json.dumps(page, ensure_ascii=False)


def test_limits_are_capped_in_silence(client):
    client.server.state.store = Store(ITEMS, Behaviour(default_limit=7, max_limit=9))
    sizes = {"": 7, "filters.limit=0": 7, "filters.limit=8": 8, "filters.limit=10": 9}
    for query, size in sizes.items():
        page = client.get(query).json()
        assert len(page["items"]) == size
        assert page["totalCount"] == 250


def test_time_bounds_are_half_open_unless_told_otherwise(client):
    bound = "2025-11-01T00:00:00.000000005Z"
    at = from_rfc3339(bound)
    items = [event(at - 1, "before"), event(at, "at"), event(at + 1, "after")]
    client.server.state.store = Store(items)
    page = client.get(f"filters.startTime={bound}").json()["items"]
    assert [name(item) for item in page] == ["after", "at"]
    page = client.get(f"filters.endTime={bound}").json()["items"]
    assert [name(item) for item in page] == ["before"]


def test_a_zone_needs_an_encoded_plus(client):
    assert client.get("filters.startTime=2025-11-21T00:00:00%2B00:00").ok
    assert_refused(client.get("filters.startTime=2025-11-21T00:00:00+00:00"), 400, 3)


def test_filters_repeat_and_commas_do_not_split(client):
    def total(query: str) -> int:
        return client.get(query).json()["totalCount"]

    created, deleted = total("filters.action=created"), total("filters.action=deleted")
    assert created
    assert deleted
    assert total("filters.action=created&filters.action=deleted") == created + deleted
    assert total("filters.action=created,deleted") == 0
    assert total("filters.actions=created") == 250


def test_another_limit_than_a_number_is_refused(client):
    assert_refused(client.get("filters.limit=many"), 400, 3)
    assert_refused(client.get("filters.limit=1&filters.limit=2"), 400, 3)


@pytest.mark.parametrize(
    "auth",
    [
        ("sandbox-key-id", "wrong"),
        ("wrong", "sandbox-key-secret"),
        ("", ""),
        ("sandbox-key-id", ""),
    ],
)
def test_a_wrong_key_is_unauthenticated(client, auth):
    response = client.get(auth=auth)
    assert response.status_code == 401
    assert response.content == b'{"code":16,"message":"unauthenticated","details":[]}'


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic %%%", "Basic /////w==", "Bearer c2FuZGJveA=="]
)
def test_no_readable_key_is_unauthenticated(client, header):
    headers = {} if header is None else {"authorization": header}
    response = client.get(headers=headers, auth=lambda request: request)
    assert_refused(response, 401, 16)


def test_a_key_without_the_owner_role_is_forbidden(client):
    assert_refused(client.get(auth=(VIEWER_KEY_ID, VIEWER_KEY_SECRET)), 403, 7)
    assert_refused(client.get(auth=(VIEWER_KEY_ID, "wrong")), 401, 16)


@pytest.mark.parametrize(
    "path",
    [
        PATH.replace("sandbox", "another"),
        PATH + "/",
        "/api/v1" + PATH,
        "/",
        "/sandbox",
    ],
)
def test_what_does_not_exist_is_not_found(client, path):
    assert_refused(client.get(path=path), 404, 5)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_another_method_is_not_implemented(client, method):
    url = client.server.url + PATH
    assert_refused(client.session.request(method, url, timeout=5), 501, 12)
    control = client.server.url + "/sandbox/stats"
    assert_refused(client.session.request(method, control, timeout=5), 501, 12)


def test_even_head_is_not_implemented(client):
    assert client.session.head(client.server.url + PATH, timeout=5).status_code == 501


@pytest.mark.parametrize("path", [PATH, "/nowhere"])
def test_every_response_names_build_request_and_time(client, path):
    responses = [client.get(path=path) for _ in range(3)]
    assert all(response.headers["x-version"] for response in responses)
    rays = {int(response.headers["cf-ray"], 16) for response in responses}
    assert len(rays) == 3
    assert all("server" not in response.headers for response in responses)


def test_the_clock_of_the_server_may_be_wrong(client):
    client.server.state.options = Options(clock_skew_seconds=-7200)
    before = int(time.time()) - 7200
    date = parsedate_to_datetime(client.get().headers["date"]).timestamp()
    assert before <= date <= time.time() - 7200


def test_the_server_may_say_no_time(client):
    client.server.state.options = Options(date_header=False)
    assert "date" not in client.get().headers


def test_a_page_may_be_too_big_for_the_hop_behind(client):
    behaviour = Behaviour(too_big_bytes=4000)
    client.server.state.store = Store([event(n) for n in range(20)], behaviour)
    whole = client.get("filters.limit=2")
    assert whole.status_code == 200
    response = client.get("filters.limit=20")
    assert_refused(response, 429, 8)
    message = response.json()["message"]
    size = int(message.split("(")[1].split()[0])
    assert message == f"grpc: received message larger than max ({size} vs. 4000)"
    assert size > 4000


def test_events_may_arrive_with_every_request(client):
    client.server.state.options = Options(arrivals=3)
    before = time.time_ns()
    first = client.get("filters.limit=3").json()
    second = client.get("filters.limit=3").json()
    assert (first["totalCount"], second["totalCount"]) == (253, 256)
    arrived = first["items"] + second["items"]
    assert len({json.dumps(item) for item in arrived}) == 6
    assert all(before <= instant(item) <= time.time_ns() for item in arrived)


def test_arrivals_come_from_the_seed():
    def arrive() -> list[Item]:
        sandbox = Sandbox(Dataset(5, seed=4, until=UNTIL))
        sandbox.state.clock = lambda: UNTIL_NS
        return sandbox.state.arrive(4) + sandbox.state.arrive(4)

    assert arrive() == arrive()


def test_time_may_be_lost(client):
    client.server.state.options = Options(latency_seconds=0.05, row_cost_seconds=0.01)
    begin = time.monotonic()
    client.get("filters.offset=5")
    assert time.monotonic() - begin >= 0.1


def test_the_sandbox_serves_32_at_once(client):
    client.server.state.faults = Faults(Plan(("hang",)))
    with ExitStack() as stack:
        connections = [stack.enter_context(client.ask()) for _ in range(32)]
        for connection in connections:
            assert connection.recv(1)
    assert client.server.state.stats.in_flight_max == 32


# Control


def test_the_truth(client):
    assert client.get(path="/sandbox/events").json() == ITEMS


def test_the_truth_about_many(client):
    items = [event(n, str(n)) for n in range(2500)]
    client.server.state.store = Store(items)
    assert client.get(path="/sandbox/events").json() == items
    client.server.state.store = Store()
    assert client.get(path="/sandbox/events").json() == []


def test_new_events_happen_between_the_newest_and_now(client):
    added = client.post("/sandbox/events?count=30").json()
    found = [instant(item) for item in added]
    assert len(added) == 30
    assert found == sorted(found)
    assert UNTIL_NS - DAY < instant(ITEMS[-1]) < found[0]
    assert found[-1] <= time.time_ns()
    assert client.get(path="/sandbox/events").json() == ITEMS + added
    again = client.post("/sandbox/events").json()
    assert len(again) == 1
    assert instant(again[0]) > found[-1]


def test_no_events_happen_in_the_future(client):
    client.server.state.store = Store([event(time.time_ns() + DAY)])
    assert_refused(client.post("/sandbox/events?count=1"), 400, 3)
    assert_refused(client.post("/sandbox/events?count=some"), 400, 3)


def test_items_are_added_as_they_are(client):
    odd = event(5, "odd \ud83d 🚀", added="later", count=0)
    assert client.post("/sandbox/events", [odd]).json() == [odd]
    assert client.get(path="/sandbox/events").json() == [odd, *ITEMS]
    unreadable = event(5, timestamp="soon")
    assert_refused(client.post("/sandbox/events", [unreadable]), 400, 3)
    path = "/sandbox/events?at=2000-01-01T00:00:00Z"
    assert client.post(path, [unreadable]).status_code == 200
    assert client.get(path="/sandbox/events").json() == [odd, unreadable, *ITEMS]


@pytest.mark.parametrize("content", [{}, "text", [1], [{}], [None]])
def test_other_things_than_items_are_refused(client, content):
    assert_refused(client.post("/sandbox/events", content), 400, 3)
    assert len(client.server.store) == len(ITEMS)


def test_stats(client):
    client.get("filters.limit=1&filters.offset=99")
    client.get("filters.limit=50&filters.offset=7")
    client.get("limit=3")
    client.get(auth=("wrong", "wrong"))
    expected = {
        "requests": 4,
        "max_offset": 7,
        "max_offset_any": 99,
        "max_limit": 50,
        "in_flight_max": 1,
        "faults": {},
        "queries": [
            "filters.limit=1&filters.offset=99",
            "filters.limit=50&filters.offset=7",
            "limit=3",
            "",
        ],
    }
    assert client.get(path="/sandbox/stats").json() == expected
    assert client.post("/sandbox/reset-stats").status_code == 200
    assert client.get(path="/sandbox/stats").json()["requests"] == 0


# Faults


def plan(client: Client, *kinds: str, **fields: Any) -> None:
    response = client.post("/sandbox/faults", {"kinds": kinds, **fields})
    assert response.status_code == 200


def test_faults_come_at_their_rate_from_their_seed():
    def picks(seed: int) -> list[str | None]:
        faults = Faults(Plan(("500", "503"), rate=0.3, seed=seed))
        return [faults.pick() for _ in range(1000)]

    assert picks(1) == picks(1) != picks(2)
    counts = Counter(picks(1))
    assert 600 < counts[None] < 800
    assert counts["500"] > 100
    assert counts["503"] > 100


def test_faults_end_and_begin_when_told():
    faults = Faults(Plan(("500",), times=2, after=1))
    assert [faults.pick() for _ in range(5)] == [None, "500", "500", None, None]


@pytest.mark.parametrize(
    "content",
    [
        {"kinds": ["501st"]},
        {"kinds": "500"},
        {"kinds": None},
        {"kind": "500"},
        {"kinds": ["500"], "rate": 2},
        {"kinds": ["500"], "rate": "0.3"},
        [],
        "500",
    ],
)
def test_unknown_faults_are_refused(client, content):
    assert_refused(client.post("/sandbox/faults", content), 400, 3)
    assert client.get().ok


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("400", 3),
        ("401", 16),
        ("403", 7),
        ("404", 5),
        ("429", 8),
        ("499", 1),
        ("500", 13),
        ("501", 12),
        ("503", 14),
        ("504", 4),
    ],
)
def test_fault_errors_of_the_gateway(client, kind, code):
    plan(client, kind, times=1)
    response = client.get()
    assert_refused(response, int(kind), code)
    assert "retry-after" not in response.headers
    assert client.get().ok
    assert client.server.state.stats.faults == {kind: 1}


@pytest.mark.parametrize("kind", ["502", *map(str, range(520, 528))])
def test_fault_errors_of_the_cdn(client, kind):
    plan(client, kind)
    response = client.get()
    assert response.status_code == int(kind)
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")
    assert response.headers["cf-ray"]


def test_fault_retry_after(client):
    plan(client, "429-retry-after-seconds")
    assert client.get().headers["retry-after"] == "1"
    plan(client, "429-retry-after-date")
    response = client.get()
    assert_refused(response, 429, 8)
    date = parsedate_to_datetime(response.headers["retry-after"])
    assert date > parsedate_to_datetime(response.headers["date"])
    for kind in ("429-retry-after-seconds", "429-retry-after-date"):
        plan(client, kind, retry_after="soon")
        assert client.get().headers["retry-after"] == "soon"


def received(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read until the server closes; give head and body as they came."""
    with connection:
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.lower(), body


def test_fault_close_before(client):
    plan(client, "close-before")
    assert received(client.ask()) == (b"", b"")
    with pytest.raises(requests.ConnectionError):
        client.get()


def test_fault_close_mid_length(client):
    length = len(client.get().content)
    plan(client, "close-mid-length")
    head, body = received(client.ask())
    assert f"content-length: {length}".encode() in head
    assert len(body) == length // 2
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get()


def test_fault_close_mid_chunked(client):
    plan(client, "close-mid-chunked")
    head, body = received(client.ask())
    assert b"transfer-encoding: chunked" in head
    assert b"200 ok" in head
    assert body
    assert not body.endswith(b"0\r\n\r\n")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get()


def test_fault_hang(client):
    plan(client, "hang")
    with client.ask() as connection:
        head = connection.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 OK")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            received(connection)


def test_fault_trickle(client):
    whole = client.get("filters.limit=1").content
    plan(client, "trickle", trickle_seconds=0)
    response = client.get("filters.limit=1", stream=True)
    with response:
        assert response.headers["content-length"] == str(len(whole))
        assert next(response.raw.stream(1)) == whole[:1]
        assert response.raw.read() == whole[1:]
    plan(client, "trickle", trickle_seconds=60)
    with client.ask() as connection:
        answer = connection.recv(65536)
        while not answer.partition(b"\r\n\r\n")[2]:
            answer += connection.recv(65536)
        assert answer.endswith(b"\r\n\r\n{")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


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


def test_fault_not_json(client):
    plan(client, "not-json")
    response = client.get()
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    with pytest.raises(requests.JSONDecodeError):
        response.json()


def test_fault_cut_json(client):
    whole = client.get().content
    plan(client, "cut-json")
    response = client.get()
    assert response.status_code == 200
    assert response.content == whole[: len(whole) // 2]
    assert response.headers["content-length"] == str(len(response.content))


@pytest.mark.parametrize("spaces", [False, True])
def test_fault_fields(client, spaces):
    client.server.state.store = Store(ITEMS, Behaviour(spaces=spaces))
    page = client.get().json()
    items = page["items"]
    wrong = {
        "items-missing": {"totalCount": 250},
        "items-null": {"items": None, "totalCount": 250},
        "items-object": {"items": {}, "totalCount": 250},
        "total-missing": {"items": items},
        "total-string": {"items": items, "totalCount": "250"},
    }
    for kind, content in wrong.items():
        plan(client, kind)
        response = client.get()
        assert response.status_code == 200
        assert response.json() == content


def test_fault_bad_gzip(client):
    plan(client, "bad-gzip")
    with client.get(stream=True) as response:
        assert response.headers["content-encoding"] == "gzip"
        with pytest.raises(zlib.error):
            gzip.decompress(response.raw.read(decode_content=False))
    with pytest.raises(requests.exceptions.ContentDecodingError):
        client.get()


def test_fault_gzip_bomb(client):
    plan(client, "gzip-bomb")
    with client.get(stream=True) as response:
        assert response.headers["content-encoding"] == "gzip"
        packed = response.raw.read(decode_content=False)
    assert len(packed) < 2 << 20
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(packed) == b'{"items":['
    member, size = reader.unused_data, 0
    reader = zlib.decompressobj(wbits=31)
    assert len(reader.decompress(member)) == 1 << 24
    size = len(member) - len(reader.unused_data)
    assert len(packed) // size * (1 << 24) >= 1 << 30


def test_fault_redirect(client):
    plan(client, "redirect", location="https://evil.example/")
    response = client.get()
    assert response.status_code == 302
    assert response.headers["location"] == "https://evil.example/"


def test_fault_escape_message(client):
    plan(client, "escape-message")
    response = client.get()
    assert_refused(response, 400, 3)
    message = response.json()["message"]
    for character in ("\x1b", "\x9b", "\x07", "\r\n", "\x00", "\x7f", "\u202e"):
        assert character in message


def test_fault_deep_json(client):
    plan(client, "deep-json")
    body = client.get().content
    assert body.startswith(b'{"items":[[[[')
    assert body.count(b"[") == body.count(b"]") == 100_000


def test_fault_huge_number(client):
    plan(client, "huge-number")
    response = client.get()
    number = response.text.rpartition(":")[2].rstrip("}")
    assert number.isdecimal()
    assert len(number) == 10_000


def test_a_fault_waits_for_a_request_that_is_right(client):
    plan(client, "500", times=1)
    assert_refused(client.get(auth=("wrong", "wrong")), 401, 16)
    assert_refused(client.get("filters.limit=x"), 400, 3)
    assert_refused(client.get(), 500, 13)


def test_the_server_outlives_every_fault(client):
    for kind in KINDS:
        plan(client, kind, times=1)
        with client.ask() as connection:
            connection.recv(100)
    client.server.state.faults = Faults()
    assert client.get().ok


# Server


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


def test_a_client_may_leave_in_the_middle(client):
    for kind in ("hang", "trickle", "endless-body"):
        plan(client, kind, times=1)
        with client.ask() as connection:
            assert connection.recv(1)
    assert client.get().ok


def test_a_port_that_is_taken_is_an_error(running):
    port = urlsplit(running.server.url).port
    with pytest.raises(OSError, match="in use"), Sandbox([], port=port):
        pass


def test_small_answers_are_not_held_back(client):
    client.get()
    server = client.server._server
    for connection in server.server_state.connections:
        found = connection.transport.get_extra_info("socket")
        # Nagle's algorithm would make every small answer take 40 ms.
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes the certificate")
def test_tls(tmp_path):
    certificate, key = str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=sandbox", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    with Sandbox(ITEMS, ssl_certfile=certificate, ssl_keyfile=key) as server:
        client = Client(server)
        with client.session:
            assert server.url.startswith("https://127.0.0.1:")
            assert client.get(verify=certificate).ok
            with pytest.raises(requests.exceptions.SSLError):
                client.get()
            plan_url = f"{server.url}/sandbox/faults"
            faults = {"kinds": ["close-mid-length"]}
            client.session.post(plan_url, json=faults, verify=certificate, timeout=5)
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                client.get(verify=certificate)


# Command line


@contextmanager
def command(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_says_one_line_and_ends_when_told(number):
    arguments = ["--records=30", "--seed=4", "--until=2025-11-21T16:30:00Z"]
    arguments += ["--organization-id=acme", "--no-date-header", "--max-limit=5"]
    arguments += ["--fault-kinds", "503", "502", "--fault-times=1", "--spaces"]
    with command(*arguments) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready == {
            "url": ready["url"],
            "organization_id": "acme",
            "api_key_id": "sandbox-key-id",
            "api_key_secret": "sandbox-key-secret",
            "records": 30,
        }
        with requests.Session() as session:
            session.auth = (ready["api_key_id"], ready["api_key_secret"])
            session.trust_env = False
            url = ready["url"] + PATH.replace("sandbox", "acme")
            assert session.get(url, timeout=5).status_code in {502, 503}
            response = session.get(url, timeout=5)
            assert "date" not in response.headers
            items = response.json()["items"]
            assert items == generate(30, 4, UNTIL)[:-6:-1]
            assert b'": ' in response.content
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    "argument",
    ["--records=many", "--distribution=odd", "--until=today", "--fault-kinds=odd"],
)
def test_the_command_refuses_what_it_does_not_know(argument):
    with command(argument) as process:
        out, err = process.communicate(timeout=5)
        assert (process.returncode, out) == (2, "")
        assert err.startswith("usage: sandbox")
