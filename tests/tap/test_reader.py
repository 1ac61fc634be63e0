"""From the pages of a client to windows of events."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tap_akuity.api.client import PageResponse
from tap_akuity.api.errors import BadRequestError
from tap_akuity.reader import Reader
from tap_akuity.reading.limits import Limits
from tap_akuity.records.timestamps import DAY, SECOND, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_akuity.api.query import Query

Item = dict[str, Any]
NOW = parse("2026-01-01T00:00:00Z")


class Client:
    """Gives pages as `AkuityClient` does, the newest items first."""

    def __init__(self, items: list[Item]) -> None:
        self.items = sorted(items, key=_when)
        self.date: int | None = None
        self.queries: list[Query] = []
        self.refuses: Callable[[Query], bool] = lambda _query: False

    def fetch(self, query: Query) -> PageResponse:
        self.queries.append(query)
        if self.refuses(query):
            message = "Akuity refused the request: check the settings (HTTP 400)."
            raise BadRequestError(message)
        found = [i for i in self.items if query.start <= _when(i) < query.end][::-1]
        page = found[query.offset :][: query.limit]
        return PageResponse(
            msgspec.Raw(json.dumps(page).encode()), len(found), self.date
        )


def _when(item: Item) -> int:
    return parse(item["timestamp"])


def item(second: float, **members: Any) -> Item:
    seconds, fraction = divmod(round(second * 10**9), 10**9)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return {"timestamp": f"2025-12-31 {clock}.{fraction:09d} +0000 UTC", **members}


def reader(client: Any, **settings: Any) -> Reader:
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


def read(client: Client, **settings: Any) -> list[Item]:
    one = reader(client, **settings)
    whole = one.begin(NOW - DAY, NOW)
    return [
        json.loads(event.json)
        for window in one.windows(whole)
        for event in window.events
    ]


FINE = [
    item(1, n=1),
    item(2, n=2, lastOccurredTimestamp="2025-12-31 00:00:09.000000001 +0000 UTC"),
    item(3, n=3) | {"timestamp": "2025-12-31 00:00:03.000001001 +0000 UTC"},
]


@pytest.mark.parametrize(
    ("items", "precision", "first"),
    [
        (FINE, "microseconds", ["2025-12-31T00:00:02.000000000Z"]),
        (FINE[::2], "microseconds", ["2025-12-31T00:00:03.000001001Z"]),
        (FINE[:1], "microseconds", []),
        (FINE, "auto", []),
        (FINE, "nanoseconds", []),
    ],
)
def test_digits_are_not_cut_without_a_word(
    items: list[Item],
    precision: str,
    first: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    read(Client(items), precision=precision)
    assert [text.rpartition(" ")[2].rstrip(".") for text in caplog.messages] == first


def numbers(records: list[Item]) -> list[int]:
    return [record["n"] for record in records]


def test_a_refused_probe_costs_nothing_but_requests() -> None:
    client = Client([item(n, n=n) for n in range(300)])
    client.refuses = lambda query: query.offset > 20
    assert numbers(read(client)) == list(range(300))


@pytest.mark.parametrize("page_size", [1, 5])
def test_a_refused_page_is_the_users_error(page_size: int) -> None:
    client = Client([item(n, n=n) for n in range(9)])
    client.refuses = lambda query: query.offset > 0
    with pytest.raises(BadRequestError, match="Akuity refused the request"):
        read(client, limits=Limits(page_size, 2))


ORIGINS = [
    item(1, n=1, actor={"origin": "mcp"}),
    item(2, n=2, actor={"origin": "ui"}),
    item(3, n=3, actor={}),
    item(4, n=4, actor=None),
    item(5, n=5),
]
ADDRESSES = [
    item(1, n=1, actor={"ip": "2001:db8::1"}),
    item(2, n=2, actor={"ip": "2001:DB8:0:0::1"}),
    item(3, n=3, actor={"ip": "192.0.2.1"}),
    item(4, n=4, actor={"ip": "not an address"}),
    item(5, n=5, actor={}),
]


@pytest.mark.parametrize(
    ("items", "settings", "expected"),
    [
        (ORIGINS, {"origins": ["mcp"]}, [1]),
        (ORIGINS, {"origins": ["mcp", ""]}, [1, 3, 4, 5]),
        (ADDRESSES, {"actor_ips": ["2001:db8::1"]}, [1, 2]),
        (ADDRESSES, {"actor_ips": ["192.0.2.1", "not an address"]}, [3, 4]),
        (ORIGINS, {"origins": ["mcp"], "actor_ips": ["192.0.2.1"]}, []),
    ],
)
def test_what_an_older_server_did_not_filter_is_filtered(
    items: list[Item],
    settings: Any,
    expected: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client(items)
    assert numbers(read(client, **settings)) == expected
    (warning,) = caplog.messages
    assert "The server does not filter by `origins` or `actor_ips`" in warning


def test_a_server_that_filters_is_not_complained_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert numbers(read(Client(ORIGINS[:1]), origins=["mcp"])) == [1]
    assert not caplog.messages


def test_the_bookmark_may_pass_what_was_filtered_here() -> None:
    client = Client(ORIGINS)
    one = reader(client, origins=["none"])
    (window,) = one.windows(one.begin(NOW - DAY, NOW))
    assert window.events == []
    assert window.reached == "2025-12-31T00:00:05.000000000Z"


def test_what_is_unusual_is_said_once_and_without_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    items = [item(n // 2, n=0, actor={"zone": f"secret{n}"}) for n in range(200)]
    assert len(read(Client(items))) == 200
    twins, unknown = caplog.messages
    assert "differ only in `actor.zone`" in twins
    assert "members that the schema does not describe yet" in unknown
    assert unknown.endswith(": `actor.zone`, `n`.")
    assert "secret" not in caplog.text


def test_what_is_unusual_is_not_repeated_for_each_range(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    one = reader(Client([item(n, n=n) for n in range(3)]))
    for _ in range(2):
        assert list(one.windows(one.begin(NOW - DAY, NOW)))
    assert len(caplog.messages) == 1


def test_names_of_members_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    read(Client([item(1, **{f"{n:03d}\n" + "x" * 9_999: 1 for n in range(99)})]))
    (unknown,) = caplog.messages
    assert unknown.endswith(" and others.")
    assert len(unknown) < 10_000
    assert "\n" not in unknown


def test_the_end_is_now_by_the_server_s_clock() -> None:
    client = Client([])
    client.date = time.time_ns() // SECOND * SECOND - 3600 * SECOND
    whole = reader(client).begin(0, None)
    assert whole.range.end == client.date + SECOND
    assert reader(client).now() == client.date


def test_an_end_in_the_past_is_kept() -> None:
    client = Client([])
    client.date = time.time_ns() - 3600 * SECOND
    assert reader(client).begin(0, NOW).range.end == NOW
    assert len(client.queries) == 1


def test_more_rows_than_were_asked_for_are_bounded() -> None:
    class Generous(Client):
        def fetch(self, query: Query) -> PageResponse:
            return super().fetch(query._replace(limit=10**9, offset=0))

    client = Generous([item(n, n=n) for n in range(9)])
    assert numbers(read(client)) == list(range(9))
    client.items = [item(0, n=n) for n in range(3_000)]
    with pytest.raises(Exception, match="3000 items where at most 2000 may be"):
        read(client)
