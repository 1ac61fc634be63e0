"""Ranges read from every kind of server, without HTTP and Singer."""

import random
import threading
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import instants as distributions
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import IncompleteError, Page, Range
from tap_akuity.reading.window import Reading, TooLargeError
from tap_akuity.reading.windows import _times, wanted
from tap_akuity.records.event import Event
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.server import Server, event, events, seconds

YEAR = 365 * DAY


def small(page_size=5, concurrency=1):
    """Make windows so small that few events need many of them."""
    return Limits(page_size, concurrency, max_events=20, slack=2)


def ids(found):
    return [one.id for one in found]


# Few distinct seconds, so that there are bursts and ties, and wide gaps between some.
instants = st.one_of(
    st.integers(0, 40 * SECOND),
    st.integers(0, 40).map(lambda second: second * SECOND),
    st.integers(0, 40).map(lambda second: second * SECOND + 999_999_999),
    st.integers(0, 300).map(lambda day: day * DAY),
)
delays = st.sampled_from([0, 1, SECOND, 90 * SECOND, DAY])


def serve(times, *, last, **options):
    """Return a server of events that happened again, if that matters."""
    found = [
        event(instant, str(number), instant + delay if last else None)
        for number, (instant, delay) in enumerate(times)
    ]
    return Server(found, last=last, **options)


servers = st.builds(
    serve,
    st.lists(st.tuples(instants, delays), min_size=8, max_size=120),
    last=st.booleans(),
    start_inclusive=st.booleans(),
    end_inclusive=st.booleans(),
    unit=st.sampled_from([1, 1000, 10**6, SECOND]),
    rounds=st.booleans(),
    order=st.sampled_from(["newest", "oldest", "random"]),
    shuffle=st.booleans(),
    cap=st.sampled_from([1, 3, 10**9]),
)
starts = st.integers(-5 * SECOND, 45 * SECOND) | st.integers(0, 300 * DAY)
several = st.builds(
    Limits,
    st.integers(1, 12),
    st.just(1),
    max_events=st.just(5),
    slack=st.just(1),
)


