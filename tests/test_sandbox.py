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
from dataclasses import fields
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from sandbox.__main__ import parser
from sandbox.access import EXPIRED_KEY, VIEWER_KEY
from sandbox.data import Dataset, older
from sandbox.errors import ApiError
from sandbox.faults import KINDS, Faults, Plan
from sandbox.instants import instants
from sandbox.query import FILTERS, NEWER_FILTERS, Query, parse
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.stats import Stats
from sandbox.store import Behaviour, Store
from sandbox.timestamps import (
    DAY,
    HOUR,
    SECOND,
    from_record,
    from_rfc3339,
    months_before,
    to_go,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sandbox.data import Item
    from sandbox.instants import Distribution

UNTIL = datetime(2025, 11, 21, 16, 30, tzinfo=timezone.utc)
UNTIL_NS = from_rfc3339("2025-11-21T16:30:00Z")
SPANS: dict[Distribution, int] = {"organization": 90, "even": 90, "clustered": 1826}
ROOT = Path(__file__).parent.parent


def generate(*values: Any) -> list[Item]:
    return list(Dataset(*values))


ITEMS = generate(250, 1, UNTIL)
ORGANIZATION = "/api/v1/organizations/sandbox"
PATH = f"{ORGANIZATION}/audit-logs"
API_KEY = "/api/v1/apikeys/sandbox-key-id"


def instant(item: Item) -> int:
    return from_record(item["timestamp"])


def event(ns: int, name: str = "event", **members: Any) -> Item:
    return {
        "timestamp": to_go(ns),
        "action": "created",
        "actor": {"type": "user", "id": "ana"},
        "details": {"message": name},
        "count": 1,
        "lastOccurredTimestamp": to_go(ns),
        **members,
    }


def name(item: Item) -> str:
    return str(item["details"]["message"])


def reach(item: Any, path: Iterable[str]) -> Any:
    for step in path:
        item = item and item[step]
    return item


def names(store: Store, **query: Any) -> list[str]:
    rows, _ = store.query(Query(**{"limit": 100, **query}))
    return [name(json.loads(row)) for row in rows]


# Timestamps


@given(st.integers(-(10**18), 4 * 10**18))
def test_go_text_is_exact_without_trailing_zeros(ns):
    text = to_go(ns)
    assert from_record(text) == ns
    digits = text.split()[1].partition(".")[2]
    assert len(digits) <= 9
    assert not digits.endswith("0")


@pytest.mark.parametrize(
    "text",
    [
        "2025-11-21 16:26:40.5 +0000 UTC",
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
        "2025-11-21T16:26:40Z\n",
        "٢٠٢٥-11-21T16:26:40Z",
    ],
)
def test_rfc3339_is_strict(text):
    with pytest.raises(ValueError, match=r"is not a timestamp|day is out"):
        from_rfc3339(text)


@pytest.mark.parametrize(
    ("months", "day"), [(0, "2026-03-31"), (1, "2026-02-28"), (13, "2025-02-28")]
)
def test_months_end_at_the_28th(months, day):
    at = from_rfc3339("2026-03-31T08:30:00Z") + 1
    expected = from_rfc3339(f"{day}T08:30:00Z") + 1
    assert months_before(at, months) in {expected, expected - 3 * DAY * (months == 0)}


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
    # What came later changed no history.
    text = json.dumps([older(item) for item in items], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest
    assert items == generate(3000, 7, UNTIL, None, distribution)
    assert items != generate(3000, 8, UNTIL, None, distribution)


@pytest.mark.parametrize("distribution", SPANS)
@pytest.mark.parametrize("records", [0, 1, 2, 8000])
@pytest.mark.parametrize("days", [None, 1, 7])
def test_events_are_in_the_days_in_order_and_different(distribution, records, days):
    items = generate(records, 3, UNTIL, days, distribution)
    found = [instant(item) for item in items]
    start = UNTIL_NS - (days or SPANS[distribution]) * DAY
    assert len(items) == records
    assert found == sorted(found)
    assert all(start <= ns < UNTIL_NS for ns in found)
    keys = ("timestamp", "action", "actor", "object", "details")
    # An older server sends less, and has no two that are the same either.
    events = {json.dumps([older(item)[key] for key in keys]) for item in items}
    assert len(events) == records


def test_items_have_the_shape_of_the_api():
    members = {
        (): "timestamp action actor object details count lastOccurredTimestamp",
        ("object",): "type id parentId",
        ("object", "id"): "name kind group namespace",
        ("object", "parentId"): "name parentName applicationName projectName",
        ("details",): "message patch actionType",
    }
    for item in generate(5000, 2, UNTIL):
        for path, expected in members.items():
            part = reach(item, path)
            assert part is None or list(part) == expected.split()
        actor = item["actor"] or {"type": "", "id": ""}
        assert {"type", "id"} <= actor.keys() <= {"type", "id", "ip", "origin"}
        # Absent when unset, not empty.
        assert all(actor[name] for name in ("ip", "origin") if name in actor)
        assert to_go(instant(item)) == item["timestamp"]
        last = item["lastOccurredTimestamp"]
        if last and item["count"] > 1:
            assert instant(item) < from_record(last) < UNTIL_NS
        elif last:
            assert (item["count"], last) == (1, item["timestamp"])


@pytest.mark.parametrize("seed", [0, 1])
def test_every_trap_is_in_the_default_data(seed):
    items = generate(2000, seed, UNTIL)
    objects = [item["object"] for item in items if item["object"]]
    actors = [item["actor"] for item in items if item["actor"]]
    patches = [(item["details"] or {}).get("patch", "") for item in items]
    text = "".join(patches)
    assert all(None in [one[key] for one in items] for key in ("actor", "details"))
    assert len(objects) < len(items)
    assert all(None in [one[key] for one in objects] for key in ("id", "parentId"))
    assert 0 < sum("ip" not in actor for actor in actors) < len(actors)
    assert 0 < sum(actor.get("origin") == "mcp" for actor in actors) < len(actors) / 10
    for owner, member in (("id", "namespace"), ("parentId", "projectName")):
        found = {one[owner][member] for one in objects if one[owner]}
        assert "" in found
        assert len(found) > 1
    assert any(item["count"] > 1 for item in items)
    assert any(item["lastOccurredTimestamp"] == "" for item in items)
    assert 0 < sum(map(bool, patches)) < len(items) / 5
    assert max(map(len, patches)) > 3000
    assert all(trap in text for trap in ('\\"', "\\n", "\n", "🚀", "تمت", "ß"))
    assert all(isinstance(json.loads(patch), dict) for patch in patches if patch)
    fractions = {len(item["timestamp"].split()[1].partition(".")[2]) for item in items}
    assert fractions == set(range(10))
    assert Counter(item["timestamp"] for item in items).most_common(1)[0][1] > 5


def test_an_organization_works_by_day_and_rests_at_weekends():
    found = [instant(item) for item in generate(5000, 4, UNTIL)]
    moments = [datetime.fromtimestamp(ns // SECOND, timezone.utc) for ns in found]
    assert sum(moment.weekday() >= 5 for moment in moments) < len(moments) / 10
    assert sum(not 7 <= moment.hour < 21 for moment in moments) < len(moments) / 20
    assert Counter(ns // (60 * SECOND) for ns in found).most_common(1)[0][1] > 100


def test_even_is_even():
    found = [instant(item) for item in generate(999, 1, UNTIL, 90, "even")]
    gaps = [after - before for before, after in pairwise(found)]
    assert max(gaps) - min(gaps) <= 1


def test_clustered_is_five_years_of_silence_and_bursts():
    found = instants("clustered", 120_000, Random(1), UNTIL_NS - 1826 * DAY, UNTIL_NS)
    assert Counter(ns // SECOND for ns in found).most_common(1)[0][1] >= 50_000
    assert len({ns // DAY for ns in found}) < 1000
    assert found[-1] - found[0] > 1700 * DAY


def test_twins_differ_in_an_unknown_member_only():
    plain = generate(200, 1, UNTIL)
    items = list(Dataset(200, 1, UNTIL, twins=30))
    twins = [item for item in items if item not in plain]
    assert [item for item in items if item in plain] == plain
    assert len(twins) == len(items) - 200 == 30
    owners = set()
    for twin in twins:
        for owner in (twin, twin["actor"], twin["object"], twin["details"]):
            if owner and owner.pop("revision", None):
                owners.add(("top", *owner)[-1])
        identity = (twin["object"] or {}).get("id")
        if identity and identity.pop("revision", None):
            owners.add("id")
        assert twin in plain
    assert len(owners) >= 5


def test_every_event_may_have_members_that_nobody_knows():
    items = list(Dataset(50, 1, UNTIL, unknown_members=True))
    assert len({item["requestId"] for item in items}) == 50
    assert all("labels" in (item["object"] or item) for item in items)


# Store

QUARTER = SECOND // 4
quarters = st.integers(0, 12).map(lambda n: n * QUARTER)
words = st.sampled_from(["a", "a,b", "", None])
behaviours = st.builds(
    Behaviour,
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    whole_seconds=st.booleans(),
    filter_on=st.sampled_from(["timestamp", "lastOccurredTimestamp"]),
    order=st.sampled_from(["newest", "oldest", "random"]),
    shuffle_ties=st.booleans(),
    older=st.booleans(),
    max_limit=st.sampled_from([1, 2, 3, 100]),
)


@given(
    behaviours,
    st.lists(st.tuples(quarters, quarters, words, words, words, words), max_size=12),
    st.none() | quarters,
    st.none() | quarters,
    st.dictionaries(
        st.sampled_from([*FILTERS]), st.sets(st.sampled_from(["a", "a,b"])), max_size=2
    ),
)
def test_a_query_gives_what_a_slow_and_simple_one_would(
    behaviour, rows, start, end, filters
):
    items = []
    for n, (at, later, action, actor_id, ip, origin) in enumerate(rows):
        actor = {"type": "a", "id": actor_id, "ip": ip, "origin": origin}
        last = to_go(at + later)
        items.append(
            event(at, str(n), action=action, actor=actor, lastOccurredTimestamp=last)
        )
    store = Store(items, behaviour)
    if behaviour.older:
        items = list(map(older, items))
        filters = {k: v for k, v in filters.items() if k not in NEWER_FILTERS}
    unit = SECOND if behaviour.whole_seconds else 1

    def key(item: Item) -> int:
        return from_record(item[behaviour.filter_on])

    def matches(item: Item) -> bool:
        at = key(item) // unit
        return (
            all(reach(item, FILTERS[one]) in values for one, values in filters.items())
            and (start is None or at >= start // unit + (not behaviour.start_inclusive))
            and (end is None or at < end // unit + behaviour.end_inclusive)
        )

    expected = [item for item in items if matches(item)]
    found: list[Item] = []
    while True:
        query = Query(start, end, 5, len(found), filters)
        page, total = store.query(query)
        assert total == len(expected)
        assert len(page) == min(5, behaviour.max_limit, len(expected) - len(found))
        if not page:
            break
        found += [json.loads(row) for row in page]
    assert all(item in expected for item in found)
    if behaviour.order != "random":
        keys = sorted(map(key, expected), reverse=behaviour.order == "newest")
        assert [key(item) for item in found] == keys
        if not behaviour.shuffle_ties or (behaviour.max_limit == 100 and total <= 5):
            assert sorted(map(name, found)) == sorted(map(name, expected))


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


def test_late_events_take_their_place():
    store = Store([event(1, "a"), event(5, "c")])
    store.add([event(3, "b"), event(9, "d")])
    store.add([event(12, "e")])
    assert names(store) == ["e", "d", "c", "b", "a"]


@pytest.mark.parametrize("is_older", [False, True])
def test_the_same_event_again_is_no_new_record(is_older):
    store = Store(ITEMS, Behaviour(older=is_older))
    old = next(item for item in ITEMS if "origin" in (item["actor"] or {}))
    new = store.bump(old, UNTIL_NS, times=3)
    grown = {"count": old["count"] + 3, "lastOccurredTimestamp": to_go(UNTIL_NS)}
    assert new == (older(old) if is_older else old) | grown
    assert len(store) == len(ITEMS)
    assert new in [json.loads(body) for body in store.bodies()]
    # The identity is what counts, not what grows.
    assert store.bump(old, UNTIL_NS + 1)["count"] == old["count"] + 4
    with pytest.raises(LookupError):
        store.bump({**old, "action": "another"}, UNTIL_NS)


def test_a_bump_moves_an_event_where_the_last_occurrence_is_compared():
    items = [event(1, "a"), event(2, "b"), event(3, "c", lastOccurredTimestamp="")]
    store = Store(items, Behaviour(filter_on="lastOccurredTimestamp"))
    store.bump(items[0], 7)
    assert names(store) == ["a", "c", "b"]
    assert names(store, start_ns=5) == ["a"]


def test_an_unreadable_timestamp_needs_a_place():
    store = Store()
    with pytest.raises(ValueError, match="not a timestamp"):
        store.add([event(1, timestamp="soon")])
    store.add([event(1, "odd", timestamp="soon")], at=4)
    assert names(store, start_ns=4, end_ns=5) == ["odd"]


# Requests, as the gateway reads them


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
        "filters.actions=created",
        "filters.start_time=nonsense",
        "filters.Limit=x",
        "filters.argocdApplication.objectName=a",
    ],
)
def test_what_is_not_known_is_ignored(query_string):
    assert parse(query_string) == Query()


NO_UINT32 = ["", "-1", "+1", "1.0", "1e3", "ten", "4294967296", "1_0", "٣", "9" * 5000]


@pytest.mark.parametrize(
    "query_string",
    [
        *(f"filters.limit={quote(text)}" for text in NO_UINT32),
        *(f"filters.offset={quote(text)}" for text in NO_UINT32),
        "filters.limit=1&filters.limit=1",
        "filters.offset=1&filters.offset=2",
        "filters.startTime=2025-11-21T00:00:00Z&filters.startTime=2025-11-22T00:00:00Z",
        "filters.startTime=",
        "filters.startTime=2025-11-21",
        # A raw plus is a space.
        "filters.endTime=2025-11-21T00:00:00+00:00",
    ],
)
def test_what_can_not_be_read_is_refused(query_string):
    with pytest.raises(ApiError) as caught:
        parse(query_string)
    assert (caught.value.status, caught.value.code) == (400, 3)


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

    def behave(self, **options: Any) -> None:
        self.server.state.store = Store(ITEMS, Behaviour(**options))

    def ask(self) -> socket.socket:
        """Send a request, and leave the answer to be read."""
        port = urlsplit(self.server.url).port or 0
        connection = socket.create_connection(("127.0.0.1", port), 5)
        credentials = "c2FuZGJveC1rZXktaWQ6c2FuZGJveC1rZXktc2VjcmV0"
        connection.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: x\r\n"
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
    return running


def assert_refused(response: requests.Response, status: int, code: int) -> str:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["code", "message", "details"]
    assert (body["code"], body["details"]) == (code, [])
    assert body["message"]
    return str(body["message"])


@pytest.mark.parametrize("spaces", [False, True])
def test_a_page(client, spaces):
    client.behave(spaces=spaces)
    page = {"items": ITEMS[-2:-5:-1], "totalCount": 250}
    separators = None if spaces else (",", ":")
    text = json.dumps(page, ensure_ascii=False, separators=separators)
    assert client.get("filters.limit=3&filters.offset=1").text == text
    body = client.get("filters.endTime=2020-01-01T00:00:00Z").text
    assert body == text[: text.index("[") + 1] + text[text.rindex("]") :].replace(
        "250", "0"
    )


@pytest.mark.parametrize(
    ("behaviour", "sizes"),
    [
        ({}, {"": 10, "filters.limit=0": 10, "filters.limit=4294967295": 250}),
        ({"default_limit": 7, "max_limit": 9}, {"": 7, "filters.limit=10": 9}),
        ({"max_limit": 9, "over_limit": "refuse"}, {"filters.limit=9": 9}),
    ],
)
def test_limits(client, behaviour, sizes):
    client.behave(**behaviour)
    for query, size in sizes.items():
        page = client.get(query).json()
        assert (len(page["items"]), page["totalCount"]) == (size, 250)
    if "over_limit" in behaviour:
        message = assert_refused(client.get("filters.limit=10"), 400, 3)
        assert message == "limit must not exceed 9"


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic %%%", "Basic /////w==", "Bearer c2FuZGJveA=="]
)
@pytest.mark.parametrize("path", [PATH, ORGANIZATION, API_KEY])
def test_without_a_readable_key_nothing_is_shown(client, header, path):
    headers = {} if header is None else {"authorization": header}
    response = client.get(path=path, headers=headers, auth=lambda request: request)
    assert response.content == b'{"code":16,"message":"unauthenticated","details":[]}'
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (("sandbox-key-id", "wrong"), "unauthenticated"),
        (("wrong", "sandbox-key-secret"), "unauthenticated"),
        (("", ""), "unauthenticated"),
        ((VIEWER_KEY.id, "wrong"), "unauthenticated"),
        ((EXPIRED_KEY.id, EXPIRED_KEY.secret), "the API key has expired"),
    ],
)
def test_a_wrong_key_is_unauthenticated(client, key, message):
    assert assert_refused(client.get(auth=key), 401, 16) == message


def test_a_member_may_not_read_audit_logs(client):
    key = (VIEWER_KEY.id, VIEWER_KEY.secret)
    assert_refused(client.get(auth=key), 403, 7)
    assert client.get(path=ORGANIZATION, auth=key).ok


@pytest.mark.parametrize(
    "path",
    [
        PATH.replace("sandbox", "another"),
        PATH + "/",
        ORGANIZATION.replace("sandbox", "another"),
        API_KEY + "-2",
        "/",
        "/sandbox",
    ],
)
def test_what_does_not_exist_is_not_found(client, path):
    assert_refused(client.get(path=path), 404, 5)


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


# Neighbours


def test_the_organization_and_the_key(client):
    assert client.get(path=ORGANIZATION).json() == {
        "organization": {
            "id": "sandbox",
            "name": "Northwind",
            "plan": "enterprise",
            "quota": {
                "maxOrgMembers": "100",
                "auditRecordMonths": "1200",
                "auditRecordArchiveMonths": "1200",
            },
        }
    }
    assert client.get(path=API_KEY).json() == {
        "apiKey": {
            "id": "sandbox-key-id",
            "description": "",
            "organizationId": "sandbox",
            "permissions": {"actions": [], "roles": ["owner"], "customRoles": []},
            "createTime": "2025-01-01T00:00:00Z",
            "expireTime": None,
        }
    }
    client.behave(older=True)
    quota = client.get(path=ORGANIZATION).json()["organization"]["quota"]
    assert list(quota) == ["maxOrgMembers"]
    assert_refused(client.get(path=API_KEY), 404, 5)
    assert client.get(path="/sandbox/stats").json()["neighbours"] == {
        ORGANIZATION: 2,
        API_KEY: 2,
    }


@pytest.mark.parametrize(("status", "code"), [("403", 7), ("404", 5)])
def test_a_restricted_key_sees_neither(client, status, code):
    client.server.state.options = Options(role="auditor", neighbours=status)
    for path in (ORGANIZATION, API_KEY):
        assert_refused(client.get(path=path), int(status), code)
    assert client.get().ok


def test_a_role_and_an_expiry(client):
    client.server.state.options = Options(
        role="auditor", key_expires=datetime(2100, 2, 3, 4, 5, 6, tzinfo=timezone.utc)
    )
    key = client.get(path=API_KEY).json()["apiKey"]
    assert key["expireTime"] == "2100-02-03T04:05:06Z"
    assert key["permissions"]["customRoles"] == ["auditor"]
    assert client.get().ok
    client.server.state.options = Options(key_expires=UNTIL)
    assert_refused(client.get(), 401, 16)
    assert_refused(client.get(path=ORGANIZATION), 401, 16)
    client.server.state.options = Options(role="member")
    assert_refused(client.get(), 403, 7)


def test_what_is_older_than_what_is_kept_is_forgotten(client):
    client.server.state.clock = lambda: UNTIL_NS
    client.server.state.options = Options(months_kept=2, months_archived=12)
    kept = [item for item in ITEMS if instant(item) >= UNTIL_NS - 61 * DAY]
    assert 0 < len(kept) < len(ITEMS)
    assert client.get().json()["totalCount"] == len(kept)
    assert client.get(path="/sandbox/events").json() == kept
    quota = client.get(path=ORGANIZATION).json()["organization"]["quota"]
    assert quota["auditRecordMonths"] == "2"
    assert quota["auditRecordArchiveMonths"] == "12"
    client.server.state.clock = time.time_ns


# Control


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_the_truth(client, count):
    items = [event(n, str(n)) for n in range(count)]
    client.server.state.store = Store(items)
    assert client.get(path="/sandbox/events").json() == items


def test_new_events_happen_now(client):
    before = time.time_ns()
    added = client.post("/sandbox/events?count=30").json()
    added += client.post("/sandbox/events").json()
    found = [instant(item) for item in added]
    assert len(added) == 31
    assert before <= found[0]
    assert found[-1] <= time.time_ns()
    assert found == sorted(set(found))
    assert client.get(path="/sandbox/events").json() == ITEMS + added

    def happen() -> list[Item]:
        sandbox = Sandbox(Dataset(5, seed=4, until=UNTIL))
        sandbox.state.clock = lambda: UNTIL_NS
        return sandbox.state.happen(4)

    assert happen() == happen()


def test_items_are_added_as_they_are(client):
    odd = event(5, "odd \ud83d 🚀", added="later", count=0)
    assert client.post("/sandbox/events", [odd]).json() == [odd]
    unreadable = event(5, timestamp="soon")
    path = "/sandbox/events?at=2000-01-01T00:00:00Z"
    assert client.post(path, [unreadable]).status_code == 200
    assert client.get(path="/sandbox/events").json() == [odd, unreadable, *ITEMS]


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("events", {}, "the body must be a JSON array of objects"),
        ("events", [1], "the body must be a JSON array of objects"),
        ("events", [{}], "'None' is not a timestamp"),
        ("events", [event(1, timestamp="soon")], "'soon' is not a timestamp"),
        ("events", [event(1, actor="ana")], "`actor` must be an object"),
        ("events?at=today", [event(1)], "'today' is not a timestamp"),
        ("events?count=-1", None, "count must be a whole number from 1 to 100000"),
        ("events?count=some", None, "count must be a whole number from 1 to 100000"),
        ("faults", None, "the body is not valid JSON"),
        ("faults", [], "the body must be a JSON object"),
        ("faults", {"kinds": ["501st"]}, "there is no fault '501st', but close-before"),
        ("faults", {"kinds": "500"}, "kinds must be a list of strings, not '500'"),
        ("faults", {"kinds": [1]}, "kinds must be a list of strings, not (1,)"),
        ("faults", {"kind": "500"}, "there is no 'kind', but kinds, rate"),
        ("faults", {"rate": 2}, "rate must be a number from 0 to 1, not 2"),
        ("faults", {"rate": "0.3"}, "rate must be a number of at least 0, not '0.3'"),
        ("faults", {"times": -1}, "times must be a whole number of at least 0, not -1"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(client, path, content, message):
    response = client.post(f"/sandbox/{path}", content)
    assert assert_refused(response, 400, 3).startswith(message)
    assert client.get().json()["totalCount"] == len(ITEMS)


def test_stats(client):
    queries = [
        "filters.limit=1&filters.offset=99",
        "filters.limit=50&filters.offset=7",
        "limit=3",
    ]
    for query in queries:
        client.get(query)
    client.get(auth=("wrong", "wrong"))
    expected = {
        "requests": 4,
        "max_offset": 7,
        "max_offset_any": 99,
        "max_limit": 50,
        "in_flight_max": 1,
        "faults": {},
        "queries": [*queries, ""],
        "neighbours": {},
    }
    assert client.get(path="/sandbox/stats").json() == expected
    assert client.post("/sandbox/reset-stats").status_code == 200
    assert client.get(path="/sandbox/stats").json()["requests"] == 0


# Faults


def plan(client: Client, *kinds: str, **fields: Any) -> None:
    assert client.post("/sandbox/faults", {"kinds": kinds, **fields}).status_code == 200


def test_faults_come_at_their_rate_from_their_seed():
    def picks(seed: int) -> list[str | None]:
        faults = Faults(Plan(("500", "503"), rate=0.3, seed=seed))
        return [faults.pick() for _ in range(1000)]

    assert picks(1) == picks(1) != picks(2)
    counts = Counter(picks(1))
    assert 600 < counts[None] < 800
    assert min(counts["500"], counts["503"]) > 100
    faults = Faults(Plan(("500",), times=2, after=1))
    assert [faults.pick() for _ in range(5)] == [None, "500", "500", None, None]


GATEWAY = {
    "400": 3,
    "401": 16,
    "403": 7,
    "404": 5,
    "409": 10,
    "429": 8,
    "499": 1,
    "500": 13,
    "501": 12,
    "503": 14,
    "504": 4,
}


@pytest.mark.parametrize(("kind", "code"), GATEWAY.items())
def test_fault_errors_of_the_gateway(client, kind, code):
    plan(client, kind, times=1)
    # A fault waits for a request that is right.
    assert_refused(client.get(auth=("wrong", "wrong")), 401, 16)
    assert_refused(client.get("filters.limit=x"), 400, 3)
    response = client.get()
    assert_refused(response, int(kind), code)
    assert "retry-after" not in response.headers
    assert client.get().ok
    assert client.server.state.stats.faults == {kind: 1}


@pytest.mark.parametrize("kind", ["502", *map(str, range(520, 528)), "not-json"])
def test_fault_html_of_what_stands_before(client, kind):
    plan(client, kind)
    response = client.get()
    assert response.status_code == (int(kind) if kind.isdigit() else 200)
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")


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


def test_faults_that_close(client):
    length = len(client.get().content)
    plan(client, "close-before")
    assert received(client.ask()) == (b"", b"")
    plan(client, "close-mid-length")
    head, body = received(client.ask())
    assert f"content-length: {length}".encode() in head
    assert len(body) == length // 2
    plan(client, "close-mid-chunked")
    head, body = received(client.ask())
    assert b"200 ok" in head
    assert b"transfer-encoding: chunked" in head
    assert body
    assert not body.endswith(b"0\r\n\r\n")


def test_faults_that_keep_one_waiting(client):
    whole = client.get("filters.limit=1").content
    plan(client, "trickle", trickle_seconds=0)
    assert client.get("filters.limit=1").content == whole
    plan(client, "trickle", trickle_seconds=60)
    with client.ask() as connection:
        answer = b""
        while not answer.partition(b"\r\n\r\n")[2]:
            answer += connection.recv(65536)
        assert answer.endswith(b"\r\n\r\n{")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    plan(client, "hang")
    with client.ask() as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            received(connection)


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


def members(total: Any, **others: Any) -> Callable[[bytes, dict[str, Any]], bool]:
    """Check that a body has the page's items, or others, and that total."""

    def check(body: bytes, page: dict[str, Any]) -> bool:
        expected = {"items": page["items"], "totalCount": total, **others}
        return json.loads(body) == {k: v for k, v in expected.items() if v is not ...}

    return check


BODIES: dict[str, Callable[[bytes, dict[str, Any]], bool]] = {
    "cut-json": lambda body, page: len(body) == page["length"] // 2,
    "items-missing": members(250, items=...),
    "items-null": members(250, items=None),
    "items-object": members(250, items={}),
    "total-missing": members(...),
    "total-string": members("250"),
    "deep-json": lambda body, _: (
        body.count(b"[") == body.count(b"]") == body.count(b"[" * 50_000) * 50_000
    ),
    "huge-number": lambda body, _: body.endswith(b":" + b"9" * 10_000 + b"}"),
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("spaces", [False, True])
def test_fault_pages(client, kind, spaces):
    client.behave(spaces=spaces)
    whole = client.get()
    plan(client, kind)
    response = client.get()
    assert response.status_code == 200
    assert response.headers["content-length"] == str(len(response.content))
    page = {**whole.json(), "length": len(whole.content)}
    assert BODIES[kind](response.content, page)


def test_faults_of_compression(client):
    plan(client, "bad-gzip")
    with pytest.raises(requests.exceptions.ContentDecodingError):
        client.get()
    plan(client, "gzip-bomb")
    with client.get(stream=True) as response:
        assert response.headers["content-encoding"] == "gzip"
        packed = response.raw.read(decode_content=False)
    assert len(packed) < 2 << 20
    reader = zlib.decompressobj(wbits=31)
    assert reader.decompress(packed) == b'{"items":['
    member = reader.unused_data
    reader = zlib.decompressobj(wbits=31)
    assert len(reader.decompress(member)) == 1 << 24
    size = len(member) - len(reader.unused_data)
    assert len(packed) // size * (1 << 24) >= 1 << 30
    assert member.startswith(gzip.compress(b"")[:3])


def test_faults_that_lead_astray(client):
    plan(client, "redirect", location="https://evil.example/")
    response = client.get()
    assert response.status_code == 302
    assert response.headers["location"] == "https://evil.example/"
    plan(client, "escape-message")
    message = assert_refused(client.get(), 400, 3)
    for character in ("\x1b", "\x9b", "\x07", "\r\n", "\x00", "\x7f", "\u202e"):
        assert character in message


def test_the_server_outlives_every_fault_and_every_client_that_leaves(client):
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
            server.state.faults = Faults(Plan(("close-mid-length",)))
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
            assert response.json()["items"] == generate(30, 4, UNTIL)[:-6:-1]
            assert b'": ' in response.content
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--records=-1", "--records: must be a whole number of at least 0, not '-1'"),
        ("--records=many", "--records: must be a whole number of at least 0"),
        ("--distribution=odd", "choose from"),
        ("--until=today", "must be a time such as 2025-01-31T08:30:00Z, not 'today'"),
        ("--fault-kinds=odd", "there is no fault 'odd', but close-before, "),
        ("--fault-rate=1.5", "rate must be a number from 0 to 1, not 1.5"),
        ("--twins=2001", "twins must be at most 2000, the number of records"),
        ("--port=65536", "port 65536 is in use or not allowed"),
        ("--port=", "port "),
        ("--nonsense", "unrecognized arguments: --nonsense"),
    ],
)
def test_the_command_refuses_in_one_sentence(argument, message, running):
    if argument == "--port=":
        argument += str(urlsplit(running.server.url).port)
    with command(argument) as process:
        out, err = process.communicate(timeout=5)
    assert (process.returncode, out) == (2, "")
    assert err.startswith("sandbox: ")
    assert message in err
    assert err.count("\n") == 1


def test_help_lists_all_there_is(running):
    text = " ".join(parser().format_help().split())
    for cls, prefix in (
        (Dataset, ""),
        (Behaviour, ""),
        (Options, ""),
        (Plan, "fault_"),
    ):
        for field in fields(cls):
            assert "--" + (prefix + field.name).replace("_", "-") in text
    for kind in KINDS:
        assert kind in text
    for key in (VIEWER_KEY, EXPIRED_KEY):
        assert f"{key.id}:{key.secret}" in text
    for route in running.server._config.app.routes:
        if route.path.startswith("/sandbox/"):
            assert route.path in text
