"""Servers that lie, and servers that change while they are read."""

import logging
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tap_akuity.api.errors import PageTooBigError
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import CONFIRMATIONS, Piece
from tap_akuity.reading.ranges import IncompleteError, Page, Range
from tap_akuity.reading.requests import MAX_FOREIGN
from tap_akuity.reading.window import MAX_WALKS
from tap_akuity.reading.windows import windows
from tap_akuity.text.timestamps import DAY, SECOND, parse
from tests.helpers.server import Server, event, events, seconds

SPAN = Range(0, 30 * DAY)
GONE = 40 * DAY
RATES = (0.01, 0.02, 0.1, 0.3, 0.5)


def empty(_server, _page, _rng):
    """As from a replica that lags."""
    return Page([], 0)


def late(server, page, _rng):
    """Return the previous response once more."""
    return server.earlier[-1] if server.earlier else page


def other(server, _page, rng):
    """Return the page of another query."""
    return server.page(rng.choice(server.asked))


def count(_server, page, rng):
    change = rng.choice([-3, -1, 1, 2, 10, -page.total])
    return replace(page, total=max(0, page.total + change))


def shift(server, page, rng):
    """Let an event disappear, and another arrive."""
    del server.events[rng.randrange(len(server.events))]
    server.events.append(event(rng.randrange(20 * DAY), f"new {len(server.asked)}"))
    return page


def growth(server, page, rng):
    """Let an event happen again, after the range."""
    place = rng.randrange(len(server.events))
    one = server.events[place]
    server.events[place] = event(parse(one.timestamp), one.id, GONE)
    return page


def liar(lie, rate, rng):
    def respond(server, query):
        page = server.page(query)
        if rng.random() < rate:
            page = lie(server, page, rng)
        server.earlier.append(page)
        return page

    last = lie is growth or rng.random() < 0.2
    found = []
    for number in range(rng.randrange(1, 120)):
        at = rng.choice([rng.randrange(60) * SECOND, rng.randrange(20 * DAY)])
        again = at + rng.choice([0, SECOND, DAY]) if last else None
        found.append(event(at, str(number), again))
    return Server(
        found,
        last=last,
        shuffle=rng.random() < 0.3,
        cap=rng.choice([10**9, 10**9, 4]),
        start_inclusive=rng.random() < 0.5,
        end_inclusive=rng.random() < 0.5,
        respond=respond,
    )


def read(server, limits):
    """Read a range as `Reader` does, and return the ids of its events."""
    with server.requests() as requests:
        query = SPAN.query(0, limits.page_size)
        for _ in range(CONFIRMATIONS):
            page = requests.get(query)
            if 0 < page.rows <= page.total:
                break
        whole = Piece(SPAN, page.total, page)
        found = windows(requests, whole, limits, SPAN.end)
        return [one.id for window in found for one in window.events]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("lie", [empty, late, other, count, shift, growth])
def test_nothing_is_missing_without_a_word(lie, rate, caplog):
    """And where lies are rare, a run hardly ever fails."""
    ends: Counter[str] = Counter()
    for seed in range(20):
        rng = Random(seed)
        server = liar(lie, rate, rng)
        before = {one.id for one in server.events}
        caplog.clear()
        limits = Limits(rng.randint(2, 12), 1, max_events=20, slack=1)
        try:
            found = read(server, limits)
        except IncompleteError:
            ends["loud"] += 1
            continue
        if not any(page.total for page in server.earlier):
            continue  # It never said otherwise.
        lasting = {one.id for one in server.events if server.time(one) < SPAN.end}
        is_warned = any(one.levelno >= logging.WARNING for one in caplog.records)
        ends["warned" if is_warned else "quiet"] += 1
        assert is_warned or before & lasting <= set(found), seed
    if rate <= 0.02:
        assert ends["loud"] <= 3


def test_an_upgrade_in_the_middle_makes_no_twins():
    """Of the server: its rows begin to have another member, with a value or without."""
    data = events(seconds(*range(40)))

    def respond(server, query):
        if len(server.asked) == 4:
            server.events = [
                one.__class__(one.timestamp, "", one.id, b'{"more":{"zone":"x"}}')
                for one in data
            ]
        if len(server.asked) == 6:
            server.events = server.events[1:]
        return server.page(query)

    server = Server(list(data), respond=respond)
    found = server.read(0, 100 * SECOND, Limits(5, 1, max_events=100))
    assert len(found) == len({one.id for one in found}) >= 39


