"""What the sandbox makes up, keeps, and finds for a query."""

import hashlib
import json
from collections import Counter
from datetime import UTC, datetime
from typing import get_args
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.data import Dataset, older
from sandbox.errors import ApiError
from sandbox.instants import Distribution
from sandbox.query import FILTERS, NEWER_FILTERS, Query, parse
from sandbox.store import UNITS, Behaviour, Store
from sandbox.timestamps import DAY, SECOND, from_record, to_go

UNTIL = datetime(2025, 11, 21, 16, 30, tzinfo=UTC)


def reach(item, *path):
    for step in path:
        item = item and item.get(step)
    return item


DIGESTS = {"organization": "41d3d9e", "clustered": "9266983", "even": "6568bd1"}


@pytest.mark.parametrize("distribution", get_args(Distribution))
def test_a_seed_gives_the_same_events_in_order_each_of_them_once(distribution):
    items = list(Dataset(1000, 7, UNTIL, distribution=distribution))
    assert items == list(Dataset(1000, 7, UNTIL, distribution=distribution))
    # What came later changed no history.
    older_items = [older(item) for item in items]
    digest = hashlib.sha256(json.dumps(older_items, ensure_ascii=False).encode())
    assert digest.hexdigest().startswith(DIGESTS.get(distribution, ""))
    times = [from_record(item["timestamp"]) for item in items]
    assert times == sorted(times)
    end = int(UNTIL.timestamp()) * SECOND
    assert end - 90 * DAY <= times[0] <= times[-1] < end
    # An older server sends less, and has no two that are the same either.
    grown = {"count": 0, "lastOccurredTimestamp": ""}
    assert len({json.dumps(item | grown) for item in older_items}) == 1000


def test_every_trap_is_in_the_default_data():
    items = list(Dataset(until=UNTIL))
    for path, value in (
        *(("actor", None), ("details", None), ("object", None), ("object id", None)),
        *(("object parentId", None), ("object id namespace", ""), ("count", 1)),
        *(("object parentId projectName", ""), ("lastOccurredTimestamp", "")),
        *(("actor ip", None), ("actor origin", "mcp"), ("details patch", "")),
    ):
        values = [reach(item, *path.split()) for item in items]
        assert 0 < values.count(value) < len(items)
    patches = [patch for item in items if (patch := reach(item, "details", "patch"))]
    assert max(map(len, patches)) > 3000
    assert all(isinstance(json.loads(patch), dict) for patch in patches)
    for trap in ('\\"', "\\n", "\n", "🚀", "تمت", "ß"):
        assert trap in "".join(patches)
    times = [item["timestamp"] for item in items]
    assert {len(at.split()[1].partition(".")[2]) for at in times} == {*range(10)}
    assert max(Counter(times).values()) > 5


