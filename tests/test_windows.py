"""Planning, reading and fetching, without HTTP and Singer."""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_left
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tap_akuity.api.query import Query
from tap_akuity.reading import fetching, windows
from tap_akuity.reading.windows import IncompleteError, Page, Part, Range
from tap_akuity.records.timestamps import SECOND, parse
from tests.server import Server, event, events, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tap_akuity.reading.fetching import Window
    from tap_akuity.reading.windows import Reading
    from tap_akuity.records.event import Event

DAY = 86_400 * SECOND
YEAR = 365 * DAY


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make windows so small that few events need many of them."""
    for module in (windows, fetching):
        monkeypatch.setattr(module, "MAX_EVENTS", 20)
    monkeypatch.setattr(windows, "GOAL", 18)
    monkeypatch.setattr(windows, "PEELABLE", 100)


def read_windows(
    fetch: Callable[[Query], Page], whole: Part, *, limit: int, concurrency: int
) -> Generator[Window, None, None]:
    def packed(query: Query) -> Callable[[], Page]:
        page = fetch(query)
        return lambda: page

    return fetching.windows(packed, whole, limit=limit, concurrency=concurrency)


def read(
    server: Server, start: int, end: int, *, limit: int = 5, concurrency: int = 1
) -> list[Event]:
    whole = server.whole(start, end, limit)
    return [
        one
        for window in read_windows(
            server.fetch, whole, limit=limit, concurrency=concurrency
        )
        for one in window.events
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


@pytest.mark.usefixtures("small")
@given(
    servers,
    st.integers(-5 * SECOND, 45 * SECOND),
    st.integers(1, 400 * DAY),
    st.integers(1, 12),
    st.sampled_from([1, 3]),
)
@settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_each_event_once_and_in_order(
    server: Server, start: int, width: int, limit: int, concurrency: int
) -> None:
    end = start + width
    found = read(server, start, end, limit=limit, concurrency=concurrency)
    wanted = [e.id for e in server.events if start <= parse(e.timestamp) < end]
    assert Counter(ids(found)) == Counter(wanted)
    assert in_order(found)


@pytest.mark.usefixtures("small")
@given(st.lists(instants, max_size=120), st.integers(1, 12), st.booleans())
@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
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
    found = read(server, 0, 400 * DAY, limit=limit)
    assert Counter(ids(found)) == Counter(e.id for e in data)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 100, 101, 500])
def test_any_order_loses_nothing(order: str, count: int) -> None:
    rng = random.Random(count)
    server = Server(events(rng.randrange(50 * DAY) for _ in range(count)), order=order)
    found = read(server, 0, 50 * DAY)
    assert Counter(ids(found)) == Counter(str(n) for n in range(count))
    assert in_order(found)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("farthest", [0, 10, 20])
def test_a_server_that_shows_nothing_far_away(farthest: int) -> None:
    class Shortsighted(Server):
        def fetch(self, query: Query) -> windows.Page:
            if query.limit == 1 and query.offset > farthest:
                return windows.Page([], query.offset + 1)
            return super().fetch(query)

    rng = random.Random(farthest)
    times = [rng.choice([0, 30]) * DAY + rng.randrange(DAY) for _ in range(300)]
    found = read(Shortsighted(events(times)), 0, 50 * DAY)
    assert Counter(ids(found)) == Counter(str(n) for n in range(300))
    assert in_order(found)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("start_inclusive", [True, False])
def test_a_server_that_rounds_to_seconds(start_inclusive: bool) -> None:  # noqa: FBT001
    times = [n * SECOND // 4 for n in range(4, 400)]
    server = Server(
        events(times), start_inclusive=start_inclusive, unit=SECOND, rounds=True
    )
    found = read(server, 0, 1000 * SECOND)
    assert set(ids(found)) == {str(n) for n in range(len(times))}


def test_few_events_cost_one_request() -> None:
    server = Server(events(seconds(1, 2, 3)))
    assert ids(read(server, 0, 10 * YEAR, limit=5, concurrency=4)) == ["0", "1", "2"]
    assert len(server.queries) == 1


def test_nothing_costs_one_request() -> None:
    server = Server([])
    assert read(server, 0, 10 * YEAR, concurrency=4) == []
    assert len(server.queries) == 1


def test_a_page_that_is_full_is_not_trusted_to_be_the_last() -> None:
    server = Server(events(seconds(1, 2, 3, 4, 5)))
    assert len(read(server, 0, YEAR, limit=5)) == 5
    assert [query.offset for query in server.queries] == [0, 5]


def test_a_count_that_is_too_small_is_not_trusted() -> None:
    class Miscounting(Server):
        def fetch(self, query: Query) -> windows.Page:
            return super().fetch(query)._replace(total=3)

    server = Miscounting(events(seconds(*range(1, 18))))
    assert len(read(server, 0, YEAR, limit=5)) == 17


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
                found += ids(read(server, start, end, limit=50))
            assert found == [str(n) for n in range(700)]


# Cost: requests and offsets.

LAYOUTS = {
    "even": lambda rng: rng.randrange(90 * DAY),
    "nights": lambda rng: rng.randrange(90) * DAY + rng.randrange(DAY // 3),
    "bursts": lambda rng: rng.randrange(30) * 3 * DAY + rng.randrange(60 * SECOND),
    "seconds": lambda rng: rng.randrange(4) * 20 * DAY + rng.randrange(SECOND),
    "one day of years": lambda rng: rng.randrange(DAY) if rng.random() < 0.999 else 0,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_requests_and_offsets_are_bounded(layout: str) -> None:
    # As many windows as a million events would need, with pages as small in proportion.
    rng = random.Random(5)
    times = sorted(LAYOUTS[layout](rng) for _ in range(100_000))
    server = Sorted(events(times))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "MAX_EVENTS", 2_000)
        patch.setattr(windows, "GOAL", 1_950)
        patch.setattr(windows, "PEELABLE", 20_000)
        found = read(server, -YEAR, 90 * DAY, limit=100)
    assert Counter(ids(found)) == Counter(one.id for one in server.events)
    assert in_order(found)
    # With so few windows, each that was misjudged weighs more than with a million.
    bound = {"even": 1.06, "seconds": 1.2}.get(layout, 1.15)
    assert len(server.queries) <= bound * 100_000 / 100
    if layout != "seconds":
        assert server.largest_offset <= 2_000


class Sorted(Server):
    """Has no surprises, and answers quickly."""

    def __init__(self, data: list[Event]) -> None:
        super().__init__(data)
        self.times = [parse(one.timestamp) for one in data]

    def fetch(self, query: Query) -> windows.Page:
        self.queries.append(query)
        low = bisect_left(self.times, query.start)
        high = bisect_left(self.times, query.end, low)
        last = max(high - query.offset, low)
        first = max(last - query.limit, low)
        return windows.Page(self.events[first:last][::-1], high - low)


def test_many_events_in_one_second() -> None:
    times = [DAY + n * 10_000 for n in range(50_000)]
    server = Sorted(events([*times, 2 * DAY, 3 * DAY]))
    found = read(server, -YEAR, 10 * DAY, limit=500, concurrency=4)
    assert len(found) == 50_002
    assert in_order(found)
    assert len(server.queries) < 120


# Completeness.


@pytest.mark.parametrize("limit", [1, 2, 7, 20])
@pytest.mark.parametrize("seed", range(5))
def test_shuffled_ties_add_up(limit: int, seed: int) -> None:
    data = events([SECOND] * 60 + [2 * SECOND] * 3)
    server = Server(data, shuffle=True, rng=random.Random(seed))
    found = read(server, 0, 10 * SECOND, limit=limit)
    assert Counter(ids(found)) == Counter(e.id for e in data)


def test_ties_that_depend_on_the_page_add_up() -> None:
    # As a database that orders by time alone: alike for the same page, else not.
    class Unstable(Server):
        def fetch(self, query: Query) -> windows.Page:
            self.rng = random.Random(query.offset * 1000 + query.limit)
            return super().fetch(query)

    data = events([SECOND] * 30)
    found = read(Unstable(data, shuffle=True), 0, 10 * SECOND, limit=10)
    assert Counter(ids(found)) == Counter(e.id for e in data)


def test_twins_count_twice_and_are_kept_once() -> None:
    data = events(seconds(1, 2, 3, 4, 5, 6))
    data += [data[2], data[4]]
    assert ids(read(Server(data), 0, YEAR, limit=2)) == ["0", "1", "2", "3", "4", "5"]
    assert ids(read(Server(data), 0, YEAR, limit=9)) == ["0", "1", "2", "3", "4", "5"]


def test_a_window_that_stays_short_is_an_error() -> None:
    class Hiding(Server):
        def fetch(self, query: Query) -> windows.Page:
            page = super().fetch(query)
            return page._replace(total=page.total + 1)

    server = Hiding(events(seconds(1, 2, 3)))
    with pytest.raises(IncompleteError) as caught:
        read(server, SECOND, 9 * SECOND)
    assert str(caught.value) == (
        "From 1970-01-01T00:00:01Z to 1970-01-01T00:00:09Z Akuity counts 4 audit logs "
        "but gives 3, again and again: run the sync again later, and ask Akuity's "
        "support if it stays so."
    )
    assert len(server.queries) < 50


@pytest.mark.parametrize("total", [3, 4, 11, 40])
def test_a_server_that_ignores_the_offset_ends(total: int) -> None:
    server = Server(events(seconds(100.1, 100.2, 100.3)))

    def fetch(query: Query) -> Page:
        return server.fetch(query._replace(offset=0))._replace(total=total)

    whole = Part(Range(100 * SECOND, 101 * SECOND), fetch(Query(0, DAY, 0, 5)))
    found = []
    try:
        for window in read_windows(fetch, whole, limit=5, concurrency=1):
            found += window.events
    except IncompleteError:
        assert total > 3
    else:
        assert total == len(found) == 3
    assert len(server.queries) < 500


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.usefixtures("small")
def test_a_count_beyond_all_measure_costs_few_requests(ignored: bool) -> None:  # noqa: FBT001
    """As from a server that counts wrongly, and perhaps gives the same page always."""
    server = Server(events(seconds(100.1, 100.2, 100.3)))

    def fetch(query: Query) -> Page:
        if ignored:
            query = query._replace(offset=0)
        return server.fetch(query)._replace(total=10**12)

    whole = Part(Range(100 * SECOND, 101 * SECOND), fetch(Query(0, DAY, 0, 5)))
    with pytest.raises(IncompleteError, match="counts 1000000000000 audit logs but"):
        list(read_windows(fetch, whole, limit=5, concurrency=1))
    assert len(server.queries) < 200


def test_an_empty_page_does_not_pass_for_a_full_one() -> None:
    class Silent(Server):
        def fetch(self, query: Query) -> windows.Page:
            return super().fetch(query)._replace(events=[])

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
    found = read(server, 0, YEAR, limit=4)
    assert set(ids(server.events)) <= set(ids(found))
    assert max(Counter(ids(found)).values()) == 1


@pytest.mark.parametrize("at", range(1, 12))
@pytest.mark.parametrize("second", [0.5, 12.5, 40])
def test_events_that_arrive_meanwhile(at: int, second: float) -> None:
    def add(server: Server, _query: Query) -> None:
        if len(server.queries) == at:
            server.events = [*server.events, event(round(second * SECOND), "late")]

    server = Server(events(seconds(*range(1, 31))), before=add)
    found = read(server, 0, YEAR, limit=4)
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
    found = answered(windows.read(whole, 1), server, random.Random(seed))
    assert "0" in ids(found)


def answered(reading: Reading, server: Server, rng: random.Random) -> list[Event]:
    """Answer what is asked at a time in any order."""
    pages: list[Page] | None = None
    while True:
        try:
            queries = reading.send(pages)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        order = rng.sample(range(len(queries)), len(queries))
        answers = {place: server.fetch(queries[place]) for place in order}
        pages = [answers[place] for place in range(len(queries))]


def test_events_that_never_cease_to_arrive() -> None:
    def add(server: Server, _query: Query) -> None:
        count = len(server.events)
        server.events = [*server.events, event(count * SECOND, str(count))]

    server = Server(events(seconds(*range(30))), before=add)
    found = read(server, 0, YEAR, limit=4)
    assert {str(n) for n in range(30)} <= set(ids(found))


@pytest.mark.usefixtures("small")
def test_retention_that_removes_the_oldest_all_the_time() -> None:
    def remove(server: Server, _query: Query) -> None:
        server.events = server.events[1:]

    server = Server(events(seconds(*range(1, 400))), before=remove)
    found = read(server, 0, YEAR, limit=4)
    assert set(ids(server.events)) <= set(ids(found))


# Several at once.


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_so_many_requests_at_a_time_and_no_more(concurrency: int) -> None:
    lock, under_way, most = threading.Lock(), 0, 0
    server = Sorted(events(n * SECOND for n in range(600)))
    together = threading.Barrier(concurrency)

    def fetch(query: Query) -> windows.Page:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        if query.offset == 5:
            together.wait(timeout=20)
        with lock:
            under_way -= 1
            return server.fetch(query)

    whole = server.whole(0, 600 * SECOND, 5)
    # As many windows as threads reach the barrier, all of them at once.
    reading = read_windows(fetch, whole, limit=5, concurrency=concurrency)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "MAX_EVENTS", 75)
        patch.setattr(windows, "GOAL", 75)
        found = [one for window in reading for one in window.events]
    assert ids(found) == [str(n) for n in range(600)]
    assert most == concurrency


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_error_comes_after_the_windows_before_it(concurrency: int) -> None:
    data = events(n * SECOND for n in range(400))

    class Failing(Server):
        def fetch(self, query: Query) -> windows.Page:
            page = super().fetch(query)
            if query.limit > 1 and any(one.id == "211" for one in page.events):
                message = "failed"
                raise OSError(message)
            return page

    before = threading.active_count()
    server = Failing(data)
    whole = server.whole(0, 400 * SECOND, 5)
    reading = read_windows(server.fetch, whole, limit=5, concurrency=concurrency)
    found: list[Event] = []
    with pytest.raises(OSError, match="failed"):
        found.extend(one for window in reading for one in window.events)
    assert ids(found) == [str(n) for n in range(len(found))]
    assert 170 < len(found) <= 211
    ended = len(server.queries)
    wait_for_threads(before)
    assert len(server.queries) <= ended + concurrency


@pytest.mark.usefixtures("small")
def test_when_nobody_reads_on_no_more_requests_begin() -> None:
    before = threading.active_count()
    server = Server(events(n * SECOND for n in range(400)))
    whole = server.whole(0, 400 * SECOND, 5)
    reading = read_windows(server.fetch, whole, limit=5, concurrency=4)
    next(reading)
    reading.close()
    ended = len(server.queries)
    wait_for_threads(before)
    assert len(server.queries) <= ended + 4
    assert len(server.queries) < 60


@pytest.mark.timeout(10)
@pytest.mark.parametrize("held", ["_asked", "_answered"])
def test_a_signal_that_comes_inside_a_queue_ends_all_the_same(held: str) -> None:
    requests = fetching._Requests(lambda _: lambda: Page([], 0), concurrency=4)
    requests.begin(Query(0, 1, 0, 1), None, 0)
    requests.wait()
    with getattr(requests, held).mutex:
        requests.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    requests.__exit__(None, None, None)


def wait_for_threads(before: int) -> None:
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() <= before


@pytest.mark.usefixtures("small")
def test_windows_tile_the_range() -> None:
    server = Server(events(n * 7 * SECOND for n in range(400)))
    whole = server.whole(SECOND // 2, 5 * DAY + 1, 5)
    spans = [
        window.range
        for window in read_windows(server.fetch, whole, limit=5, concurrency=3)
    ]
    assert spans[0].start == SECOND // 2
    assert spans[-1].end == 5 * DAY + 1
    for one, other in pairwise(spans):
        assert one.end == other.start
        assert one.end % SECOND == 0


def test_a_range_names_itself() -> None:
    assert (
        str(Range(0, SECOND // 2)) == "1970-01-01T00:00:00Z to 1970-01-01T00:00:00.5Z"
    )
