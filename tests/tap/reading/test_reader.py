"""From the pages of a client to windows of events."""

import json
import logging
import time
from typing import Any

import msgspec
import pytest
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.client import PageResponse
from tap_akuity.api.errors import BadRequestError, PageTooBigError
from tap_akuity.api.query import Query
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import CONFIRMATIONS
from tap_akuity.reading.ranges import Range
from tap_akuity.reading.reader import Reader
from tap_akuity.reading.recount import Recount
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_text

NOW = parse("2026-01-01T00:00:00Z")
START = NOW - DAY


class Client:
    """Returns pages as `AkuityClient` does, the newest items first."""

    def __init__(self, items):
        self.items = items
        self.date = None
        self.queries = []
        self.deepest = 10**9

    def fetch(self, query):
        self.queries.append(query)
        if query.offset > self.deepest:
            message = "Akuity refused the request: check the settings (HTTP 400)."
            raise BadRequestError(message)
        found = [
            item
            for item in self.items[::-1]
            if query.start <= parse(item["timestamp"]) < query.end
        ]
        page = found[query.offset :][: query.limit]
        raw = msgspec.Raw(json.dumps(page).encode())
        return PageResponse(raw, len(found), self.date)


def item(second, **members):
    text = to_text(START + second * SECOND)
    return {"timestamp": f"{text[:10]} {text[11:29]} +0000 UTC", **members}


def numbered(count):
    return [item(n, n=n) for n in range(count)]


def reader(client, **settings):
    settings = {
        "organization_id": "org",
        "limits": Limits(5, 2, max_events=20, slack=2),
        "origins": [],
        "actor_ips": [],
        "precision": "auto",
        "logger": logging.getLogger("tests.reader"),
        **settings,
    }
    return Reader(client, **settings)


def read(client, **settings):
    """Return the numbers of the events of a day."""
    one = reader(client, **settings)
    return [
        json.loads(event.json).get("n")
        for window in one.windows(one.begin(START, NOW))
        for event in window.events
    ]


@pytest.fixture(autouse=True)
def _warnings(caplog):
    # A tap made by another test may have set the level to `INFO`.
    caplog.set_level(logging.WARNING)


FINE = [
    item(1),
    item(2, lastOccurredTimestamp="2025-12-31 00:00:09.000000001 +0000 UTC"),
    {"timestamp": "2025-12-31 00:00:03.000001001 +0000 UTC"},
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
    read(Client(items), precision=precision, limits=limits)
    assert caplog.messages == [
        "Setting `timestamp_precision` is `microseconds`, so the digits of timestamps "
        f"after the sixth are cut, first of the event of {at}."
        for at in first
    ]


def test_a_refused_page_is_the_user_s_error():
    client = Client(numbered(9))
    client.deepest = -1
    with pytest.raises(BadRequestError, match="Akuity refused the request"):
        read(client, limits=Limits(2, 2))


def test_a_refused_offset_makes_smaller_windows():
    client = Client(numbered(40))
    client.deepest = 4
    assert read(client, limits=Limits(5, 2)) == list(range(40))


def test_only_the_event_that_is_too_big_is_left_out():
    class Limited(Client):
        def fetch(self, query):
            page = super().fetch(query)
            if b'"n": 17,' in bytes(page.items):
                message = "too big"
                raise PageTooBigError(message)
            return page

    client = Limited([item(n, n=n, more=1) for n in range(40)])
    one = reader(client)
    found = list(one.windows(one.begin(START, NOW)))
    assert any(window.unsent for window in found)
    numbers = [json.loads(event.json)["n"] for each in found for event in each.events]
    assert numbers == [n for n in range(40) if n != 17]


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
    ],
)
def test_what_an_older_server_did_not_filter_is_filtered(settings, expected, caplog):
    items = [item(n, n=n, actor=actor) for n, actor in enumerate(ACTORS)]
    one = reader(Client(items), **settings)
    _, window = (next(one.windows(one.begin(START, NOW))) for _ in range(2))
    found = [json.loads(event.json) for event in window.events]
    assert [(one["n"], one["organization_id"]) for one in found] == [
        (number, "org") for number in expected
    ]
    assert caplog.messages == [
        "The server does not filter by `origins` or `actor_ips`, perhaps because it is "
        "too old: the tap filters its events."
    ]
    # The bookmark may pass them, and the counts of days include them.
    assert window.reached == to_text(START + 2 * SECOND)
    assert len(window.times) == 3


def test_a_server_that_filters_is_not_complained_of(caplog):
    items = [item(n, n=n, actor=ACTORS[0]) for n in range(50)]
    assert len(read(Client(items), origins=["mcp"])) == 50
    assert not caplog.messages


