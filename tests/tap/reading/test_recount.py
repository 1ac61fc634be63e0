"""Events that arrive days late, noticed by counting, and read by the stream."""

import copy
import itertools
import logging
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.store import Store
from tap_akuity import streams
from tap_akuity.api import client
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import Range
from tap_akuity.reading.recount import Recount, validated
from tap_akuity.reading.windows import Window
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.catalogs import CONFIG
from tests.helpers.clients import LocalSession
from tests.helpers.events import go
from tests.helpers.running import last_state, records, sync
from tests.helpers.server import Server, events

DAY_0 = parse("2026-03-01T00:00:00Z")
HOUR = 3600 * SECOND
LOOKBACK = 300 * SECOND
DAYS = 7


def day_of(instant):
    return to_text(instant)[:10]


def item(instant, name="x", last=None):
    last = instant if last is None else last
    times = {"timestamp": instant, "lastOccurredTimestamp": last}
    return {"action": name} | {key: go(0, since=at) for key, at in times.items()}


def hourly(days):
    return [item(DAY_0 + hour * HOUR, str(hour)) for hour in range(24 * days)]


def merged(one, other):
    """Merge as Meltano merges a state with that of a killed run."""
    both = {
        name: merged(one[name], other[name])
        for name in one.keys() & other.keys()
        if isinstance(other[name], dict)
    }
    return one | other | both


class Pipeline:
    """Runs the tap now and then, and keeps its state."""

    def __init__(self, session, limits=None, bound=DAY_0):
        self.session = session
        self.limits = limits or Limits(50, 2)
        self.bound = bound
        self.state = {}

    @property
    def kept(self):
        return self.state.get("bookmarks", {}).get("audit_logs", {})

    @property
    def counts(self):
        (counts,) = self.kept["recount"].values()
        return counts

    @property
    def start(self):
        """Where the next run starts."""
        reached = self.kept.get("replication_key_value")
        return max(self.bound, parse(reached) - LOOKBACK) if reached else self.bound

    def run(self, now, kill_at=None):
        """Run, perhaps until it is killed after so many messages.

        Returns:
            The days that were read again, and the events by name, in order.
        """
        start, before = self.start, self.state
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: now)
            patch.setattr(client, "BoundedSession", lambda _: self.session)
            patch.setattr(streams, "Limits", lambda *_: self.limits)
            config = CONFIG | {"start_date": to_text(self.bound)}
            messages = sync(config, copy.deepcopy(before))[:kill_at]
        if any(message["type"] == "STATE" for message in messages):
            state = last_state(messages)
            self.state = state if kill_at is None else merged(before, state)
        found = {one["action"]: parse(one["timestamp"]) for one in records(messages)}
        assert len(found) == len(records(messages))
        return sorted({day_of(at) for at in found.values() if at < start}), found


