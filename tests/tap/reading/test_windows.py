"""Planning, reading and fetching, without HTTP and Singer."""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import instants as distributions
from tap_akuity.api.query import Query
from tap_akuity.reading.asks import Page, Range
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.window import IncompleteError
from tap_akuity.reading.window import read as read_window
from tap_akuity.reading.windows import windows
from tap_akuity.records.event import Event
from tap_akuity.records.timestamps import SECOND, parse
from tests.helpers.server import Server, event, events, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_akuity.reading.asks import Ask, Asking, Response

DAY = 86_400 * SECOND
YEAR = 365 * DAY


def limits(limit: int = 5, concurrency: int = 1) -> Limits:
    return Limits(limit, concurrency)


def small(limit: int = 5, concurrency: int = 1) -> Limits:
    """Windows so small that few events need many of them."""
    return Limits(limit, concurrency, max_events=20, slack=2)


def read(
    server: Server, start: int, end: int, within: Limits | None = None
) -> list[Event]:
    within = within or limits()
    whole = server.whole(start, end, within.page_size)
    return [
        one for window in windows(server.fetch, whole, within) for one in window.events
    ]


def ids(found: list[Event]) -> list[str]:
    return [one.id for one in found]


def in_order(found: list[Event]) -> bool:
    times = [one.timestamp for one in found]
    return times == sorted(times)


# Few distinct seconds, so that there are bursts and ties, and wide gaps between some.
instants = st.one_of(
    st.integers(0, 40 * SECOND),
    st.integers(0, 40).map(lambda second: second * SECOND),
    st.integers(0, 40).map(lambda second: second * SECOND + 999_999_999),
    st.integers(0, 300).map(lambda day: day * DAY),
)
servers = st.builds(
    Server,
    events=st.lists(instants, max_size=120).map(events),
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    unit=st.sampled_from([1, 1000, 10**6, SECOND]),
    order=st.sampled_from(["newest", "oldest"]),
    shuffle=st.booleans(),
    cap=st.sampled_from([1, 3, 10**9]),
)


@given(
    servers,
    st.integers(-5 * SECOND, 45 * SECOND),
    st.integers(1, 400 * DAY),
    st.integers(1, 12),
    st.sampled_from([1, 3]),
)
@settings(max_examples=300)
def test_each_event_once_and_in_order(
    server: Server, start: int, width: int, limit: int, concurrency: int
) -> None:
    end = start + width
    found = read(server, start, end, small(limit, concurrency))
    wanted = [e.id for e in server.events if start <= parse(e.timestamp) < end]
    assert Counter(ids(found)) == Counter(wanted)
    assert in_order(found)


@given(st.lists(instants, max_size=120), st.integers(1, 12), st.booleans())
@settings(max_examples=100)
def test_whatever_the_server_filters_on_nothing_is_lost(
    times: list[int],
    limit: int,
    inclusive: bool,  # noqa: FBT001
) -> None:
    rng = random.Random(len(times))
    data = [
        event(
            instant, str(number), instant + rng.choice([0, 1, SECOND, 90 * SECOND, DAY])
        )
        for number, instant in enumerate(times)
    ]
    server = Server(data, start_inclusive=inclusive, end_inclusive=inclusive, last=True)
    found = read(server, 0, 400 * DAY, small(limit))
    assert Counter(ids(found)) == Counter(e.id for e in data)


@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 100, 101, 500])
def test_any_order_loses_nothing(order: str, count: int) -> None:
    rng = random.Random(count)
    server = Server(events(rng.randrange(50 * DAY) for _ in range(count)), order=order)
    found = read(server, 0, 50 * DAY, small())
    assert Counter(ids(found)) == Counter(str(n) for n in range(count))
    assert in_order(found)


@pytest.mark.parametrize("deepest", [0, 10, 20])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_server_that_refuses_far_offsets(deepest: int, hidden: bool) -> None:  # noqa: FBT001
    """Or gives nothing there, though it counts more."""

    class Shortsighted(Server):
        def page(self, query: Query) -> Page:
            page = super().page(query)
            is_probe = query.limit == 1
            return (
                replace(page, events=[])
                if is_probe and query.offset > deepest
                else page
            )

    rng = random.Random(deepest)
    times = [rng.choice([0, 30]) * DAY + rng.randrange(DAY) for _ in range(300)]
    server = (
        Shortsighted(events(times))
        if hidden
        else Server(events(times), deepest=deepest)
    )
    found = read(server, 0, 50 * DAY, small())
    assert Counter(ids(found)) == Counter(str(n) for n in range(300))
    assert in_order(found)