@given(
    servers,
    st.lists(starts, min_size=2, max_size=4, unique=True).map(sorted),
    several,
)
@settings(max_examples=150)
def test_each_event_once_and_in_order(server, cuts, limits):
    """Adjacent ranges are disjoint and together complete."""
    found = []
    for start, end in pairwise(cuts):
        read = list(server.windows(start, end, limits, beyond=SECOND))
        assert read[0].range.start == start
        assert read[-1].range.end == end
        for one, other in pairwise(each.range for each in read):
            assert one.end == other.start in {end, one.end // SECOND * SECOND}
        latest = ""
        for window in read:
            times = [one.timestamp for one in window.events]
            assert times == sorted(times)
            latest = times[-1] if times else latest
            # The last window may repeat it, for windows that were doubtful.
            assert window.reached == latest or not (times or window.reached)
            assert window.twins == set()
        found += [one for window in read for one in window.events]
    inside = {one.id for one in server.events if cuts[0] <= server.time(one) < cuts[-1]}
    # By the last occurrence, a little more may come.
    assert inside <= set(ids(found)) if server.last else inside == set(ids(found))
    if not server.last:
        assert len(found) == len(inside)
        assert found == sorted(found, key=server.time)


changes = st.dictionaries(st.integers(2, 20), instants | st.none(), max_size=3)


@given(servers, changes, several)
@settings(max_examples=100)
def test_events_that_arrive_or_disappear_meanwhile(server, changes, limits):
    server.rounds = False
    before = set(ids(server.events))

    def respond(server, query):
        number = len(server.asked)
        if number in changes:
            instant = changes[number]
            if instant is None:
                server.events = server.events[1:]
            else:
                server.events = [*server.events, event(instant, f"new {number}")]
        return server.page(query)

    server.respond = respond
    found = ids(server.read(0, YEAR, limits))
    assert before & set(ids(server.events)) <= set(found)
    both = None in changes.values() and len(set(changes.values())) > 1
    assert max(Counter(found).values(), default=1) <= 1 + both


@pytest.mark.parametrize("page_size", [5, 25])
@pytest.mark.parametrize(
    "times",
    [range(SECOND, 99 * SECOND, SECOND // 4), range(SECOND, 31 * SECOND, SECOND)],
)
def test_rounding_and_exclusive_bounds_hide_nothing(times, page_size, caplog):
    server = Server(events(times), start_inclusive=False, unit=SECOND, rounds=True)
    found = server.read(SECOND, 1000 * SECOND, small(page_size))
    assert sorted(ids(found)) == sorted(ids(server.events))
    assert not caplog.messages


def test_a_range_that_is_read_once_more_keeps_its_start():
    """As one event arrives late, and another disappears."""
    late = event(10 * SECOND + 1, "late")

    def respond(server, query):
        if query.start > 50 * SECOND and late not in server.events:
            server.events = [*server.events[:-1], late]
        return server.page(query)

    times = seconds(8.9, 8.9995, 9.5, *range(10, 90))
    server = Server(events(times), respond=respond)
    found = ids(server.read(10 * SECOND, 100 * SECOND, small()))
    assert sorted(set(found)) == sorted(ids(server.events)[3:])


@pytest.mark.parametrize("arrives", [True, False])
def test_changes_that_never_cease(arrives):
    def respond(server, query):
        if arrives:
            number = len(server.events)
            server.events = [*server.events, event(number * SECOND, str(number))]
        else:
            server.events = server.events[1:]
        return server.page(query)

    server = Server(events(seconds(*range(200))), respond=respond)
    before = set(ids(server.events))
    found = server.read(0, YEAR, small(10))
    assert before & set(ids(server.events)) <= set(ids(found))


# What the API returns only because of the margin.

SPAN = Range(10 * SECOND + 5, 20 * SECOND)


@pytest.mark.parametrize(
    ("instant", "last", "upper", "kept"),
    [
        (SPAN.start, None, None, True),
        (SPAN.end - 1, None, None, True),
        # What happened before the range, or last before it, is not wanted.
        (SPAN.start - 1, None, None, False),
        (SPAN.start - 1, SPAN.start - 1, None, False),
        (0, SPAN.start, None, True),
        # What is at the end is in the next window, or not wanted.
        (SPAN.end, None, None, False),
        (SPAN.end - 1, None, SPAN.end - 1, False),
        (SPAN.end - 2, SPAN.end, SPAN.end - 1, True),
    ],
)
def test_only_events_of_the_range_are_wanted(instant, last, upper, kept):
    one = event(instant, "one", last)
    assert wanted([one], SPAN.start, upper or SPAN.end) == [one] * kept


def test_an_event_counts_in_the_window_in_which_it_happened_last():
    one, later = event(SECOND, "one", SPAN.end), Range(SPAN.end, 30 * SECOND)
    assert not list(_times([one], SPAN))
    assert list(_times([one], later)) == [to_text(SPAN.end)]


# Requests.


@pytest.mark.parametrize("count", [0, 3])
def test_few_events_cost_one_request(count):
    server = Server(events(seconds(1, 2, 3)[:count]))
    assert len(server.read(0, 10 * YEAR, Limits(5, 4))) == count
    assert len(server.asked) == 1


class Sorted(Server):
    """Responds quickly."""

    times: list[int]

    def page(self, query):
        low, high = (bisect_left(self.times, at) for at in (query.start, query.end))
        last = max(high - query.offset, low)
        first = max(last - query.limit, low)
        return Page(self.events[first:last][::-1], high - low)


def serve_sorted(times):
    server = Sorted(events(times))
    server.times = times
    return server


@pytest.mark.parametrize(
    ("shape", "page_size", "concurrency", "bound"),
    [
        *((shape, 500, 4, 1.06) for shape in distributions.SHAPES),
        *((shape, 1000, 4, 1.12) for shape in distributions.SHAPES),
        ("bursts", 500, 1, 1.06),
    ],
)
def test_requests_and_offsets_are_bounded(shape, page_size, concurrency, bound):
    count = 40_000
    server = serve_sorted(
        distributions.instants(shape, count, random.Random(count), 0, YEAR)
    )
    found = server.read(-2 * YEAR, YEAR, Limits(page_size, concurrency))
    assert sorted(ids(found)) == sorted(ids(server.events))
    assert len(server.asked) <= bound * count / page_size + 3
    assert max(query.offset for query in server.queries) <= 11_000


def test_many_events_in_one_second():
    times = [DAY + n * 10_000 for n in range(50_000)]
    server = serve_sorted([*times, 2 * DAY, 3 * DAY])
    assert server.read(-YEAR, 10 * DAY, Limits(500, 4)) == server.events
    assert len(server.asked) < 125


def test_as_many_requests_at_a_time_as_allowed():
    """And no more, or too many threads would wait at the barrier."""
    server = serve_sorted([n * SECOND for n in range(600)])
    free, together = threading.Semaphore(4), threading.Barrier(4)
    meeting = iter(range(4))

    def fetch(query):
        assert free.acquire(blocking=False)
        if query.limit > 1 and query.offset and next(meeting, None) is not None:
            together.wait(timeout=20)
        free.release()
        return respond(query)

    respond = server.fetch

    limits = Limits(5, 4, max_events=75, slack=0)
    server.fetch = fetch
    found = server.windows(0, 600 * SECOND, limits)
    assert [one for each in found for one in each.events] == server.events


@pytest.mark.parametrize("concurrency", [1, 4])
def test_an_error_comes_after_the_windows_before_it(concurrency):
    def respond(server, query):
        page = server.page(query)
        if query.limit > 1 and any(one.id == "211" for one in page.events):
            message = "failed"
            raise OSError(message)
        return page

    threads = threading.active_count()
    server = Server(events(seconds(*range(400))), respond=respond)
    found: list[Event] = []
    with pytest.raises(OSError, match="failed"):
        found.extend(
            one
            for window in server.windows(0, 400 * SECOND, small(5, concurrency))
            for one in window.events
        )
    assert found == server.events[: len(found)]
    assert 170 < len(found) <= 211
    no_more_is_asked(server, threads)


def test_no_request_starts_once_nobody_reads():
    threads = threading.active_count()
    server = Server(events(seconds(*range(400))))
    reading = server.windows(0, 400 * SECOND, small(5, 4))
    next(reading)
    reading.close()
    no_more_is_asked(server, threads)
    assert len(server.asked) < 90


def no_more_is_asked(server, threads):
    asked = len(server.asked)
    deadline = time.monotonic() + 20
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() <= threads
    assert len(server.asked) <= asked + 4


# Servers that miscount, or return too little or too much.


def test_ties_that_depend_on_the_page_add_up():
    """As in a database that sorts by time alone: alike for the same page, else not."""

    def respond(server, query):
        server.rng = random.Random(query.offset * 1000 + query.limit)
        return server.page(query)

    server = Server(events([SECOND] * 30), shuffle=True, respond=respond)
    found = server.read(0, 10 * SECOND, Limits(10, 1))
    assert sorted(ids(found)) == sorted(ids(server.events))


@pytest.mark.parametrize("page_size", [2, 9])
def test_identical_rows_count_twice_and_are_kept_once(page_size):
    data = events(seconds(1, 2, 3, 4, 5, 6))
    server = Server([*data, data[2], data[4]])
    assert server.read(0, YEAR, Limits(page_size, 1)) == data


@pytest.mark.parametrize("cap", [1, 2, 3, 10])
def test_a_server_that_caps_the_limit_silently(cap):
    server = Server(events(seconds(*range(1, 18))), cap=cap)
    assert ids(server.read(0, YEAR, Limits(50, 1))) == ids(server.events)
    assert len(server.asked) <= 3 + 2 * 17 / cap if cap > 1 else 60


def test_a_short_first_page_does_not_shorten_the_others():
    def respond(server, query):
        server.cap = 1 if len(server.asked) == 1 else 10**9
        return server.page(query)

    server = Server(events(seconds(*range(3000))), respond=respond)
    assert len(server.read(0, YEAR, Limits(100, 1))) == 3000
    assert len(server.asked) < 35


def test_a_window_is_read_again_as_long_as_something_new_comes():
    """From a server that has one event more on each first page."""
    given = iter(range(6, 99))

    def respond(server, query):
        rows = server.events[: next(given)][query.offset :]
        return Page(rows[: query.limit], len(server.events))

    server = Server(events([SECOND] * 30), respond=respond)
    assert len(server.read(SECOND, 2 * SECOND, Limits(50, 1))) == 30


def counting(total, *, ignores_offset=False):
    """Return how a server responds that counts so many events, whatever it has."""

    def respond(server, query):
        if ignores_offset:
            query = query._replace(offset=0)
        return replace(server.page(query), total=total)

    return respond


def test_a_count_that_is_too_small_is_not_trusted():
    server = Server(events(seconds(*range(1, 18))), respond=counting(3))
    assert len(server.read(0, YEAR, Limits(5, 1))) == 17


def test_a_window_that_stays_short_is_an_error():
    server = Server(events(seconds(1, 2, 2.5)), respond=counting(4))
    with pytest.raises(IncompleteError) as caught:
        server.read(SECOND, 3 * SECOND, Limits(5, 1))
    assert str(caught.value) == (
        "Akuity counts 4 events from 1970-01-01T00:00:01Z to 1970-01-01T00:00:03Z but "
        "returns 3, repeatedly: run the sync again later, and contact Akuity's "
        "support if that does not help."
    )
    assert len(server.asked) < 70


@pytest.mark.parametrize("ignores_offset", [False, True])
@pytest.mark.parametrize("limits", [small(), Limits(500, 4)])
@pytest.mark.parametrize("end", [101 * SECOND, 10 * YEAR])
@pytest.mark.parametrize(("rows", "total"), [(0, 1), (3, 4), (3, 40), (3, 2**63 - 1)])
def test_a_count_without_rows_costs_few_requests(
    rows, total, end, limits, ignores_offset
):
    respond = counting(total, ignores_offset=ignores_offset)
    server = Server(events(seconds(100.1, 100.2, 100.3)[:rows]), respond=respond)
    with pytest.raises(IncompleteError, match=f"counts {total} events from"):
        server.read(0, end, limits)
    assert len(server.asked) < 700


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.timeout(30)
def test_rows_without_end_are_an_error(honest):
    """Fresh rows on each page, whether the server counts them or not."""
    given = 0

    def respond(_server, query):
        nonlocal given
        rows = [event(SECOND, str(given + n)) for n in range(query.limit)]
        given += len(rows)
        return Page(rows, given + 5 if honest else 5)

    server = Server([], respond=respond)
    with pytest.raises(IncompleteError) as caught:
        server.read(SECOND, 2 * SECOND, Limits(500, 4))
    assert str(caught.value) == (
        "Akuity keeps returning events from 1970-01-01T00:00:01Z to "
        "1970-01-01T00:00:02Z, although it counted far fewer: run the sync again "
        "later, and contact Akuity's support if that does not help."
    )
    assert given < 30_000


# Memory.


def large(number, instant):
    return Event(to_text(instant), "", str(number), b'{"x":%1000d}' % number)


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize(
    "which", [slice(300), slice(150, 300), slice(299, 300), slice(150), slice(120, 180)]
)
def test_large_records_make_smaller_windows(which, order):
    """Also where the first page does not show how large they are."""
    data = events(seconds(*range(300)))
    data[which] = [large(int(one.id), int(one.id) * SECOND) for one in data[which]]
    limits = Limits(5, 2, max_events=100, max_bytes=30_000, slack=0)
    found = []
    for window in Server(data, order=order).windows(0, 300 * SECOND, limits):
        assert sum(len(one.json) for one in window.events) <= 30_000
        for one in window.events[:1]:
            assert window.range.start <= parse(one.timestamp)
        found += window.events
    assert found == data


def test_a_window_that_can_be_divided_is_abandoned_and_a_second_is_not():
    limits = Limits(5, 2, max_bytes=10_000)
    server = Server([large(number, SECOND) for number in range(20)])
    piece = server.whole(SECOND, 2 * SECOND, 5)
    with server.requests() as requests:
        assert len(Reading(requests, piece, limits).finish().events) == 20

    server = Server([large(number, number * SECOND) for number in range(20)])
    piece = server.whole(0, 20 * SECOND, 5)
    with server.requests() as requests, pytest.raises(TooLargeError) as caught:
        Reading(requests, piece, limits).finish()
    assert caught.value.limits.max_events == 9


def test_a_second_too_large_for_the_memory_is_an_error():
    server = Server([large(number, SECOND) for number in range(100)])
    with pytest.raises(IncompleteError) as caught:
        server.read(SECOND, 2 * SECOND, Limits(5, 2, max_bytes=30_000))
    assert str(caught.value) == (
        "The events from 1970-01-01T00:00:01Z to 1970-01-01T00:00:02Z are too large to "
        "be held in memory: leave them out by `start_date`, `end_date` or a filter."
    )