sessions = st.builds(
    LocalSession,
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    precision=st.sampled_from(["nanoseconds", "milliseconds", "seconds"]),
    filter_on=st.sampled_from(["timestamp", "lastOccurredTimestamp"]),
    order=st.sampled_from(["newest", "oldest"]),
)
edges = st.sampled_from([0, SECOND // 2, 5 * HOUR, DAY - SECOND // 2, DAY - 500_000])
lateness = st.sampled_from([0, 0, 0, 1, 2, DAYS, DAYS + 1])
runs = st.lists(
    st.tuples(
        st.sampled_from([1, 5, 12, 24, 24, 240]),
        st.lists(st.tuples(lateness, edges), max_size=6),
        st.none() | st.integers(0, 9),
    ),
    min_size=3,
    max_size=9,
)
pipelines = st.builds(
    Pipeline,
    sessions,
    st.sampled_from([3, 50]).map(lambda size: Limits(size, 2, max_events=5, slack=1)),
    st.sampled_from([DAY_0, DAY_0 + 2 * HOUR]),
)


@given(pipelines, runs)
@settings(max_examples=40)
def test_late_events_are_loaded_by_the_first_run_of_the_next_day(pipeline, runs):
    """Also if runs are killed; and no day is read again without need."""
    names, happened = itertools.count(), {}
    loaded: set[str] = set()
    now, oldest, is_exact = DAY_0 + 3 * HOUR, DAY_0, True
    for hours, late, kill_at in runs:
        now += hours * HOUR
        for days, edge in late:
            instant = now // DAY * DAY - days * DAY + edge
            instant -= DAY * (instant >= now)
            name = str(next(names))
            happened[name] = instant
            pipeline.session.store.add([item(instant, name)])
        missing = {name: happened[name] for name in happened.keys() - loaded}
        start, is_first = pipeline.start, pipeline.kept.get("checked_on") != day_of(now)
        grown, found = pipeline.run(now, kill_at)
        loaded |= found.keys()
        assert list(found.values()) == sorted(found.values())
        before, oldest = oldest, now // DAY * DAY - DAYS * DAY
        if kill_at is None:
            since = max(pipeline.bound, min(before, oldest) if is_first else start)
            assert {name for name, at in missing.items() if at >= since} <= loaded
            # An event next to midnight may be counted on both sides of it.
            near = {
                day_of(at + near)
                for at in missing.values()
                for near in (-2 * SECOND, 0, 2 * SECOND)
                if at < -(-start // SECOND) * SECOND
            }
            assert {*grown} <= near or not is_exact or pipeline.limits.page_size == 3
        is_exact = kill_at is None and (is_first or is_exact)


def test_days_that_were_not_loaded_are_only_counted():
    pipeline = Pipeline(LocalSession(hourly(9)), bound=0)
    session, day_8 = pipeline.session, DAY_0 + 8 * DAY
    session.store.add([item(day_8 + 90 * SECOND, "early")])
    bookmark = {"replication_key_value": to_text(day_8 + 2 * HOUR)}
    pipeline.state = {"bookmarks": {"audit_logs": bookmark}}
    assert pipeline.run(day_8 + 3 * HOUR)[0] == []
    assert len([query for query in session.asked if query.limit == 1]) == DAYS + 1
    counted = {f"2026-03-0{day}": 24 for day in range(2, 9)}
    loaded = {"2026-03-09": 3}
    until = "2026-03-09T01:55:00Z"
    assert pipeline.counts == {"until": until, "loaded": loaded, "counted": counted}
    session.asked.clear()
    pipeline.run(day_8 + DAY)
    assert len(session.asked) == DAYS + 1 + 1
    del counted["2026-03-02"]
    until, loaded = "2026-03-09T22:55:00Z", {"2026-03-09": 24}
    assert pipeline.counts == {"until": until, "loaded": loaded, "counted": counted}


def test_fewer_events_are_noted_and_more_are_read_again(caplog):
    caplog.set_level(logging.INFO)
    pipeline = Pipeline(LocalSession(hourly(3)), bound=DAY_0 + HOUR // 2)
    pipeline.run(DAY_0 + 3 * DAY)
    pipeline.run(DAY_0 + 3 * DAY + HOUR)
    late = item(DAY_0 + DAY + HOUR // 2, "late")
    pipeline.session.store = Store([*hourly(3)[3:], late])
    caplog.clear()
    grown, found = pipeline.run(DAY_0 + 4 * DAY + HOUR)
    assert grown == ["2026-03-02"]
    assert len(found) == 24 + 1 + 1
    assert [message for message in caplog.messages if "than before" in message] == [
        "2 fewer events of 2026-03-01 than before: Akuity no longer counts them.",
        "1 more events of 2026-03-02 than before, which came late: reading that day "
        "again.",
    ]
    assert pipeline.counts["loaded"].keys() == {"2026-03-03"}
    # What was noted is what the day is compared with from then on.
    assert pipeline.run(DAY_0 + 5 * DAY + HOUR)[0] == []
    pipeline.session.store.add([item(DAY_0 + 9 * HOUR + 1, "later")])
    assert pipeline.run(DAY_0 + 6 * DAY + HOUR)[0] == ["2026-03-01"]


def test_more_comes_while_days_are_counted_and_read():
    def growing(store, query):
        if is_growing:
            number = len(store)
            store.add([item(DAY_0 + number * SECOND, f"late {number}")])
        return store.query(query)

    pipeline = Pipeline(LocalSession(hourly(2), growing))
    is_growing = False
    loaded: set[str] = set()
    for day in range(2, 7):
        is_growing = day in {2, 3, 4}
        grown, found = pipeline.run(DAY_0 + day * DAY + HOUR)
        loaded |= found.keys()
    assert len(loaded) == len(pipeline.session.store) > 60
    assert grown == []


def test_identical_rows_are_read_again_once():
    pipeline = Pipeline(LocalSession([*hourly(2), hourly(2)[3]]))
    pipeline.run(DAY_0 + 2 * DAY - 1)
    grown = [pipeline.run(DAY_0 + day * DAY + HOUR)[0] for day in range(2, 5)]
    assert grown == [["2026-03-01"], [], []]


def test_events_that_happen_again_are_not_taken_for_late():
    session = LocalSession(hourly(3), filter_on="lastOccurredTimestamp")
    pipeline = Pipeline(session)
    pipeline.run(DAY_0 + DAY + HOUR)
    # It counts as one of the second day from then on.
    again = item(DAY_0 + 5 * HOUR, "5", DAY_0 + DAY + 2 * HOUR)
    items = hourly(3)[:5] + hourly(3)[6:] + [again]
    session.store = Store(items, session.store.behaviour)
    pipeline.run(DAY_0 + DAY + 12 * HOUR)
    for day in (2, 3):
        assert pipeline.run(DAY_0 + day * DAY + HOUR)[0] == []


servers = st.builds(
    Server,
    events=st.builds(list),
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    unit=st.sampled_from([1, 10**6, SECOND]),
    last=st.booleans(),
    order=st.sampled_from(["newest", "oldest"]),
)
outsides = st.tuples(st.integers(0, 3), st.integers(0, 3))


@given(servers, st.integers(0, 9), outsides, st.booleans(), st.integers(4, 9))
def test_events_outside_of_a_day_are_not_taken_for_late(
    server, inside, outside, late, page_size
):
    before, after = outside
    midnight, noon = DAY_0 + DAY, DAY_0 + DAY // 2
    server.events = events(
        [
            *range(DAY_0 - before, DAY_0),
            *range(noon, noon + inside + late),
            *range(midnight, midnight + after),
        ]
    )
    span = Range(midnight + HOUR, midnight + 2 * HOUR)
    (name,) = Recount({}, "all", span, bound=0, days=1).keep()
    loaded = {"2026-03-01": inside, "2026-03-02": after}
    kept = {name: {"until": "2026-03-02T01:00:00Z", "loaded": loaded}}
    recount = Recount(kept, "all", span, bound=0, days=1)
    with server.requests() as requests:
        grown = recount.grown(requests, page_size)
    found = [(day.range, day.inside) for day in grown]
    assert found == [(Range(DAY_0, midnight), inside + late)] * late
    assert len(server.asked) <= 4 + 2 * (late + sum(outside))


def test_a_range_that_is_read_once_more_is_not_counted():
    recount = Recount({}, "all", Range(DAY_0, DAY_0 + DAY), bound=DAY_0, days=DAYS)
    window = Window(Range(DAY_0, DAY_0 + DAY), [], "", set(), [to_text(DAY_0)])
    recount.add(window, DAY_0 + HOUR)
    assert recount.keep()
    for start in (DAY_0, DAY_0 + DAY):
        recount.add(window._replace(range=Range(start, start + DAY)), DAY_0 + HOUR)
        assert recount.keep() == {}


@pytest.mark.parametrize(
    ("until", "name", "is_new"),
    [
        ("2026-03-01T22:55:00Z", "all", False),
        # As with a longer lookback than before: what is read again was counted.
        ("2026-03-01T22:55:02Z", "all", False),
        # As with a shorter one: what was read again then was not.
        ("2026-03-01T22:50:00Z", "all", True),
        ("2020-01-01", "all", True),
        ("2026-03-01T22:55:00Z", "other", True),
    ],
)
def test_a_bookmark_that_was_moved_begins_anew(until, name, is_new):
    span = Range(DAY_0 + 23 * HOUR - LOOKBACK, DAY_0 + DAY)
    (key,) = Recount({}, "all", span, bound=DAY_0, days=DAYS).keep()
    kept = {key: {"until": until, "loaded": {"2026-03-01": 23}}}
    recount = Recount(kept, name, span, bound=DAY_0, days=DAYS)
    assert recount.is_new is is_new
    (counts,) = recount.keep().values()
    # What is not known was either counted for other events, or is read again.
    again = {"2026-03-01": 0} if name == "all" else {}
    assert counts["loaded"] == (again if is_new else {"2026-03-01": 23})


@pytest.mark.parametrize(
    "kept",
    [
        {"until": "soon"},
        {"until": "2026-03-01", "loaded": {"then": 1}},
        {"until": "2026-03-01", "counted": {"then": 1}},
        {"until": "2026-03-01", "loaded": {"2026-03-01": -1}},
    ],
)
def test_malformed_counts_are_refused(kept):
    with pytest.raises(ValueError, match=r"soon|then|`int`"):
        validated({"x": kept})
