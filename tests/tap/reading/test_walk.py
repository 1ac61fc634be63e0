"""What the pages of a walk show of each other."""

import pytest

from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import Page
from tap_akuity.reading.window import _Walk
from tap_akuity.text.timestamps import SECOND
from tests.helpers.server import Server, event, events, seconds

A, B, C, TIED = event(3, "a"), event(2, "b"), event(1, "c"), event(2, "tied")


@pytest.mark.parametrize(
    ("second", "total", "is_exact", "is_steady", "is_full"),
    [
        ([B, C], 3, True, True, True),
        # Simultaneous events changed places.
        ([TIED, C], 3, False, True, True),
        # The rows shifted.
        ([C, event(0, "d")], 3, False, False, True),
        # The count changed meanwhile.
        ([B, C], 4, False, False, False),
        ([B, C], 2, False, False, True),
        # As many as are counted did not come.
        ([B], 3, False, False, False),
    ],
)
def test_a_walk(second, total, is_exact, is_steady, is_full):
    walk = _Walk(Page([A, B], 3))
    walk.add(Page(second, total), shared=True)
    assert (walk.is_exact, walk.is_steady, walk.is_full) == (
        is_exact,
        is_steady,
        is_full,
    )
    assert walk.events == [A, B, *second[1:]]
    assert walk.is_over is (len(second) == 1)


def test_a_walk_of_pages_that_share_no_row_is_not_exact():
    walk = _Walk(Page([A], 3))
    walk.add(Page([B], 3), shared=False)
    walk.add(Page([C], 3), shared=False)
    assert (walk.is_exact, walk.is_steady) == (False, True)


@pytest.mark.parametrize("number", [7, 10, 25])
def test_a_server_that_counts_no_more_than_it_returns_loses_nothing(number):
    """It caps the limit silently, and the count of a page looks like the total."""

    def respond(server, query):
        page = server.page(query).events
        return Page(page, len(page))

    found = events(seconds(*range(number)))
    server = Server(found, cap=10, respond=respond)
    assert server.read(0, 100 * SECOND, Limits(20, 1)) == found


def test_a_short_page_is_believed_only_if_it_comes_twice():
    """Rows that come one by one do not lower what a full page is taken for."""
    lies = [3, 2]

    def respond(server, query):
        page = server.page(query)
        if query.offset and lies:
            return Page(page.events[: lies.pop(0)], page.total)
        return page

    found = events(seconds(*range(12)))
    server = Server(found, respond=respond)
    assert server.read(0, 100 * SECOND, Limits(5, 1)) == found
    # Three pages of five, one of them twice more.
    assert len(server.asked) == 5
