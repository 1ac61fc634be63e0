"""Events that arrive days late, noticed by counting, without HTTP and Singer."""

import logging
from collections import Counter
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import Range
from tap_akuity.reading.recount import Recount, validated
from tap_akuity.reading.windows import Window
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.server import Server, event, events

DAY_0 = parse("2026-03-01T00:00:00Z")
HOUR = 3600 * SECOND
LOOKBACK = 300 * SECOND
DAYS = 7


def day_of(instant):
    return to_text(instant)[:10]


def merged(one, other):
    """Merge as Meltano merges a state with that of a killed run."""
    both = {
        name: merged(one[name], other[name])
        for name in one.keys() & other.keys()
        if isinstance(other[name], dict)
    }
    return one | other | both


class Pipeline:
    """Runs as the stream does, and keeps what its state keeps."""

    def __init__(self, server, limits=None, bound=DAY_0):
        self.server = server
        self.limits = limits or Limits(50, 2)
        self.bound = bound
        self.state = {"start": bound, "checked_on": "", "kept": {}}
        self.loaded = set()

    def run(self, now, kill_at=None):
        """Run, perhaps until it is killed after so many windows.

        Returns:
            The days that were read again, and all events.
        """
        state = dict(self.state)
        span = Range(state["start"], now)
        recount = Recount(state["kept"], "all", span, bound=self.bound, days=DAYS)
        grown: list[str] = []
        found = []
        for number, window in enumerate(self.windows(now, recount, state, grown)):
            if number == kill_at:
                break
            found += window.events
            if window.reached:
                start = parse(window.reached) - LOOKBACK
                state["start"] = max(state["start"], start)
            recount.add(window, state["start"])
            before = {} if kill_at is None else state["kept"]
            state["kept"] = merged(before, recount.keep())
            self.state = dict(state)
        self.loaded.update(one.id for one in found)
        return grown, found

    def windows(self, now, recount, state, grown):
        if recount.is_new or state["checked_on"] != day_of(now):
            with self.server.requests() as requests:
                days = recount.grown(requests, self.limits.page_size)
            for day in days:
                grown.append(day_of(day.range.start))
                start, end = day.range.start, min(day.range.end, recount.start)
                for window in self.server.windows(start, end, self.limits):
                    yield window._replace(again=True)
                recount.accept(day)
            recount.finish()
        state["checked_on"] = day_of(now)
        yield from self.server.windows(recount.start, now, self.limits)

    @property
    def counts(self):
        (kept,) = self.state["kept"].values()
        return kept


