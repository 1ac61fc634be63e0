"""What the sandbox keeps, and how it understands a query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.data import older
from sandbox.errors import ApiError
from sandbox.query import FILTERS, NEWER_FILTERS, Query, parse
from sandbox.store import Behaviour, Store
from sandbox.timestamps import HOUR, SECOND, from_record, from_rfc3339, to_go
from tests.helpers.sandbox import ITEMS, UNTIL_NS, event, name, names, reach

if TYPE_CHECKING:
    from sandbox.data import Item

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
    behaviour, rows, start, end, asked
):
    items, filters = [], asked
    for n, (at, later, action, actor_id, ip, origin) in enumerate(rows):
        actor = {"type": "a", "id": actor_id, "ip": ip, "origin": origin}
        last = to_go(at + later)
        items.append(
            event(at, str(n), action=action, actor=actor, lastOccurredTimestamp=last)
        )
    store = Store(items[1::2], behaviour)
    store.add(items[::2])  # late ones, too
    if behaviour.older:
        items = list(map(older, items))
        filters = {k: v for k, v in asked.items() if k not in NEWER_FILTERS}
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
        query = Query(start, end, 5, len(found), asked)
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


@pytest.mark.parametrize(
    "behaviour", [Behaviour(order="random"), Behaviour(shuffle_ties=True)]
)
def test_the_order_may_be_another_one_on_every_request(behaviour):
    items = [event(n // 20 * SECOND, str(n)) for n in range(60)]
    store = Store(items, behaviour)
    first, second = names(store), names(store)
    assert first != second
    if behaviour.shuffle_ties:
        assert set(first[:20]) == set(second[:20])
    # So pages that cut through ties repeat some records, and miss others.
    pages = [names(store, limit=10, offset=offset) for offset in range(0, 60, 10)]
    assert len({name for page in pages for name in page}) < 60


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [({"max_limit": 9, "over_limit": "refuse"}, 3), ({"max_offset": 9}, 11)],
)
def test_a_server_may_refuse_what_is_too_large(behaviour, code):
    store = Store(ITEMS, Behaviour(**behaviour))
    assert len(store.query(Query(limit=9, offset=9))[0]) == 9
    with pytest.raises(ApiError, match="must not exceed 9") as caught:
        store.query(Query(limit=10, offset=10))
    assert (caught.value.status, caught.value.code) == (400, code)


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


IGNORED = ("", "limit=5", "startTime=x", "filters.actions=a", "filters.Limit=x")
NO_UINT32 = (
    "",
    "-1",
    "%2B1",
    "1.0",
    "1e3",
    "ten",
    "4294967296",
    "1_0",
    "٣",
    "9" * 5000,
)
REFUSED = (
    *(f"filters.{name}={text}" for name in ("limit", "offset") for text in NO_UINT32),
    *(f"filters.{name}=1&filters.{name}=1" for name in ("limit", "offset")),
    "filters.startTime=2025-11-21T00:00:00Z&filters.startTime=2025-11-22T00:00:00Z",
    *("filters.startTime=", "filters.startTime=2025-11-21"),
    "filters.endTime=2025-11-21T00:00:00+00:00",  # a raw plus is a space
)


@pytest.mark.parametrize("query_string", IGNORED)
def test_what_is_not_known_is_ignored(query_string):
    assert parse(query_string) == Query()


@pytest.mark.parametrize("query_string", REFUSED)
def test_what_can_not_be_read_is_refused(query_string):
    with pytest.raises(ApiError) as caught:
        parse(query_string)
    assert (caught.value.status, caught.value.code) == (400, 3)