quarters = st.integers(0, 12).map(lambda n: n * SECOND // 4 + n % 3)
words = st.sampled_from(["a", "a,b", "", None])


@given(
    st.builds(
        Behaviour,
        **dict.fromkeys(["start_inclusive", "end_inclusive"], ...),
        **dict.fromkeys(["rounding", "rounded", "filter_on", "sort_on"], ...),
        **dict.fromkeys(["order", "ties", "older", "over_limit"], ...),
        max_limit=st.sampled_from([1, 3, 100]),
        precision=st.sampled_from(["nanoseconds", "seconds"]),
        default_limit=st.just(5),
    ),
    st.lists(st.tuples(quarters, quarters, words, words, words, words), max_size=12),
    st.none() | quarters,
    st.none() | quarters,
    st.dictionaries(
        st.sampled_from([*FILTERS]), st.sets(words.filter(bool), min_size=1), max_size=2
    ),
)
def test_a_query_finds_what_a_slow_one_would(behaviour, rows, start, end, filters):
    items = [
        {
            "timestamp": to_go(at),
            "lastOccurredTimestamp": to_go(at + later),
            "action": action,
            "actor": {"id": actor_id, "ip": ip, "origin": origin, "n": n},
        }
        for n, (at, later, action, actor_id, ip, origin) in enumerate(rows)
    ]
    store = Store(items[1::2], behaviour)
    store.add(items[::2])  # late ones, too
    used = filters
    if behaviour.older:
        items = list(map(older, items))
        used = {k: v for k, v in filters.items() if k not in NEWER_FILTERS}
    unit = UNITS[behaviour.precision]

    def rough(ns):
        return (ns + (behaviour.rounding == "nearest") * (unit // 2)) // unit * unit

    def key(item):
        return from_record(item[behaviour.sort_on])

    def matches(item):
        at = from_record(item[behaviour.filter_on])
        at = at if behaviour.rounded == "bounds" else rough(at)
        first = start is not None and at - rough(start)
        last = end is not None and at - rough(end)
        return (
            all(reach(item, *FILTERS[one]) in values for one, values in used.items())
            and (
                start is None or first > 0 or (first == 0 and behaviour.start_inclusive)
            )
            and (end is None or last < 0 or (last == 0 and behaviour.end_inclusive))
        )

    expected = [item for item in items if matches(item)]
    is_refused = behaviour.over_limit == "refuse" and behaviour.max_limit < 5
    size = 5 if behaviour.over_limit == "honour" else min(5, behaviour.max_limit)
    bounds = {"filters.startTime": start, "filters.endTime": end}
    known = {name: to_go(ns) for name, ns in bounds.items() if ns is not None}
    given = {k: f"{at[:10]}T{at[11:].split()[0]}Z" for k, at in known.items()}
    given |= {f"filters.{name}": values for name, values in filters.items()}
    given |= {"limit": "1", "filters.actions": "x"}
    given |= {"filters.limit": "5"} if behaviour.older else {}
    if is_refused:
        with pytest.raises(ApiError, match="limit must not exceed"):
            store.query(parse(urlencode(given, doseq=True)))
        return
    pages = [
        store.query(parse(urlencode({**given, "filters.offset": n}, doseq=True)))
        for n in range(0, len(items) + size, size)
    ]
    found = [json.loads(row) for page, _ in pages for row in page]
    assert {total for _, total in pages} == {len(expected)}
    is_reversed = behaviour.order == "newest"
    times = sorted(map(key, expected), reverse=is_reversed)
    assert [key(item) for item in found] == times
    assert behaviour.ties == "shuffled" or all(item in found for item in expected)


@pytest.mark.parametrize(("over", "expected"), [("refuse", None), ("empty", ([], 9))])
def test_an_offset_can_be_too_large(over, expected):
    store = Store(Dataset(9), Behaviour(max_offset=4, over_offset=over))
    assert len(store.query(Query(offset=4))[0]) == 5
    if expected:
        assert store.query(Query(offset=5)) == expected
    else:
        with pytest.raises(ApiError, match="offset must not exceed 4"):
            store.query(Query(offset=5))


def test_ties_can_be_in_another_order_each_time():
    items = [{"timestamp": to_go(0), "action": str(n)} for n in range(9)]
    orders = [Store(items).query(Query())[0] for _ in range(2)]
    assert orders[0] == orders[1]
    store = Store(items, Behaviour(ties="shuffled"))
    orders = [store.query(Query())[0] for _ in range(2)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


NO_UINT32 = ["", "-1", "%2B1", "1.0", "4294967296", "1_0", "٣", "9" * 5000]
NO_TIME = ["", "2025-11-21", "2025-11-21T16:26:40", "2025-11-21T16:26:40+00:00"]


@pytest.mark.parametrize(
    ("name", "texts"),
    [("limit", NO_UINT32), ("offset", ["1&filters.offset=1"]), ("startTime", NO_TIME)],
)
def test_what_cannot_be_read_is_refused(name, texts):
    for text in texts:
        with pytest.raises(ApiError) as caught:
            parse(f"filters.{name}={text}")
        assert caught.value.status == 400
