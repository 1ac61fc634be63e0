"""Which rows are the same event, and which only look like it."""

from __future__ import annotations

import copy
import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_akuity.reading.limits import Limits
from tap_akuity.reading.windows import windows
from tap_akuity.records.event import Event, parse_items
from tap_akuity.records.members import UnknownMembers
from tap_akuity.records.rows import GROWING, Rows, tell_apart
from tests.helpers.server import Server

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

Item = dict[str, Any]


def parse(items: Iterable[Item], precision: str = "auto") -> list[Event]:
    return parse_items(
        msgspec.Raw(json.dumps(list(items)).encode()),
        "org",
        most=10_000,
        unknown=UnknownMembers(),
        precision=precision,
    )


def canonical(record: Item) -> str:
    """Give what identifies an item or a record, in one form."""
    left_out = {*GROWING, "id", "organization_id", "timestamp"}
    kept = {name: value for name, value in record.items() if name not in left_out}
    return json.dumps(kept, sort_keys=True)


def apart(items: Iterable[Item], precision: str = "auto") -> dict[str, str]:
    """Give each content and its id."""
    rows = Rows()
    rows.add(parse(items, precision))
    events = tell_apart(rows.events()).events
    assert all(json.loads(event.json)["id"] == event.id for event in events)
    return {canonical(json.loads(event.json)): event.id for event in events}


names = st.sampled_from(["a", "b", "a/b", "a~b", "a.b", "", "é"])
values: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, "", "x", 0, 1, True, [], {}]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2)
    ),
    max_leaves=4,
)
more = st.dictionaries(names, values, max_size=2)
# Few values, so that many items are alike in all that the recipe knows.
items = st.builds(
    lambda second, added, actor, of_actor, target, count: {
        **added,
        "timestamp": f"2025-01-01 00:00:0{second} +0000 UTC",
        "actor": actor and {**of_actor, **actor},
        "object": target,
        "count": count,
        "lastOccurredTimestamp": f"2025-01-02 00:00:0{count} +0000 UTC",
    },
    st.integers(0, 2),
    more,
    st.sampled_from([None, {}, {"id": ""}, {"id": "x"}, {"origin": "mcp"}]),
    more,
    st.sampled_from([None, {}, {"id": None}, {"id": {"namespace": ""}}]),
    st.integers(0, 2),
)


@given(st.lists(items, max_size=12), st.randoms())
def test_each_content_has_an_id_of_its_own(
    found: list[Item], rng: random.Random
) -> None:
    ids = apart(found)
    contents = {(item["timestamp"], canonical(item)) for item in found}
    rows = Rows()
    keys = rows.add(parse(found))
    assert len(rows) == len(set(keys)) == len(contents)
    events = tell_apart(rows.events()).events
    assert len({event.id for event in events}) == len(contents)
    # In whatever order they come.
    assert apart(rng.sample(found, len(found))) == ids


@given(st.lists(items, max_size=12))
def test_no_id_depends_on_the_precision(found: list[Item]) -> None:
    for one in found:  # Within one microsecond.
        digit = one["timestamp"][18]
        one["timestamp"] = f"2025-01-01 00:00:00.00000000{digit} +0000 UTC"
    auto, six, nine = (
        apart(found, precision) for precision in ("auto", "microseconds", "nanoseconds")
    )
    assert auto == six == nine


@given(st.lists(items, max_size=12))
@settings(max_examples=50)
def test_each_content_comes_out_of_any_pages_once(found: list[Item]) -> None:
    # Rows that differ in nothing, on pages apart, are not to be told from a gap.
    distinct = {(item["timestamp"], canonical(item)): item for item in found}
    outputs = []
    for page_size, concurrency, order in PAGES:
        server = Server(parse(distinct.values()), order=order)
        within = Limits(page_size, concurrency, max_events=4, slack=0)
        whole = server.whole(*server_range(), page_size)
        events = [e for w in windows(server.fetch, whole, within) for e in w.events]
        outputs.append(sorted((event.id, event.json) for event in events))
    records = [json.loads(record) for _, record in outputs[0]]
    assert Counter(content_of(record) for record in records) == Counter(
        content_of(item) for item in distinct.values()
    )
    assert outputs[0] == outputs[1] == outputs[2]


