"""Queries about a range, their responses, and how much is read at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_akuity.api.query import Query
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import Page, Range
from tap_akuity.text.timestamps import DAY, SECOND
from tests.helpers.server import event, events

HALF = SECOND // 2


@pytest.mark.parametrize(
    ("start", "end", "can"),
    [
        (0, 2 * SECOND, False),
        (0, 2 * SECOND + 1, True),
        (HALF, 2 * SECOND, False),
        (HALF, 2 * SECOND + 1, True),
        (-SECOND - 1, SECOND, True),
        (HALF, HALF + 1, False),
    ],
)
def test_a_range_of_more_than_two_seconds_can_be_cut(start, end, can):
    assert Range(start, end).can_be_cut is can


def test_a_query_is_for_whole_seconds_and_one_more():
    span = Range(10 * SECOND + HALF, 20 * SECOND + 1)
    assert span.query(3, 7) == Query(9 * SECOND, 21 * SECOND, 3, 7)
    whole = Range(10 * SECOND, 20 * SECOND)
    assert whole.query(0, 1) == Query(9 * SECOND, 20 * SECOND, 0, 1)


@pytest.mark.parametrize(
    ("first", "last", "is_foreign"),
    [
        (0, None, False),
        (-SECOND, None, False),
        (-SECOND - 1, None, True),
        (-DAY, -SECOND, False),
        (-DAY, DAY, False),
        (-DAY, -SECOND - 1, True),
        (11 * SECOND, None, False),
        (11 * SECOND + 1, DAY, True),
        (DAY, 11 * SECOND, False),
    ],
)
def test_a_page_of_another_query_is_recognized(first, last, is_foreign):
    page = Page([event(SECOND, "one"), event(first, "other", last)], 2)
    assert page.is_foreign_to(Query(0, 10 * SECOND, 0, 5)) is is_foreign


def test_a_range_names_itself():
    assert str(Range(0, HALF)) == "1970-01-01T00:00:00Z to 1970-01-01T00:00:00.5Z"


@pytest.mark.parametrize(
    ("limits", "goal"),
    [
        # Full pages that leave a twenty-fifth free, less the slack.
        (Limits(500, 4), 21 * 499 + 1 - 90),
        (Limits(1000, 4), 10 * 999 + 1 - 90),
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
