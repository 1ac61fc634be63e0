"""Where a range is cut, and what that costs; without threads."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tap_akuity.api.query import Query
from tap_akuity.reading.asks import (
    MARGIN,
    WIDE_MARGIN,
    Found,
    Nothing,
    Page,
    Probe,
    Range,
    Refused,
)
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import Piece, plan
from tap_akuity.records.timestamps import SECOND
from tests.helpers.server import Server, events

if TYPE_CHECKING:
    from tap_akuity.reading.asks import Ask, Outcome

SPAN = Range(100 * SECOND, 200 * SECOND)
MIDDLE = 150 * SECOND


def limits(concurrency: int) -> Limits:
    """Windows of 20 events at most that aim at 15."""
    return Limits(5, concurrency, max_events=20, slack=5)


def drive(
    whole: Piece, within: Limits, server: Server
) -> tuple[list[Piece], list[list[Ask]], int]:
    """Give the pieces of a plan, what was asked at a time, and what it returns."""
    planning = plan(whole, within)
    pieces: list[Piece] = []
    asked: list[list[Ask]] = []
    outcomes: Any = None
    while True:
        try:
            step = planning.send(outcomes)
        except StopIteration as stop:
            return pieces, asked, stop.value
        if isinstance(step, Piece):
            pieces.append(step)
            outcomes = None
        else:
            asked.append(step)
            outcomes = [server.fetch(ask)() for ask in step]


def first_asks(total: int, concurrency: int, outcomes: list[Outcome]) -> list[Ask]:
    """Cut `SPAN`, and give what is asked after the probes were answered."""
    page = Page(events([SPAN.start] * 5), total)
    planning = plan(Piece(SPAN, total, page), limits(concurrency))
    probes = next(planning)
    assert isinstance(probes, list)
    assert len(probes) == len(outcomes)
    asks = planning.send(outcomes)
    assert isinstance(asks, list)
    return asks


def bounds(asks: list[Ask]) -> list[tuple[int, int]]:
    return [(ask.start + MARGIN, ask.end) for ask in asks]


@pytest.mark.parametrize("concurrency", [1, 2, 4])
@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
@pytest.mark.parametrize("count", [0, 20, 21, 150])
def test_the_pieces_are_the_range(concurrency: int, order: str, count: int) -> None:
    rng = random.Random(count)
    server = Server(events(rng.sample(range(SPAN.start, SPAN.end), count)), order=order)
    whole = server.whole(*SPAN, 5)
    pieces, _, held = drive(whole, limits(concurrency), server)
    assert pieces[0].range.start == SPAN.start
    assert pieces[-1].range.end == SPAN.end
    assert all(one.range.end == other.range.start for one, other in pairwise(pieces))
    assert held == sum(piece.total for piece in pieces) >= count
    for piece in pieces:
        assert piece.first
        assert piece.first.total == piece.total <= 20


@pytest.mark.parametrize("concurrency", [1, 2, 4])
def test_so_much_is_asked_at_a_time_and_no_more(concurrency: int) -> None:
    server = Server(events(range(SPAN.start, SPAN.end, SECOND // 2)))
    whole = server.whole(*SPAN, 5)
    pieces, asked, _ = drive(whole, limits(concurrency), server)
    probes = [asks for asks in asked if isinstance(asks[0], Probe)]
    queries = [asks for asks in asked if isinstance(asks[0], Query)]
    assert max(map(len, probes)) == concurrency >= max(map(len, queries))
    # Each cut and each first page is asked for once.
    assert sum(map(len, queries)) == len(pieces)
    assert sum(map(len, probes)) == len(pieces) - 1
    assert len(pieces) <= -(-200 // 15) + 4


def test_what_is_known_to_be_too_large_is_not_asked_for() -> None:
    server = Server(events(range(SPAN.start, SPAN.end, SECOND // 2)))
    for concurrency in (1, 4):
        _, asked, _ = drive(server.whole(*SPAN, 5), limits(concurrency), server)
        sizes = [
            server.page(ask).total
            for asks in asked
            for ask in asks
            if isinstance(ask, Query)
        ]
        assert max(sizes) <= 20


def test_probes_are_for_the_events_before_the_cuts() -> None:
    page = Page(events([SPAN.start] * 5), 100)
    planning = plan(Piece(SPAN, 100, page), limits(8), WIDE_MARGIN)
    # 7 windows of 15, the oldest first.
    assert next(planning) == [
        SPAN.probe(100 - rank - 1, WIDE_MARGIN) for rank in range(15, 100, 15)
    ]
    # Of 2 at a time, 3 windows each.
    planning = plan(Piece(SPAN, 100, page), limits(2))
    assert next(planning) == [SPAN.probe(100 - rank - 1) for rank in (45, 90)]


def test_a_cut_is_at_the_second_of_its_moment() -> None:
    asks = first_asks(25, 4, [Found(120 * SECOND + 7)])
    assert bounds(asks) == [(100 * SECOND, 120 * SECOND), (120 * SECOND, 200 * SECOND)]
    assert asks == [
        Range(100 * SECOND, 120 * SECOND).query(0, 5),
        Range(120 * SECOND, 200 * SECOND).query(0, 5),
    ]


@pytest.mark.parametrize(
    ("moment", "cut"),
    [
        # In the second after the first, or the last, if it is at an end.
        (SPAN.start, 101 * SECOND),
        (SPAN.start - WIDE_MARGIN, 101 * SECOND),
        (SPAN.end + SECOND, 199 * SECOND),
        # From elsewhere, the server sorts in another way.
        (SPAN.start - WIDE_MARGIN - 1, MIDDLE),
        (SPAN.end + SECOND + 1, MIDDLE),
    ],
)
def test_a_cut_lies_inside(moment: int, cut: int) -> None:
    asks = first_asks(25, 4, [Found(moment)])
    assert bounds(asks) == [(SPAN.start, cut), (cut, SPAN.end)]


@pytest.mark.parametrize(
    "outcomes",
    [
        [Refused(), Refused()],
        [Found(170 * SECOND), Refused()],
        [Found(120 * SECOND), Nothing(40)],
        [Found(170 * SECOND), Found(120 * SECOND)],
    ],
)
def test_without_moments_in_order_it_is_cut_in_the_middle(
    outcomes: list[Outcome],
) -> None:
    asks = first_asks(40, 4, outcomes)
    assert bounds(asks) == [(SPAN.start, MIDDLE), (MIDDLE, SPAN.end)]


def test_what_went_away_is_taken_into_account() -> None:
    # There is one event less than would have to lie before the first cut.
    asks = first_asks(40, 4, [Nothing(24), Found(170 * SECOND)])
    assert asks == [SPAN.probe(24 - 15 - 1)]


def test_a_failure_ends_the_plan() -> None:
    with pytest.raises(OSError, match="failed"):
        first_asks(40, 4, [Found(120 * SECOND), OSError("failed")])


def test_a_first_page_that_failed_is_asked_for_again_when_it_is_due() -> None:
    page = Page(events([SPAN.start] * 5), 40)
    planning = plan(Piece(SPAN, 40, page), limits(4))
    next(planning)
    asks: Any = planning.send([Found(120 * SECOND), Found(150 * SECOND)])
    assert len(asks) == 3
    few = [Page(events([ask.start + MARGIN]), n) for n, ask in enumerate(asks, 1)]
    first = planning.send([few[0], OSError("failed"), few[2]])
    assert first == Piece(Range(SPAN.start, 120 * SECOND), 1, few[0])
    assert next(planning) == asks[1:]
    second = planning.send([*few[1:]])
    assert second == Piece(Range(120 * SECOND, 150 * SECOND), 2, few[1])
    third = next(planning)
    assert third == Piece(Range(150 * SECOND, SPAN.end), 3, few[2])
    with pytest.raises(StopIteration) as caught:
        next(planning)
    assert caught.value.value == 6


def test_a_total_without_a_row_is_not_believed() -> None:
    whole = Piece(SPAN, 10**9, Page([], 10**9))
    assert next(plan(whole, limits(4))) == whole


def test_a_second_is_not_cut() -> None:
    span = Range(100 * SECOND, 101 * SECOND)
    whole = Piece(span, 500, Page(events([span.start] * 5), 500))
    assert next(plan(whole, limits(4))) == whole