@pytest.mark.parametrize("start_inclusive", [True, False])
def test_a_server_that_rounds_to_seconds(start_inclusive: bool) -> None:  # noqa: FBT001
    times = [n * SECOND // 4 for n in range(4, 400)]
    server = Server(
        events(times), start_inclusive=start_inclusive, unit=SECOND, rounds=True
    )
    found = read(server, 0, 1000 * SECOND, small())
    assert set(ids(found)) == {str(n) for n in range(len(times))}


def test_few_events_cost_one_request() -> None:
    server = Server(events(seconds(1, 2, 3)))
    assert ids(read(server, 0, 10 * YEAR, limits(5, 4))) == ["0", "1", "2"]
    assert len(server.queries) == 1


def test_nothing_costs_one_request() -> None:
    server = Server([])
    assert read(server, 0, 10 * YEAR, limits(5, 4)) == []
    assert len(server.queries) == 1


def test_a_page_that_is_full_is_not_trusted_to_be_the_last() -> None:
    server = Server(events(seconds(1, 2, 3, 4, 5)))
    assert len(read(server, 0, YEAR)) == 5
    assert [query.offset for query in server.queries] == [0, 5]


def test_the_rest_of_a_page_cut_short_is_asked_for_and_no_more() -> None:
    class Moody(Server):
        def page(self, query: Query) -> Page:
            page = super().page(query)
            return replace(page, events=page.events[:3]) if query.offset else page

    server = Moody(events(seconds(*range(1, 18))))
    assert len(read(server, 0, YEAR)) == 17
    assert {query.limit for query in server.queries} == {2, 5}


def test_a_count_that_is_too_small_is_not_trusted() -> None:
    class Miscounting(Server):
        def page(self, query: Query) -> Page:
            return replace(super().page(query), total=3)

    server = Miscounting(events(seconds(*range(1, 18))))
    assert len(read(server, 0, YEAR)) == 17


def test_neighbouring_ranges_are_disjoint_and_lose_nothing() -> None:
    times = [n * SECOND // 7 for n in range(700)]
    cuts = [0, 13 * SECOND + 5, 40 * SECOND, 40 * SECOND + SECOND // 2, 100 * SECOND]
    for start_inclusive in (True, False):
        for end_inclusive in (True, False):
            server = Server(
                events(times),
                start_inclusive=start_inclusive,
                end_inclusive=end_inclusive,
            )
            found: list[str] = []
            for start, end in pairwise(cuts):
                found += ids(read(server, start, end, limits(50)))
            assert found == [str(n) for n in range(700)]


# Cost: requests and offsets.


@pytest.mark.parametrize("name", distributions.SHAPES)
@pytest.mark.parametrize(("page_size", "bound"), [(500, 1.06), (1000, 1.12)])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_requests_and_offsets_are_bounded(
    name: distributions.Shape, page_size: int, bound: float, concurrency: int
) -> None:
    count = 100_000
    times = distributions.instants(name, count, random.Random(count), 0, YEAR)
    server = Sorted(events(times))
    found = read(server, -2 * YEAR, YEAR, Limits(page_size, concurrency))
    assert Counter(ids(found)) == Counter(ids(server.events))
    assert in_order(found)
    assert server.requests <= bound * count / page_size + 3
    assert server.largest_offset <= 11_000


class Sorted(Server):
    """Has no surprises, and responds quickly."""

    def __init__(self, data: list[Event]) -> None:
        super().__init__(data)
        self.times = [parse(one.timestamp) for one in data]

    def page(self, query: Query) -> Page:
        low = bisect_left(self.times, query.start)
        high = bisect_left(self.times, query.end, low)
        last = max(high - query.offset, low)
        first = max(last - query.limit, low)
        return Page(self.events[first:last][::-1], high - low)


def test_many_events_in_one_second() -> None:
    times = [DAY + n * 10_000 for n in range(50_000)]
    server = Sorted(events([*times, 2 * DAY, 3 * DAY]))
    found = read(server, -YEAR, 10 * DAY, limits(500, 4))
    assert len(found) == 50_002
    assert in_order(found)
    assert server.requests < 120


# Completeness.


@pytest.mark.parametrize("limit", [1, 2, 7, 20])
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_ties_add_up(limit: int, seed: int) -> None:
    data = events([SECOND] * 60 + [2 * SECOND] * 3)
    server = Server(data, shuffle=True, rng=random.Random(seed))
    found = read(server, 0, 10 * SECOND, limits(limit))
    assert Counter(ids(found)) == Counter(e.id for e in data)


def test_ties_that_depend_on_the_page_add_up() -> None:
    # As a database that orders by time alone: alike for the same page, else not.
    class Unstable(Server):
        def page(self, query: Query) -> Page:
            self.rng = random.Random(query.offset * 1000 + query.limit)
            return super().page(query)

    data = events([SECOND] * 30)
    found = read(Unstable(data, shuffle=True), 0, 10 * SECOND, limits(10))
    assert Counter(ids(found)) == Counter(e.id for e in data)


def test_twins_count_twice_and_are_kept_once() -> None:
    data = events(seconds(1, 2, 3, 4, 5, 6))
    data += [data[2], data[4]]
    assert ids(read(Server(data), 0, YEAR, limits(2))) == ["0", "1", "2", "3", "4", "5"]
    assert ids(read(Server(data), 0, YEAR, limits(9))) == ["0", "1", "2", "3", "4", "5"]


def test_a_window_that_stays_short_is_an_error() -> None:
    class Hiding(Server):
        def page(self, query: Query) -> Page:
            page = super().page(query)
            return replace(page, total=page.total + 1)

    server = Hiding(events(seconds(1, 2, 3)))
    with pytest.raises(IncompleteError) as caught:
        read(server, SECOND, 9 * SECOND)
    assert str(caught.value) == (
        "Akuity counts 4 events from 1970-01-01T00:00:01Z to 1970-01-01T00:00:09Z but "
        "returns 3, repeatedly: run the sync again later, and contact Akuity's "
        "support if that does not help."
    )
    assert len(server.queries) < 50


def test_as_long_as_something_new_comes_a_window_is_read_again() -> None:
    class Reluctant(Server):
        """Gives one event more each time that it is asked for the first page."""

        given = 5

        def page(self, query: Query) -> Page:
            page = super().page(query)
            if query.offset:
                return replace(page, events=[])
            self.given += 1
            return replace(page, events=self.events[: self.given])

    server = Reluctant(events([SECOND] * 30))
    assert len(read(server, SECOND, 2 * SECOND, limits(50))) == 30


class Liar(Server):
    """Counts so many events, and perhaps gives the same page always."""

    total: int
    ignores_the_offset = False

    def page(self, query: Query) -> Page:
        if self.ignores_the_offset:
            query = query._replace(offset=0)
        return replace(super().page(query), total=self.total)


@pytest.mark.parametrize("total", [3, 4, 11, 40])
def test_a_server_that_ignores_the_offset_ends(total: int) -> None:
    server = Liar(events(seconds(100.1, 100.2, 100.3)))
    server.total, server.ignores_the_offset = total, True
    found = []
    try:
        found = read(server, 100 * SECOND, 101 * SECOND)
    except IncompleteError:
        assert total > 3
    else:
        assert total == len(found) == 3
    assert server.requests < 500


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("within", [small(), limits(500, 4)])
@pytest.mark.parametrize("end", [101 * SECOND, 10 * YEAR])
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_count_without_rows_costs_few_requests(
    ignored: bool,  # noqa: FBT001
    within: Limits,
    end: int,
    rows: int,
) -> None:
    server = Liar(events(seconds(100.1, 100.2, 100.3)[:rows]))
    server.total, server.ignores_the_offset = 2**63 - 1, ignored
    with pytest.raises(IncompleteError, match="counts 9223372036854775807 events from"):
        read(server, 0, end, within)
    assert server.requests < 700


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.timeout(30)
def test_rows_without_end_are_an_error(honest: bool) -> None:  # noqa: FBT001
    """Fresh rows on each page, whether the server counts them or not."""

    class Endless(Server):
        given = 0

        def page(self, query: Query) -> Page:
            rows = events([SECOND] * query.limit)
            rows = [event(SECOND, f"{self.given + n}") for n in range(len(rows))]
            self.given += len(rows)
            return Page(rows, self.given + 5 if honest else 5)

    server = Endless([])
    with pytest.raises(IncompleteError, match="keeps returning events from 1970"):
        read(server, SECOND, 2 * SECOND, limits(500, 4))
    assert server.given < 30_000


def test_an_empty_page_does_not_pass_for_a_full_one() -> None:
    class Silent(Server):
        def page(self, query: Query) -> Page:
            return replace(super().page(query), events=[])

    with pytest.raises(IncompleteError):
        read(Silent(events(seconds(1, 2, 3))), 0, 9 * SECOND)


@pytest.mark.parametrize("at", range(1, 12))
@pytest.mark.parametrize("gone", [1, 2, 5])
def test_rows_that_go_away_meanwhile(at: int, gone: int) -> None:
    def remove(server: Server, _query: Query) -> None:
        if len(server.queries) == at:
            newest = sorted(server.events, key=lambda one: one.timestamp)[-gone:]
            server.events = [one for one in server.events if one not in newest]

    server = Server(events(seconds(*range(1, 31))), before=remove)
    found = read(server, 0, YEAR, limits(4))
    assert set(ids(server.events)) <= set(ids(found))
    assert max(Counter(ids(found)).values()) == 1


@pytest.mark.parametrize("at", range(1, 12))
@pytest.mark.parametrize("second", [0.5, 12.5, 40])
def test_events_that_arrive_meanwhile(at: int, second: float) -> None:
    def add(server: Server, _query: Query) -> None:
        if len(server.queries) == at:
            server.events = [*server.events, event(round(second * SECOND), "late")]

    server = Server(events(seconds(*range(1, 31))), before=add)
    found = read(server, 0, YEAR, limits(4))
    assert {str(n) for n in range(30)} <= set(ids(found))
    assert max(Counter(ids(found)).values()) == 1


@pytest.mark.parametrize("seed", range(20))
def test_what_arrives_with_each_request_hides_nothing(seed: int) -> None:
    """Answers in any order, each of which pushes on what the others look for."""

    def arrive(server: Server, _: Query) -> None:
        number = len(server.queries)
        if number < 100:
            instant = 100 * SECOND + number * 10**6
            server.events.append(event(instant, f"new {number}"))

    server = Server(events(seconds(100)), before=arrive)
    whole = server.whole(100 * SECOND, 101 * SECOND, 1)
    steps = read_window(whole, limits(1))
    found = answered(steps, server, random.Random(seed))
    assert "0" in ids(found)


def answered(
    steps: Asking[list[Event]], server: Server, rng: random.Random
) -> list[Event]:
    """Respond to what is asked at a time in any order."""
    outcomes: list[Any] | None = None
    while True:
        try:
            asks = steps.send(outcomes)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        order = rng.sample(range(len(asks)), len(asks))
        responses = {place: server.fetch(asks[place])() for place in order}
        outcomes = [responses[place] for place in range(len(asks))]


def test_events_that_never_cease_to_arrive() -> None:
    def add(server: Server, _query: Query) -> None:
        count = len(server.events)
        server.events = [*server.events, event(count * SECOND, str(count))]

    server = Server(events(seconds(*range(30))), before=add)
    found = read(server, 0, YEAR, limits(4))
    assert {str(n) for n in range(30)} <= set(ids(found))


def test_retention_that_removes_the_oldest_all_the_time() -> None:
    def remove(server: Server, _query: Query) -> None:
        server.events = server.events[1:]

    server = Server(events(seconds(*range(1, 400))), before=remove)
    found = read(server, 0, YEAR, small(4))
    assert set(ids(server.events)) <= set(ids(found))


# Several at once.


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_so_many_requests_at_a_time_and_no_more(concurrency: int) -> None:
    lock, under_way, most, asked = threading.Lock(), 0, 0, 0
    server = Sorted(events(n * SECOND for n in range(600)))
    together = threading.Barrier(concurrency)

    def fetch(ask: Ask) -> Callable[[], Response]:
        nonlocal under_way, most, asked
        with lock:
            under_way += 1
            most = max(most, under_way)
            asked += isinstance(ask, Query) and ask.offset > 0
            meets = (
                0 < asked <= concurrency and isinstance(ask, Query) and ask.offset > 0
            )
        if meets:
            together.wait(timeout=20)
        with lock:
            under_way -= 1
        return server.fetch(ask)

    whole = server.whole(0, 600 * SECOND, 5)
    # As many requests as threads reach the barrier, all of them at once.
    within = Limits(5, concurrency, max_events=75, slack=0)
    found = [one for window in windows(fetch, whole, within) for one in window.events]
    assert ids(found) == [str(n) for n in range(600)]
    assert most == concurrency


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_error_comes_after_the_windows_before_it(concurrency: int) -> None:
    class Failing(Server):
        def page(self, query: Query) -> Page:
            page = super().page(query)
            if query.limit > 1 and any(one.id == "211" for one in page.events):
                message = "failed"
                raise OSError(message)
            return page

    before = threading.active_count()
    server = Failing(events(n * SECOND for n in range(400)))
    whole = server.whole(0, 400 * SECOND, 5)
    found: list[Event] = []
    with pytest.raises(OSError, match="failed"):
        found.extend(
            one
            for window in windows(server.fetch, whole, small(5, concurrency))
            for one in window.events
        )
    assert ids(found) == [str(n) for n in range(len(found))]
    assert 170 < len(found) <= 211
    ended = server.requests
    wait_for_threads(before)
    assert server.requests <= ended + concurrency


def test_when_nobody_reads_on_no_more_requests_begin() -> None:
    before = threading.active_count()
    server = Server(events(n * SECOND for n in range(400)))
    whole = server.whole(0, 400 * SECOND, 5)
    reading = windows(server.fetch, whole, small(5, 4))
    next(reading)
    reading.close()
    ended = server.requests
    wait_for_threads(before)
    assert server.requests <= ended + 8
    assert server.requests < 90


def wait_for_threads(before: int) -> None:
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() <= before


def test_windows_tile_the_range() -> None:
    server = Server(events(n * 7 * SECOND for n in range(400)))
    whole = server.whole(SECOND // 2, 5 * DAY + 1, 5)
    spans = [one.range for one in windows(server.fetch, whole, small(5, 3))]
    assert spans[0].start == SECOND // 2
    assert spans[-1].end == 5 * DAY + 1
    for one, other in pairwise(spans):
        assert one.end == other.start
        assert one.end % SECOND == 0


@given(st.integers(1, 10_000), st.integers(1, 20_000), st.integers(0, 20))
def test_a_window_aims_at_no_more_than_it_may_hold(
    page_size: int, max_events: int, slack: int
) -> None:
    within = Limits(page_size, 4, max_events=max_events, slack=slack)
    assert 1 <= within.goal <= within.max_events


# Memory.


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize(
    "large", [slice(300), slice(150, 300), slice(299, 300), slice(150), slice(120, 180)]
)
def test_large_records_make_smaller_windows(large: slice, order: str) -> None:
    """Also where the first page does not show how large they are."""
    data = events(n * SECOND for n in range(300))
    data[large] = [
        Event(one.timestamp, "", one.id, b'{"x":%1000d}' % number)
        for number, one in enumerate(data[large])
    ]
    server = Server(data, order=order)
    within = Limits(5, 2, max_events=100, max_bytes=30_000, slack=0)
    whole = server.whole(0, 300 * SECOND, 5)
    found: list[str] = []
    for window in windows(server.fetch, whole, within):
        assert sum(len(one.json) for one in window.events) <= 30_000
        assert window.range.start <= parse(window.events[0].timestamp)
        found += ids(window.events)
    assert found == [str(n) for n in range(300)]


def test_a_second_too_large_for_the_memory_is_an_error() -> None:
    data = [
        Event(one.timestamp, "", one.id, b'{"x":%1000d}' % n)
        for n, one in enumerate(events([SECOND] * 100))
    ]
    within = Limits(5, 2, max_bytes=30_000)
    with pytest.raises(IncompleteError) as caught:
        read(Sorted(data), SECOND, 2 * SECOND, within)
    assert str(caught.value) == (
        "The events from 1970-01-01T00:00:01Z to 1970-01-01T00:00:02Z are too large to "
        "be held in memory: leave them out by `start_date`, `end_date` or a filter."
    )


def test_a_range_names_itself() -> None:
    assert (
        str(Range(0, SECOND // 2)) == "1970-01-01T00:00:00Z to 1970-01-01T00:00:00.5Z"
    )
