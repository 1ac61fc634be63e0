"""What is asked about a range, how much at a time, and what is taken of responses."""

from __future__ import annotations

import pytest

from tap_akuity.api.query import Query
from tap_akuity.reading.asks import (
    MARGIN,
    WIDE_MARGIN,
    Nothing,
    Page,
    Probe,
    Range,
    Refused,
    leading,
)
from tap_akuity.reading.limits import Limits
from tap_akuity.records.timestamps import SECOND
from tests.helpers.server import events

HALF = SECOND // 2
MILLISECOND = SECOND // 1000


@pytest.mark.parametrize(
    ("start", "end", "can"),
    [
        (0, SECOND, False),
        (0, SECOND + 1, True),
        (HALF, SECOND, False),
        (HALF, SECOND + 1, True),
        (-SECOND - 1, 0, True),
        (-SECOND, 0, False),
        (HALF, HALF + 1, False),
    ],
)
def test_a_range_can_be_cut_at_a_whole_second_inside(
    start: int,
    end: int,
    can: bool,  # noqa: FBT001
) -> None:
    assert Range(start, end).can_be_cut is can


def test_a_range_is_asked_for_in_whole_seconds_and_with_a_margin() -> None:
    span = Range(10 * SECOND + HALF, 20 * SECOND + 1)
    start, end = 10 * SECOND, 21 * SECOND
    assert MARGIN == MILLISECOND
    assert WIDE_MARGIN == SECOND + MILLISECOND
    assert span.query(3, 7) == Query(start - MILLISECOND, end, 3, 7)
    assert span.query(3, 7, WIDE_MARGIN) == Query(start - WIDE_MARGIN, end, 3, 7)
    assert span.probe(3) == Probe(start - MILLISECOND, end, 3)
    assert span.probe(3, WIDE_MARGIN) == Probe(start - WIDE_MARGIN, end, 3)
    assert Range(10 * SECOND, 20 * SECOND).query(0, 1).end == 20 * SECOND


def test_a_page_is_as_large_as_its_records() -> None:
    assert Page(events([1, 2]), 9).size == 2 * len(b'{"name":"0"}')


def test_the_responses_before_the_first_failure_are_taken() -> None:
    one, two, error = Page([], 1), Page([], 2), OSError("first")
    assert leading([one, two], Page) == [one, two]
    assert leading([one, error, two], Page) == [one]
    assert leading([one, Refused(), OSError("second"), two], Page) == [one]
    with pytest.raises(OSError, match="first"):
        leading([error, OSError("second"), two], Page)
    assert leading([Nothing(0), error], Page) == []


@pytest.mark.parametrize(
    ("limits", "goal"),
    [
        # Full pages that leave a twenty-fifth of room, less the slack.
        (Limits(500, 4), 21 * 500 - 60),
        (Limits(1000, 4), 10 * 1000 - 60),
        (Limits(5, 1, max_events=100, slack=0), 19 * 5),
        # A page at least, and no more than a window may hold.
        (Limits(200, 1, max_events=100, slack=0), 100),
        (Limits(200, 1, max_events=100, slack=120), 80),
        (Limits(5, 1, max_events=100, slack=99), 1),
    ],
)
def test_a_window_aims_at_full_pages(limits: Limits, goal: int) -> None:
    assert limits.goal == goal


def test_all_threads_stay_busy() -> None:
    assert Limits(500, 1).events_ahead == 1
    assert Limits(500, 3).events_ahead == 11_000 + 4 * 3 * 500


def test_large_events_make_windows_of_fewer() -> None:
    limits = Limits(500, 4, max_events=100, max_bytes=1200)
    (one,) = events([1])
    assert len(one.json) == 12
    assert limits.suited_to([]) is limits
    assert limits.suited_to([one] * 7) is limits
    tight = Limits(500, 4, max_events=101, max_bytes=1200)
    assert tight.suited_to([one] * 7).max_events == 100
    assert Limits(500, 4, max_bytes=5).suited_to([one]).max_events == 1
