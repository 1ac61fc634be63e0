"""From the pages of a client to windows of events."""

import json
import logging
import time
from dataclasses import replace
from email.utils import formatdate

import pytest
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.errors import BadRequestError
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import CONFIRMATIONS
from tap_akuity.reading.reader import Reader
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.clients import LocalSession, client_of
from tests.helpers.events import go

NOW = parse("2026-01-01T00:00:00Z")
START = NOW - DAY
NOON = NOW + DAY // 2


def item(second, **members):
    return {"timestamp": go(second, since=START), **members}


def numbered(count):
    return [item(n, count=n) for n in range(count)]


def reader(session, **settings):
    settings = {
        "organization_id": "org",
        "limits": Limits(5, 2, max_events=20, slack=2),
        "origins": [],
        "actor_ips": [],
        "precision": "auto",
        "logger": logging.getLogger("tests.reader"),
        **settings,
    }
    return Reader(client_of(session=session), **settings)


def read(session, **settings):
    """Return the events of a day."""
    one = reader(session, **settings)
    windows = one.windows(one.begin(START, NOW))
    return [json.loads(event.json) for window in windows for event in window.events]


def numbers(found):
    return [one["count"] for one in found]


@pytest.fixture(autouse=True)
def _info(caplog):
    caplog.set_level(logging.INFO)


FINE = [
    item(1),
    item(2, lastOccurredTimestamp="2025-12-31 00:00:09.000000001 +0000 UTC"),
    item(3.000001001),
]


@pytest.mark.parametrize(
    ("items", "precision", "first"),
    [
        (FINE, "microseconds", ["2025-12-31T00:00:02.000000000Z"]),
        (FINE[::2], "microseconds", ["2025-12-31T00:00:03.000001001Z"]),
        (FINE[:1], "microseconds", []),
        (FINE, "auto", []),
    ],
)
def test_digits_are_not_cut_without_a_word(items, precision, first, caplog):
    limits = Limits(1, 1, max_events=1, slack=0)
    read(LocalSession(items), precision=precision, limits=limits)
    assert caplog.messages == [
        "Setting `timestamp_precision` is `microseconds`, so the digits of timestamps "
        f"after the sixth are cut, first of the event of {at}."
        for at in first
    ]


def test_a_refused_page_is_the_user_s_error():
    with pytest.raises(BadRequestError, match="Akuity refused the request"):
        read(LocalSession(numbered(9), max_offset=-1), limits=Limits(2, 2))


@pytest.mark.parametrize("over_offset", ["refuse", "empty"])
def test_a_refused_offset_makes_smaller_windows(over_offset):
    session = LocalSession(numbered(40), max_offset=4, over_offset=over_offset)
    assert numbers(read(session)) == [*range(40)]


def test_only_the_event_that_is_too_big_is_left_out(caplog):
    big = item(17, details={"patch": "x" * 9_000})
    session = LocalSession([*numbered(40), big], too_big_bytes=9_000)
    assert numbers(read(session)) == [*range(40)]
    assert any("cannot be loaded" in message for message in caplog.messages)


ACTORS = [
    {"origin": "mcp", "ip": "2001:db8::1"},
    {"origin": "ui", "ip": "2001:DB8:0:0::1"},
    None,
]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"origins": ["mcp"]}, [0]),
        ({"actor_ips": ["2001:db8::1"]}, [0, 1]),
        ({"origins": ["mcp"], "actor_ips": ["192.0.2.1"]}, []),
        ({"origins": ["mcp", "ui", ""]}, [0, 1, 2]),
    ],
)
def test_what_an_older_server_did_not_filter_is_filtered(settings, expected, caplog):
    items = [item(n, count=n, actor=actor) for n, actor in enumerate(ACTORS)]
    one = reader(LocalSession(items), **settings)
    _, window = (next(one.windows(one.begin(START, NOW))) for _ in range(2))
    found = [json.loads(event.json) for event in window.events]
    assert numbers(found) == expected
    assert {event["organization_id"] for event in found} <= {"org"}
    warning = (
        "The server does not filter by `origins` or `actor_ips`, perhaps because it is "
        "too old: the tap filters its events."
    )
    assert caplog.messages == [warning] * (len(expected) < len(items))
    # The bookmark may pass them, and the counts of days include them.
    assert window.reached == to_text(START + 2 * SECOND)
    assert len(window.times) == 3


