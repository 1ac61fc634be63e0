"""Which rows are the same event, and which only look like it."""

import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sandbox.timestamps import from_record
from sandbox.truth import event_id
from tap_akuity.reading.limits import Limits
from tap_akuity.records.event import Event, RecordError
from tap_akuity.records.members import MAX_NAMES
from tap_akuity.records.rows import GROWING, Rows, make_distinct
from tap_akuity.text.masking import MAX_QUOTED
from tap_akuity.text.timestamps import DAY, parse
from tests.helpers.events import events_of, values
from tests.helpers.server import Server

DATE = "2025-01-01"


def parsed(items, precision="auto", **dump):
    raw = json.dumps(list(items), **dump).encode()
    return events_of(raw, most=100, precision=precision)


def content(item):
    """Return what identifies an item or a record: what is set in it."""
    left_out = {*GROWING, "id", "organization_id", "timestamp"}
    kept = {name: value for name, value in item.items() if name not in left_out}
    return from_record(item["timestamp"]), json.dumps(_set(kept), sort_keys=True)


def _set(value):
    if not isinstance(value, dict):
        return value
    members = {name: _set(one) for name, one in value.items()}
    unset: tuple[Any, ...] = (None, "", 0, {}, [])
    return {
        name: one
        for name, one in members.items()
        if isinstance(one, float) or one not in unset
    }


def told(items, **more):
    """Return the contents and their ids."""
    rows = Rows()
    rows.add(parsed(items, **more))
    ids = {}
    for event in make_distinct(rows.events()).events:
        record = json.loads(event.json)
        assert record["id"] == event.id
        ids[content(record | {"timestamp": event.timestamp})] = event.id
    return ids


def twins(*values):
    return [{"timestamp": f"{DATE} 00:00:00 +0000 UTC", "a": one} for one in values]


more = st.dictionaries(st.sampled_from(["a", "b", "a/b", ""]), values, max_size=2)
# Few values, so that many items are alike in all that the recipe knows, in one
# microsecond.
items = st.builds(
    lambda digit, added, actor, of_actor, target, count: {
        **added,
        "timestamp": f"{DATE} 00:00:00.00000000{digit} +0000 UTC",
        "actor": actor and {**of_actor, **actor},
        "object": target,
        "count": count,
        "lastOccurredTimestamp": f"2025-01-02 00:00:0{count} +0000 UTC",
    },
    st.integers(1, 2),
    more,
    st.sampled_from([None, {}, {"id": ""}, {"id": "x"}]),
    more,
    st.sampled_from([None, {}, {"id": None}, {"id": {"namespace": ""}}]),
    st.integers(0, 2),
)


@given(st.lists(items, min_size=3, max_size=12), st.randoms())
@example(twins({"b": 1}, {"b": 2}, {"b": None}, {}, None, ""), None)
@example(twins({"b": {"c": 1}}, {"b/c": 1}, {"b": {"c": "1"}}, {"b": "c"}), None)
@example(twins([1], [1, 1], "[1]", 1, 1.0, 1.5, "1"), None)
@settings(max_examples=50)
def test_each_content_has_an_id_of_its_own(found, rng):
    rows = Rows()
    rows.add(parsed(found))
    contents = {content(item) for item in found}
    assert len(rows) == len(contents)
    ids = told(found)
    assert ids.keys() == contents
    assert len(set(ids.values())) == len(contents)
    # However they come, and in any precision.
    again = [dict(reversed(one.items())) for one in found[::-1]]
    if rng:
        rng.shuffle(again)
    assert told(again, separators=(" ,", " : "), precision="nanoseconds") == ids
    assert told(again, precision="microseconds") == ids


@pytest.mark.parametrize(
    ("page_size", "concurrency", "order"), [(1, 1, "newest"), (3, 2, "oldest")]
)
@given(found=st.lists(items, max_size=12))
@settings(max_examples=50)
def test_each_content_comes_out_of_any_pages_once(page_size, concurrency, order, found):
    # Rows that differ in nothing, on pages apart, are not to be told from a gap.
    distinct = list({content(item): item for item in found}.values())
    server = Server(parsed(distinct), order=order)
    start = parse(f"{DATE}T00:00:00Z")
    limits = Limits(page_size, concurrency, max_events=4, slack=0)
    events = server.read(start, start + DAY, limits)
    records = [json.loads(event.json) for event in events]
    ids = told(distinct)
    assert Counter(record["id"] for record in records) == Counter(ids.values())
    assert {content(record): record["id"] for record in records} == ids


def test_the_id_of_a_twin_can_be_recomputed(sample):
    items = [
        sample | {"a": {"b/c~d": n, "e": {"f": True}, "g": ""}} for n in (1, 2.50)
    ] + [sample]
    first, second, third = make_distinct(parsed(items)).events
    args = sample, "org", from_record(sample["timestamp"])
    assert first.id == event_id(*args, "/a/b~1c~0d", "1", "/a/e/f", "true")
    assert second.id == event_id(*args, "/a/b~1c~0d", "2.5", "/a/e/f", "true")
    assert third.id == event_id(*args)
    # Whatever other twins there are: one that came first keeps its id.
    other = parsed([sample | {"z": 1}])
    assert make_distinct(parsed(items[1:]) + other).events[0] == second


def test_the_members_that_told_twins_apart_are_named(sample):
    target = sample["object"] | {"id": sample["object"]["id"] | {"zone": "secret"}}
    later = sample | {"timestamp": "2025-12-01 00:00:00 +0000 UTC"}
    items = [sample, sample | {"object": target}, later, later | {"more": {"a": 1}}]
    for some in (items, items[::-1]):
        assert make_distinct(parsed(some)).members == {"object.id.zone", "more.a"}
    assert make_distinct(parsed(items[::2])).members == set()
    many = {f"{n}{'x' * 1_000}": 1 for n in range(2 * MAX_NAMES)}
    members = make_distinct(parsed(twins({}, many))).members
    assert len(members) == MAX_NAMES
    assert max(map(len, members)) == MAX_QUOTED


def test_a_member_that_is_not_set_makes_no_twin(sample):
    """As while a server is updated that sends more members from then on."""
    newer = sample | {"new": "", "more": {"flag": False, "number": 0, "list": []}}
    newer["object"] = sample["object"] | {"id": sample["object"]["id"] | {"zone": ""}}
    rows = Rows()
    rows.add(parsed([sample, newer]))
    assert len(rows) == 1


def test_growth_makes_no_twin_and_the_last_is_kept(sample):
    grown = [
        sample | {"count": n, "lastOccurredTimestamp": f"2025-12-0{n}T00:00:00Z"}
        for n in (1, 3, 2)
    ]
    other = sample | {"action": "other"}
    for some in itertools.permutations(grown):
        rows = Rows()
        rows.add(parsed(some))
        (event,) = rows.events()
        assert json.loads(event.json)["count"] == 3
        rows.add(parsed([other]))
        assert rows.size == sum(len(one.json) for one in parsed([sample, other]))


def test_twins_that_cannot_be_read_are_refused():
    twins = [Event("2025-11-21", "", "one", b"["), Event("2025-11-21", "", "one", b"")]
    with pytest.raises(RecordError, match="an event of 2025-11-21: "):
        make_distinct(twins)