servers = st.builds(
    Server,
    events=st.builds(list),
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    unit=st.sampled_from([1, 10**6, SECOND]),
    last=st.booleans(),
    order=st.sampled_from(["newest", "oldest"]),
)
edges = st.sampled_from([0, SECOND // 2, 5 * HOUR, DAY - SECOND // 2, DAY - 500_000])
lateness = st.sampled_from([0, 0, 0, 1, 2, DAYS, DAYS + 1])
arrivals = st.lists(st.tuples(lateness, edges), max_size=6)
runs = st.lists(
    st.tuples(
        st.sampled_from([1, 5, 12, 24, 24, 240]),
        arrivals,
        st.sampled_from([None, None, None, 0, 1, 2]),
    ),
    min_size=3,
    max_size=9,
)


pipelines = st.builds(
    Pipeline,
    servers,
    st.sampled_from([3, 50]).map(lambda size: Limits(size, 2, max_events=5, slack=1)),
    st.sampled_from([DAY_0, DAY_0 + 2 * HOUR]),
)


@given(pipelines, runs)
@settings(max_examples=200)
def test_late_events_are_loaded_by_the_first_run_of_the_next_day(pipeline, runs):
    """Also if runs are killed; and no day is read again without need."""
    server, names = pipeline.server, count()
    now, oldest, is_exact = DAY_0 + 3 * HOUR, DAY_0, True
    for hours, late, kill_at in runs:
        now += hours * HOUR
        for days, edge in late:
            instant = now // DAY * DAY - days * DAY + edge
            instant -= DAY * (instant >= now)
            server.events.append(event(instant, str(next(names)), instant))
        missing = {
            one.id: parse(one.timestamp)
            for one in server.events
            if one.id not in pipeline.loaded
        }
        start = pipeline.state["start"]
        is_first = pipeline.state["checked_on"] != day_of(now)
        grown, found = pipeline.run(now, kill_at)
        assert max(Counter(one.id for one in found).values(), default=1) == 1
        assert found == sorted(found, key=server.time)
        kept, oldest = oldest, now // DAY * DAY - DAYS * DAY
        if kill_at is None:
            since = max(pipeline.bound, min(kept, oldest) if is_first else start)
            due = {name for name, at in missing.items() if at >= since}
            assert due <= pipeline.loaded
            # An event next to midnight may be counted on both sides of it.
            near = {
                day_of(at + near)
                for at in missing.values()
                for near in (-2 * SECOND, 0, 2 * SECOND)
                if at < -(-start // SECOND) * SECOND
            }
            assert set(grown) <= near or not is_exact or pipeline.limits.page_size == 3
        is_exact = kill_at is None and (is_first or is_exact)


def hourly(days):
    return events(DAY_0 + hour * HOUR for hour in range(24 * days))


def test_days_that_were_not_loaded_are_only_counted():
    pipeline = Pipeline(Server(hourly(9)), bound=0)
    pipeline.state["start"] = DAY_0 + 8 * DAY + 2 * HOUR - LOOKBACK
    pipeline.server.events += events([DAY_0 + 8 * DAY + 90 * SECOND])
    assert pipeline.run(DAY_0 + 8 * DAY + 3 * HOUR)[0] == []
    counting = [query for query in pipeline.server.asked if query.limit == 1]
    assert len(counting) == DAYS + 1
    counted = {f"2026-03-0{day}": 24 for day in range(2, 9)}
    assert pipeline.counts == {
        "until": "2026-03-09T01:55:00Z",
        "loaded": {"2026-03-09": 3},
        "counted": counted,
    }
    pipeline.server.asked.clear()
    pipeline.run(DAY_0 + 9 * DAY)
    assert len(pipeline.server.asked) == DAYS + 1 + 1
    del counted["2026-03-02"]
    assert pipeline.counts == {
        "until": "2026-03-09T22:55:00Z",
        "loaded": {"2026-03-09": 24},
        "counted": counted,
    }


def test_fewer_events_are_noted_and_more_are_read_again(caplog):
    caplog.set_level(logging.INFO)
    server = Server(hourly(3))
    pipeline = Pipeline(server, bound=DAY_0 + HOUR // 2)
    pipeline.run(DAY_0 + 3 * DAY)
    pipeline.run(DAY_0 + 3 * DAY + HOUR)
    server.events = server.events[3:] + events([DAY_0 + DAY + HOUR // 2])
    grown, found = pipeline.run(DAY_0 + 4 * DAY + HOUR)
    assert grown == ["2026-03-02"]
    assert len(found) == 24 + 1 + 1
    assert caplog.messages == [
        "2 fewer events of 2026-03-01 than before: Akuity no longer counts them.",
        "1 more events of 2026-03-02 than before, which came late: reading that day "
        "again.",
    ]
    assert pipeline.counts["loaded"].keys() == {"2026-03-03"}
    # What was noted is what the day is compared with from then on.
    assert pipeline.run(DAY_0 + 5 * DAY + HOUR)[0] == []
    server.events += events([DAY_0 + 9 * HOUR + 1])
    assert pipeline.run(DAY_0 + 6 * DAY + HOUR)[0] == ["2026-03-01"]


def test_more_comes_while_days_are_counted_and_read():
    server, late = Server(hourly(2), order="random"), count()
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + 2 * DAY - 1)

    def respond(server, query):
        number = next(late)
        server.events.append(event(DAY_0 + number * SECOND, f"late {number}"))
        return server.page(query)

    server.respond = respond
    for day in range(2, 5):
        pipeline.run(DAY_0 + day * DAY + HOUR)
    server.respond = Server.respond
    pipeline.run(DAY_0 + 5 * DAY + HOUR)
    assert len(pipeline.loaded) == len(server.events) > 60
    assert not pipeline.run(DAY_0 + 6 * DAY + HOUR)[0]


def test_identical_rows_are_read_again_once():
    server = Server(hourly(2))
    server.events.append(server.events[3])
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + 2 * DAY - 1)
    grown = [pipeline.run(DAY_0 + day * DAY + HOUR)[0] for day in range(2, 5)]
    assert grown == [["2026-03-01"], [], []]


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


def test_events_that_happen_again_are_not_taken_for_late():
    server = Server(hourly(3), last=True)
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + DAY + HOUR)
    # It counts as one of the second day from then on.
    server.events[5] = event(DAY_0 + 5 * HOUR, "5", DAY_0 + DAY + 2 * HOUR)
    pipeline.run(DAY_0 + DAY + 12 * HOUR)
    for day in (2, 3):
        assert not pipeline.run(DAY_0 + day * DAY + HOUR)[0]


def test_a_range_that_is_read_once_more_is_not_counted():
    recount = Recount({}, "all", Range(DAY_0, DAY_0 + DAY), bound=DAY_0, days=DAYS)
    window = Window(Range(DAY_0, DAY_0 + DAY), [], "", set(), [to_text(DAY_0)])
    recount.add(window, DAY_0 + HOUR)
    assert recount.keep()
    recount.add(window, DAY_0 + HOUR)
    assert recount.keep() == {}
    recount.add(window._replace(range=Range(DAY_0 + DAY, DAY_0 + 2 * DAY)), DAY_0)
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
    pipeline = Pipeline(Server(hourly(1)))
    pipeline.run(DAY_0 + DAY)
    kept = {
        key: value | {"until": until} for key, value in pipeline.state["kept"].items()
    }
    span = Range(pipeline.state["start"], DAY_0 + DAY)
    recount = Recount(kept, name, span, bound=DAY_0, days=DAYS)
    assert recount.is_new is is_new
    (kept,) = recount.keep().values()
    # What is not known was either counted for other events, or is read again.
    again = {"2026-03-01": 0} if name == "all" else {}
    assert kept["loaded"] == (again if is_new else {"2026-03-01": 23})


@pytest.mark.parametrize(
    "kept",
    [
        {"x": {"until": "soon"}},
        {"x": {"until": "2026-03-01", "loaded": {"then": 1}}},
        {"x": {"until": "2026-03-01", "counted": {"then": 1}}},
        {"x": {"until": "2026-03-01", "loaded": {"2026-03-01": -1}}},
    ],
)
def test_malformed_counts_are_refused(kept):
    with pytest.raises(ValueError, match=r"soon|then|`int`"):
        validated(kept)
