"""Where a range is divided, and what that costs."""

import pytest

from tap_akuity.api.query import Query
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.plan import CONFIRMATIONS, Piece, plan
from tap_akuity.reading.ranges import IncompleteError, Page, Range
from tap_akuity.reading.requests import Requests
from tap_akuity.reading.windows import Window, windows
from tap_akuity.text.timestamps import DAY, SECOND
from tests.helpers.server import Server, event, events, seconds

LIMITS = Limits(5, 4, max_events=20, slack=2)


def pieces(server, span, limits=LIMITS):
    with server.requests() as requests:
        whole = server.whole(*span, limits.page_size)
        found = list(plan(requests, whole, limits))
    assert found[0].range.start == span.start
    assert found[-1].range.end == span.end
    assert all(piece.first and piece.total == piece.first.total for piece in found)
    return found


def test_cuts_leave_each_window_as_many_full_pages():
    server = Server(events(seconds(*range(0, 2000, 10))))
    found = pieces(server, Range(0, 3000 * SECOND))
    assert {piece.total for piece in found[:-1]} == {LIMITS.goal} == {15}
    # A probe for each cut, and a first page for each piece.
    assert len(server.asked) <= 1 + 2 * len(found)


def test_a_second_is_not_cut_and_does_not_come_twice():
    server = Server(events([100 * SECOND + n for n in range(50)] + [103 * SECOND]))
    found = pieces(server, Range(0, 200 * SECOND))
    assert [piece.total for piece in found if piece.total] == [50, 1]


def test_what_lies_in_both_halves_is_not_cut():
    """As with a server that counts an event from its first to its last time."""

    def respond(server, query):
        return Page(server.events[query.offset :][: query.limit], len(server.events))

    lasting = [event(0, str(n), 30 * DAY) for n in range(50)]
    server = Server(lasting, respond=respond)
    (piece,) = pieces(server, Range(DAY, 29 * DAY))
    assert not piece.can_be_cut
    assert len(server.asked) < 10


def test_an_empty_page_is_not_believed_at_once():
    def respond(server, query):
        lies = query.limit == 5 and len(server.asked) % 3
        return Page([], 0) if lies else server.page(query)

    server = Server(events(seconds(*range(100))))
    whole = server.whole(0, 100 * SECOND, 5)
    server.respond = respond
    with server.requests() as requests:
        assert all(piece.total for piece in plan(requests, whole, LIMITS))


def test_a_total_without_a_row_is_not_believed():
    whole = Piece(Range(0, DAY), 10**9, Page([], 10**9))
    with Server([]).requests() as requests:
        assert list(plan(requests, whole, LIMITS)) == [whole]


class Recorded(Requests):
    """Records what was not begun before the request that precedes it was needed."""

    def __init__(self, server, concurrency):
        super().__init__(server.fetch, lambda _, page: page, concurrency)
        self.begun: list[set[Query]] = [set(), set()]
        self.late: list[Query] = []

    def begin(self, queries):
        queries = list(queries)
        self.begun[-1].update(queries)
        super().begin(queries)

    def get(self, query):
        self.late += [query] * (query not in self.begun[0])
        self.begun = [self.begun[0] | self.begun[1], set()]
        return super().get(query)


def test_what_the_plan_needs_next_is_begun_before_it_waits():
    server = Server(events(seconds(*range(0, 2000, 10))))
    whole = server.whole(0, 3000 * SECOND, LIMITS.page_size)
    with Recorded(server, LIMITS.concurrency) as requests:
        found = list(plan(requests, whole, LIMITS))
    # The first probe of each level, and the first page after it.
    assert len(requests.late) <= 3
    assert len(found) > 10


@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
@pytest.mark.parametrize("deepest", [10**9, 30, 12])
def test_nothing_that_was_begun_is_left(order, deepest):
    server = Server(events(seconds(*range(0, 2000, 10))), order=order, deepest=deepest)
    whole = server.whole(0, 3000 * SECOND, LIMITS.page_size)
    with Requests(server.fetch, lambda _, page: page, LIMITS.concurrency) as requests:
        read = list(windows(requests, whole, LIMITS, 3000 * SECOND))
        assert not requests._calls
        assert not requests._started
    assert sum(len(window.events) for window in read) == 200


def test_what_is_before_a_contradiction_is_read_first():
    """Pages of another range end the run, but not before its turn."""

    def respond(server, query):
        early = Page(server.events[:5], 200)
        return early if query.start > 1000 * SECOND else server.page(query)

    server = Server(events(seconds(*range(0, 2000, 10))))
    whole = server.whole(0, 1900 * SECOND, LIMITS.page_size)
    server.respond = respond
    read: list[Window] = []
    with (
        Requests(server.fetch, lambda _, page: page, LIMITS.concurrency) as requests,
        pytest.raises(IncompleteError, match="outside the requested range"),
    ):
        read.extend(windows(requests, whole, LIMITS, 1900 * SECOND))
    assert sum(len(window.events) for window in read) > 90


@pytest.mark.parametrize("expected", [1, 10])
def test_a_part_that_is_empty_instead_is_doubted_after_five_pages(expected):
    server = Server([])
    with server.requests() as requests:
        (piece,) = plan(requests, Piece(Range(0, DAY), expected), LIMITS)
    assert piece.is_doubtful
    assert len(server.asked) == CONFIRMATIONS == 5
