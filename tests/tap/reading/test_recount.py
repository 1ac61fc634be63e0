"""Events that arrive days late, noticed by counting, without HTTP and Singer."""

import logging
from collections import Counter
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_akuity.reading.asks import Range
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.recount import Recount, understood
from tap_akuity.reading.windows import Window
from tap_akuity.records.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.server import Server, event, events

DAY_0 = parse("2026-03-01T00:00:00Z")
HOUR = 3600 * SECOND
LOOKBACK = 300 * SECOND
DAYS = 7


def day_of(instant):
    return to_text(instant)[:10]


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
        grown, found = [], []
        for number, window in enumerate(self.windows(now, recount, state, grown)):
            if number == kill_at:
                break
            found += window.events
            if window.reached:
                start = parse(window.reached) - LOOKBACK
                state["start"] = max(state["start"], start)
            recount.add(window, state["start"])
            state["kept"] = recount.keep()
            self.state = dict(state)
        self.loaded.update(one.id for one in found)
        return grown, found

    def windows(self, now, recount, state, grown):
        if recount.is_new or state["checked_on"] != day_of(now):
            for day in self.server.finish(recount.ask(self.limits.page_size)):
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
edges = st.sampled_from(
    [0, 1, SECOND // 2, 5 * HOUR, DAY - SECOND // 2, DAY - 500_000, DAY - 5_000]
)
arrivals = st.lists(st.tuples(st.integers(0, DAYS + 1), edges), max_size=6)
runs = st.lists(
    st.tuples(st.sampled_from([1, 5, 12, 24, 24, 240]), arrivals, st.none() | st.integers(0, 2)),
    min_size=3,
    max_size=9,
)


@given(servers, runs, st.sampled_from([3, 50]), st.sampled_from([0, 2 * HOUR]))
@settings(max_examples=200)
def test_late_events_are_loaded_by_the_first_run_of_the_next_day(
    server, runs, page_size, bound
):
    """Also if runs are killed; and no day is read again without need."""
    limits = Limits(page_size, 2, max_events=20, slack=2)
    pipeline, names = Pipeline(server, limits, DAY_0 + bound), count()
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
        if kill_at is None:
            midnight = now // DAY * DAY
            since = min(oldest, midnight - DAYS * DAY) if is_first else start
            since = max(since, pipeline.bound)
            due = {name for name, at in missing.items() if at >= since}
            assert due <= pipeline.loaded
            oldest = midnight - DAYS * DAY
            # An event next to midnight may be counted on both sides of it.
            near = {
                day_of(at + near)
                for at in missing.values()
                for near in (-2 * SECOND, 0, 2 * SECOND)
                if at < -(-start // SECOND) * SECOND
            }
            assert set(grown) <= near or page_size == 3 or not is_exact
        is_exact = kill_at is None and (is_first or is_exact)