def test_two_versions_side_by_side_double_nothing():
    """Though simultaneous events are shuffled, and one version sends a member more."""

    def respond(server, query):
        page = server.page(query)
        if server.rng.random() < 0.5:
            return page
        newer = b'{"name":"%b","more":"x"}'
        found = [
            one.__class__(one.timestamp, "", one.id, newer % one.id.encode())
            for one in page.events
        ]
        return replace(page, events=found)

    data = events([n // 40 * SECOND for n in range(600)])
    server = Server(data, shuffle=True, respond=respond)
    found = server.read(0, 30 * SECOND, Limits(50, 1))
    # Some come again with the next window, with the same id.
    assert {one.id for one in found} == {one.id for one in data}


@pytest.mark.parametrize("count", [100, 300])
def test_a_capped_count_and_capped_offsets_hide_nothing(count):
    """As in a search index, which returns nothing beyond."""

    def respond(server, query):
        page = server.page(query)
        is_beyond = query.offset > 100
        return Page([] if is_beyond else page.events, min(page.total, 100))

    server = Server(events(seconds(*range(count))), respond=respond)
    found = server.read(0, 1000 * SECOND, Limits(10, 1, max_events=110, slack=1))
    assert sorted(one.id for one in found) == sorted(one.id for one in server.events)


def test_no_bookmark_passes_a_window_that_is_emptier_than_planned():
    """Until the windows together have as many events as the range."""

    def respond(server, query):
        page = server.page(query)
        is_second = query.start >= 30 * SECOND and query.end <= 75 * SECOND
        return Page([], 0) if is_second and query.limit > 1 else page

    server = Server(events(seconds(*range(95))), respond=respond)
    found = []
    with pytest.raises(IncompleteError, match="but Akuity counts 95"):
        found.extend(server.windows(0, 99 * SECOND, Limits(10, 1, max_events=30)))
    first, *others = found[: [one.is_restart for one in found].index(True)]
    assert first.events
    assert not first.is_doubtful
    assert any(one.is_doubtful for one in others)
    assert others[-1].is_doubtful


def test_an_event_that_is_too_big_is_not_forgotten_in_later_walks():
    def respond(server, query):
        page = server.page(query)
        if any(one.id == "17" for one in page.events):
            message = "too big"
            raise PageTooBigError(message)
        return page

    server = Server(events([SECOND] * 60), shuffle=True, respond=respond)
    found = list(server.windows(0, 3 * SECOND, Limits(50, 1)))
    assert any(window.unsent for window in found)
    ids = [one.id for window in found for one in window.events]
    assert sorted(map(int, ids)) == [n for n in range(60) if n != 17]


def test_identical_rows_on_pages_that_are_too_big_are_not_taken_for_unsent():
    def respond(server, query):
        page = server.page(query)
        if len(page.events) > 6:
            message = "too big"
            raise PageTooBigError(message)
        return page

    data = events(seconds(*range(40)))
    server = Server([*data, data[3], data[30]], respond=respond)
    found = list(server.windows(0, 50 * SECOND, Limits(10, 1, max_events=100)))
    assert [one for window in found for one in window.events] == data
    assert not any(window.unsent for window in found)


def test_identical_rows_anywhere_cost_a_second_walk():
    data = events([*seconds(*range(100)), *[200 * SECOND] * 300])
    server = Server([*data, data[150], data[399], data[3]])
    found = server.read(0, 300 * SECOND, Limits(50, 1))
    assert sorted(one.id for one in found) == sorted(one.id for one in data)
    assert len(server.asked) < 3 * len(data) / 50


def test_events_that_disappear_unread_are_a_warning(caplog):
    def respond(server, query):
        if len(server.asked) == 3:
            server.events = server.events[10:]
        return server.page(query)

    server = Server(events(seconds(*range(40))), respond=respond)
    found = server.read(0, 100 * SECOND, Limits(10, 1, max_events=100))
    assert len(found) >= 30
    assert any("disappeared before they could be read" in m for m in caplog.messages)


def test_a_page_of_another_range_ends_the_run():
    server = Server(events(seconds(100)), respond=lambda one, _: Page(one.events, 1))
    with (
        server.requests() as requests,
        pytest.raises(IncompleteError, match="from outside the requested range"),
    ):
        requests.get(Range(0, 10 * SECOND).query(0, 5))
    assert len(server.asked) == MAX_FOREIGN


def test_a_range_that_stays_short_of_its_count_is_read_twice_and_is_an_error(caplog):
    """If only the whole range shows it."""

    def respond(server, query):
        page = server.page(query)
        is_whole = query.end - query.start > 90 * SECOND
        return replace(page, total=page.total + 5 * (is_whole and query.offset == 0))

    server = Server(events(seconds(*range(95))), respond=respond)
    found = []
    with pytest.raises(IncompleteError, match="held 95 events, but Akuity counts 100"):
        found.extend(server.windows(0, 99 * SECOND, Limits(5, 1, max_events=20)))
    assert [one.is_restart for one in found].count(True) == 2
    assert found[-1].is_restart
    (warning,) = caplog.messages
    assert warning.endswith("; reading all of them once more.")


def test_shuffled_pages_make_smaller_windows_before_they_are_an_error():
    server = Server(events(seconds(*range(60))), order="random")
    found = server.read(0, 60 * SECOND, Limits(20, 1, max_events=100))
    assert sorted(int(one.id) for one in found) == list(range(60))
    assert len(server.asked) < 20 * MAX_WALKS