def test_what_is_unusual_is_logged_once_and_without_values(caplog):
    caplog.set_level(logging.INFO)
    items = [item(n, actor={"zone": "secret"}) for n in range(50)]
    items.insert(0, item(0, actor={"zone": 1}))
    items.append(item(49, actor={"zone": "secret", "site": 1}))
    one = reader(Client(items))
    for _ in range(2):
        assert list(one.windows(one.begin(START, NOW)))
        one._client = Client(items[5:6])
    assert caplog.messages == [
        "Events of one instant differ only in `actor.site`, `actor.zone`, which is now "
        "part of their ids: please report this, so that the tap can take it into "
        "account.",
        "Akuity sends members that the schema does not describe yet; the records "
        "include them anyway: `actor.site`, `actor.zone`.",
    ]


def test_names_of_members_are_bounded(caplog):
    caplog.set_level(logging.INFO)
    for number in (20, 21):
        members = {f"{n:03d}\n" + "x" * 9_999: 1 for n in range(number)}
        read(Client([item(1, **members)]))
    most, more = caplog.messages
    assert most.count("`") == more.count("`") == 2 * 20
    assert more.endswith("` and others.")
    assert not most.endswith("others.")
    assert "\n" not in more
    assert len(more) < 10_000


@pytest.fixture
def _at_noon(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: NOON)


NOON = NOW + DAY // 2


@pytest.mark.usefixtures("_at_noon")
@pytest.mark.parametrize(
    ("seconds", "off"), [(-4, None), (4, None), (-5, 5), (5, -5), (3600, -3600)]
)
def test_the_end_is_now_by_the_server_s_clock(seconds, off, caplog):
    caplog.set_level(logging.INFO)
    client = Client([])
    client.date = there = NOON + seconds * SECOND
    assert reader(client).now() == min(NOON, there)
    assert client.queries == [Query(NOON, NOON + SECOND, 0, 1)]
    client.items = [item(1)]
    end_date = NOON + 1800 * SECOND
    whole = reader(client).begin(0, end_date)
    end = min(NOON if off is None else there + SECOND, end_date)
    assert (whole.range, whole.total) == ((0, end), 1)
    assert client.queries[-1] == whole.piece.range.query(0, 5)
    assert len(client.queries) == 1 + 1 + (off is not None)
    assert caplog.messages == [
        f"Local clock is {off} seconds off; using the server's."
    ] * (off is not None)


@pytest.mark.usefixtures("_at_noon")
def test_an_end_in_the_past_is_kept_and_the_server_needs_no_clock():
    one = reader(client := Client([item(1)]))
    assert one.now() == NOON
    assert one.begin(0, None).range == (0, NOON)
    client.date = NOW
    whole = one.begin(0, NOW)
    assert whole.range == (0, NOW)
    # A server that rounds may have the last event a second later.
    assert whole.piece.range == (0, NOW + SECOND)
    assert len(client.queries) == 3
    # A range is never empty.
    assert one.begin(NOON, NOW).range == (NOON, NOON + 1)


def test_an_empty_range_is_not_believed_at_once():
    one = reader(client := Client([]))
    assert one.begin(START, NOW).total == 0
    assert len(client.queries) == CONFIRMATIONS


def test_a_count_that_was_said_twice_counts_more_than_a_later_zero():
    class Emptied(Client):
        def fetch(self, query):
            page = super().fetch(query)
            total = 0 if len(self.queries) == CONFIRMATIONS else page.total_count
            return page._replace(items=msgspec.Raw(b"[]"), total_count=total)

    assert reader(Emptied(numbered(9))).begin(START, NOW).total == 9


def test_more_rows_than_requested_are_bounded():
    class Generous(Client):
        def fetch(self, query):
            return super().fetch(query._replace(limit=10**9, offset=0))

    assert read(Generous(numbered(9))) == list(range(9))
    for count, most in ((2_001, 2_000), (4_001, 4_000)):
        client = Generous([item(0, n=n) for n in range(count)])
        with pytest.raises(FatalAPIError, match=f"{count} items where at most {most} "):
            read(client, limits=Limits(most // 2, 1))


def test_an_event_that_cannot_be_read_stops_the_sync_before_it():
    with pytest.raises(FatalAPIError) as caught:
        read(Client([item(1, lastOccurredTimestamp="soon")]))
    assert str(caught.value) == (
        "An event from 2025-12-30T23:59:59Z to 2026-01-01T00:00:01Z cannot be "
        "read, so the sync stops before it: lastOccurredTimestamp: 'soon' is not a "
        "timestamp - in item 0 of the page."
    )


def test_days_with_late_events_are_read_again():
    client = Client(numbered(9))
    one = reader(client)
    state: dict[str, Any] = {}
    found = []
    for span in (Range(START, NOW), Range(NOW, NOW + DAY), Range(NOW, NOW + 1)):
        recount = Recount(state, "all", span, bound=START, days=1)
        again = list(one.recounted(recount))
        assert all(window.again for window in again)
        found.append([event for window in again for event in window.events])
        for window in one.windows(one.begin(*span)):
            recount.add(window, NOW)
        state = recount.keep()
        client.items = numbered(30)
    assert list(map(len, found)) == [0, 30, 0]
