"""Queries about a range, their responses, and how much is read at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_akuity.api.query import Query
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import (
    MARGIN,
    WIDE_MARGIN,
    Nothing,
    Page,
    Probe,
    Range,
    Refused,
    leading,
)
from tap_akuity.text.timestamps import SECOND
from tests.helpers.server import events

HALF = SECOND // 2


@pytest.mark.parametrize(
    ("start", "end", "can"),
    [
        (0, SECOND, False),
        (0, SECOND + 1, True),
        (HALF, SECOND, False),
        (HALF, SECOND + 1, True),
        (-SECOND - 1, 0, True),
        (HALF, HALF + 1, False),
    ],
)
def test_a_range_can_be_cut_at_a_whole_second_inside(start, end, can):
    assert Range(start, end).can_be_cut is can


def test_a_query_is_for_whole_seconds_and_a_margin():
    assert (MARGIN, WIDE_MARGIN) == (SECOND // 1000, SECOND + SECOND // 1000)
    span = Range(10 * SECOND + HALF, 20 * SECOND + 1)
    start, end = 10 * SECOND, 21 * SECOND
    assert span.query(3, 7) == Query(start - MARGIN, end, 3, 7)
    assert span.query(3, 7, WIDE_MARGIN) == Query(start - WIDE_MARGIN, end, 3, 7)
    assert span.probe(3) == Probe(start - MARGIN, end, 3)
    assert span.probe(3, WIDE_MARGIN) == Probe(start - WIDE_MARGIN, end, 3)
    assert Range(start, end).query(0, 1).end == end


def test_a_range_names_itself():
    assert str(Range(0, HALF)) == "1970-01-01T00:00:00Z to 1970-01-01T00:00:00.5Z"


def test_the_responses_before_the_first_failure_are_used():
    one, two, error = Page([], 1), Page([], 2), OSError("first")
    assert leading([one, two], Page) == [one, two]
    assert leading([one, error, two], Page) == [one]
    assert leading([one, Refused(), OSError("second"), two], Page) == [one]
    assert leading([Nothing(0), error], Page) == []
    with pytest.raises(OSError, match="first"):
        leading([error, OSError("second"), two], Page)


@pytest.mark.parametrize(
    ("limits", "goal"),
    [
        # Full pages that leave a twenty-fifth free, less the slack.
        (Limits(500, 4), 21 * 500 - 60),
        (Limits(1000, 4), 10 * 1000 - 60),
        # A page at least, and no more than a window may hold.
        (Limits(200, 1, max_events=100, slack=0), 100),
        (Limits(200, 1, max_events=100, slack=120), 80),
        (Limits(5, 1, max_events=100, slack=99), 1),
    ],
)
def test_a_window_aims_at_full_pages(limits, goal):
    assert limits.goal == goal


@given(st.integers(1, 10_000), st.integers(1, 20_000), st.integers(0, 20))
def test_a_window_aims_at_no_more_than_it_may_hold(page_size, max_events, slack):
    limits = Limits(page_size, 4, max_events=max_events, slack=slack)
    assert 1 <= limits.goal <= max_events


def test_all_threads_stay_busy():
    assert Limits(500, 1).events_ahead == 1
    assert Limits(500, 3).events_ahead == 11_000 + 4 * 3 * 500


def test_large_events_make_windows_of_fewer():
    (one,) = events([1])
    assert Page([one, one], 9).size == 2 * len(one.json) == 24
    limits = Limits(500, 4, max_events=100, max_bytes=1200)
    assert limits.suited_to([]) is limits
    assert limits.suited_to([one] * 7) is limits
    tight = Limits(500, 4, max_events=101, max_bytes=1200)
    assert tight.suited_to([one] * 7).max_events == 100
    assert Limits(500, 4, max_bytes=5).suited_to([one]).max_events == 1