PAGES = [(1, 1, "newest"), (3, 2, "oldest"), (99, 1, "newest")]


def content_of(item: Item) -> tuple[str, str]:
    return item["timestamp"][:19].replace("T", " "), canonical(item)


def server_range() -> tuple[int, int]:
    day = 86_400 * 10**9
    start = 20_089 * day  # 2025-01-01
    return start, start + day


def twin(sample: Item, **changes: Any) -> Item:
    return {**copy.deepcopy(sample), **changes}


def test_what_is_added_to_every_event_changes_no_id(sample: Item) -> None:
    twins = [sample, twin(sample, cluster="a"), twin(sample, cluster="b")]
    before = {json.loads(c).get("cluster"): i for c, i in apart(twins).items()}
    later = [{**one, "added": {"to": "all"}} for one in twins]
    after = {json.loads(c).get("cluster"): i for c, i in apart(later).items()}
    assert after == before


def test_an_event_without_a_twin_has_the_id_of_the_recipe(sample: Item) -> None:
    (alone,) = parse([sample])
    (with_more,) = parse([twin(sample, added=1)])
    assert with_more.id == alone.id
    # One of the twins keeps it.
    assert alone.id in apart([sample, twin(sample, added=1)]).values()


@pytest.mark.parametrize(
    "values",
    [
        ["", None],
        [{}, None],
        [{"b": 1}, {"b": 2}, {"b": None}, {}],
        [{"b": {"c": 1}}, {"b/c": 1}, {"b": {"c": "1"}}, {"b": "c"}],
        [[1], [1, 1], "[1]"],
        [1, 1.0, 1.5, "1"],
    ],
)
def test_twins_of_every_kind(sample: Item, values: list[Any]) -> None:
    twins = [twin(sample, a=value) for value in values] + [sample]
    ids = apart(twins)
    assert len(set(ids.values())) == len(ids) == len(twins)
    for some in itertools.permutations(twins):
        assert apart(some) == ids


def test_the_members_that_told_twins_apart_are_named(sample: Item) -> None:
    target = {**sample["object"], "id": {**sample["object"]["id"], "zone": "secret"}}
    rows = Rows()
    rows.add(parse([sample, twin(sample, object=target), twin(sample, more={"a": {}})]))
    assert tell_apart(rows.events()).members == {"object.id.zone", "more.a"}


def test_every_pair_of_twins_names_its_members(sample: Item) -> None:
    later = twin(sample, timestamp="2025-12-01 00:00:00 +0000 UTC")
    pairs = [sample, twin(sample, b=1), later, twin(later, c=1)]
    for some in (pairs, pairs[::-1]):
        assert tell_apart(parse(some)).members == {"b", "c"}
    assert tell_apart(parse(pairs[::2])).members == set()


def test_the_size_is_that_of_the_records(sample: Item) -> None:
    events = parse([sample, twin(sample, b=1), sample])
    rows = Rows()
    rows.add(events)
    assert rows.size == len(events[0].json) + len(events[1].json)


def test_growth_makes_no_twin_and_the_last_is_kept(sample: Item) -> None:
    grown = [
        twin(sample, count=n, lastOccurredTimestamp=f"2025-12-0{n} 00:00:00 +0000 UTC")
        for n in (1, 3, 2)
    ]
    for some in itertools.permutations(grown):
        rows = Rows()
        assert len(set(rows.add(parse(some)))) == 1
        (event,) = rows.events()
        assert json.loads(event.json)["count"] == 3


def test_white_space_and_order_make_no_twin(sample: Item) -> None:
    one, other = sample, dict(reversed(sample.items()))
    raw = f"[{json.dumps(one)},{json.dumps(other, separators=(',', ':'))}]"
    events = parse_items(
        msgspec.Raw(raw.encode()),
        "org",
        most=9,
        unknown=UnknownMembers(),
        precision="auto",
    )
    rows = Rows()
    rows.add(events)
    assert len(rows) == 1