def test_what_is_unusual_is_logged_once_and_without_values(caplog):
    items = [item(n, actor={"zone": "secret"}) for n in range(50)]
    items.insert(0, item(0, actor={"zone": 1}))
    items.append(item(49, actor={"zone": "secret", "site": 1}))
    one = reader(LocalSession(items))
    for _ in range(2):
        assert list(one.windows(one.begin(START, NOW)))
        one._client = client_of(session=LocalSession(items[5:6]))
    assert caplog.messages == [
        "Events of one instant differ only in `actor.site`, `actor.zone`, which is now "
        "part of their ids: please report this, so that the tap can take it into "
        "account.",
        "Akuity sends members that the schema does not describe yet; the records "
        "include them anyway: `actor.site`, `actor.zone`.",
    ]


def test_names_of_members_are_bounded(caplog):
    for number in (20, 21):
        members = {f"{n:03d}\n" + "x" * 9_999: 1 for n in range(number)}
        read(LocalSession([item(1, **members)]))
    most, more = caplog.messages
    assert most.count("`") == more.count("`") == 2 * 20
    assert more.endswith("` and others.")
    assert not most.endswith("others.")
    assert "\n" not in more
    assert len(more) < 10_000


@pytest.fixture
def at_noon(monkeypatch):
    """Stop the local clock, and return a session whose server's can be set."""
    monkeypatch.setattr(time, "time_ns", lambda: NOON)

    def serve(instant, *items):
        session = LocalSession(items)
        session.headers = {"Date": formatdate(instant // SECOND, usegmt=True)}
        return session

    return serve


@pytest.mark.parametrize(
    ("seconds", "off"), [(-4, None), (4, None), (-5, 5), (5, -5), (3600, -3600)]
)
def test_the_end_is_now_by_the_server_s_clock(at_noon, seconds, off, caplog):
    there = NOON + seconds * SECOND
    session = at_noon(there, item(1))
    one = reader(session)
    assert one.now() == min(NOON, there)
    (asked,) = session.asked
    bounds = asked.start_ns, asked.end_ns, asked.offset, asked.limit
    assert bounds == (NOON, NOON + SECOND, 0, 1)
    end_date = NOON + 1800 * SECOND
    whole = one.begin(START, end_date)
    end = min(NOON if off is None else there + SECOND, end_date)
    assert (whole.range, whole.total) == ((START, end), 1)
    query = whole.piece.range.query(0, 5)
    asked = session.asked[-1]
    assert (asked.start_ns, asked.end_ns, asked.offset, asked.limit) == query
    assert len(session.asked) == 1 + 1 + (off is not None)
    assert caplog.messages == [
        f"Local clock is {off} seconds off; using the server's."
    ] * (off is not None)


def test_an_end_in_the_past_is_kept_and_the_server_needs_no_clock(at_noon):
    session = at_noon(NOW, item(1))
    date, session.headers = session.headers, {}
    one = reader(session)
    assert one.now() == NOON
    assert one.begin(0, None).range == (0, NOON)
    session.headers = date
    whole = one.begin(0, NOW)
    assert whole.range == (0, NOW)
    # A server that rounds may have the last event a second later.
    assert whole.piece.range == (0, NOW + SECOND)
    assert len(session.asked) == 3
    # A range is never empty.
    assert one.begin(NOON, NOW).range == (NOON, NOON + 1)


def test_an_empty_range_is_not_believed_at_once():
    session = LocalSession()
    assert reader(session).begin(START, NOW).total == 0
    assert len(session.asked) == CONFIRMATIONS


def test_a_count_that_was_said_twice_counts_more_than_a_later_zero():
    def emptied(store, query):
        _, total = store.query(query)
        return [], 0 if len(session.asked) == CONFIRMATIONS else total

    session = LocalSession(numbered(9), emptied)
    assert reader(session).begin(START, NOW).total == 9


def test_more_rows_than_requested_are_bounded():
    def generous(store, query):
        return store.query(replace(query, limit=10**9, offset=0))

    def serve(items):
        return LocalSession(items, generous, over_limit="honour")

    assert numbers(read(serve(numbered(9)))) == [*range(9)]
    for count, most in ((2_001, 2_000), (4_001, 4_000)):
        session = serve([item(0, count=n) for n in range(count)])
        with pytest.raises(FatalAPIError, match=f"{count} items where at most {most} "):
            read(session, limits=Limits(most // 2, 1))
