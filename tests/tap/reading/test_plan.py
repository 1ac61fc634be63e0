"""Where a range is divided, and what that costs, without threads."""

from itertools import pairwise
from typing import Any

import pytest

from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import Piece, plan
from tap_akuity.reading.ranges import (
    WIDE_MARGIN,
    Found,
    Nothing,
    Page,
    Range,
    Refused,
)
from tap_akuity.text.timestamps import SECOND
from tests.helpers.server import events, seconds

SPAN = Range(*seconds(100.5, 199.5))
MIDDLE = 150 * SECOND


def limits(concurrency=4):
    """Return limits of windows of 20 events at most that aim at 15."""
    return Limits(5, concurrency, max_events=20, slack=5)


def of_total(total, span=SPAN):
    return Piece(span, total, Page(events([span.start] * 5), total))


def first_asks(total, outcomes):
    """Cut `SPAN`, and return the queries after the probes."""
    planning = plan(of_total(total), limits())
    assert len(next(planning)) == len(outcomes)
    return planning.send(outcomes)


def queries(*edges):
    return [Range(*span).query(0, 5) for span in pairwise(edges)]


def test_probes_are_for_the_events_before_the_cuts():
    # 7 windows of 15, the oldest first.
    assert next(plan(of_total(100), limits(8), WIDE_MARGIN)) == [
        SPAN.probe(100 - rank - 1, WIDE_MARGIN) for rank in range(15, 100, 15)
    ]
    # Of 2 at a time, 3 windows each.
    assert next(plan(of_total(100), limits(2))) == [
        SPAN.probe(100 - rank - 1) for rank in (45, 90)
    ]


@pytest.mark.parametrize(
    ("moment", "cut"),
    [
        (120 * SECOND + 7, 120 * SECOND),
        # A second inside of the range, if it is at an end.
        (SPAN.start - WIDE_MARGIN, 101 * SECOND),
        (SPAN.end + SECOND, 199 * SECOND),
        # A server that returns one from elsewhere sorts differently.
        (SPAN.start - WIDE_MARGIN - 1, MIDDLE),
        (SPAN.end + SECOND + 1, MIDDLE),
    ],
)
def test_a_cut_is_at_a_whole_second_inside(moment, cut):
    asks = first_asks(25, [Found(moment)])
    assert asks == queries(SPAN.start, cut, SPAN.end)


@pytest.mark.parametrize(
    "outcomes",
    [
        [Found(170 * SECOND), Refused()],
        [Found(120 * SECOND), Nothing(40)],
        [Found(170 * SECOND), Found(120 * SECOND)],
    ],
)
def test_without_moments_in_order_it_is_cut_in_the_middle(outcomes):
    assert first_asks(40, outcomes) == queries(SPAN.start, MIDDLE, SPAN.end)


def test_events_that_disappeared_are_taken_into_account():
    # There is one event less than would have to lie before the first cut.
    asks = first_asks(40, [Nothing(24), Found(170 * SECOND)])
    assert asks == [SPAN.probe(24 - 15 - 1)]


def test_a_failure_ends_the_plan():
    with pytest.raises(OSError, match="failed"):
        first_asks(40, [Found(120 * SECOND), OSError("failed")])


def test_a_first_page_that_failed_is_requested_again_when_it_is_due():
    planning = plan(of_total(40), limits(), WIDE_MARGIN)
    next(planning)
    edges = [SPAN.start, 120 * SECOND, 150 * SECOND, SPAN.end]
    asks = planning.send([Found(edges[1]), Found(edges[2])])
    assert asks == [Range(*span).query(0, 5, WIDE_MARGIN) for span in pairwise(edges)]
    few: list[Any] = [Page(events([start]), n) for n, start in enumerate(edges[:3], 1)]
    pieces = [planning.send([few[0], OSError("failed"), few[2]])]
    assert next(planning) == asks[1:]
    pieces += [planning.send(few[1:]), next(planning)]
    assert pieces == [
        Piece(Range(*span), page.total, page)
        for span, page in zip(pairwise(edges), few, strict=True)
    ]
    with pytest.raises(StopIteration) as caught:
        next(planning)
    assert caught.value.value == 6


@pytest.mark.parametrize(
    "whole",
    [
        Piece(SPAN, 10**9, Page([], 10**9)),  # A total without a row is not believed.
        of_total(500, Range(100 * SECOND, 101 * SECOND)),
    ],
)
def test_what_is_not_cut(whole):
    assert next(plan(whole, limits())) == whole
