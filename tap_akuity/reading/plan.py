"""The plan: divides a range of time into pieces that can each be read at once.

The API pages by offset only, and for a large offset the server has to skip all rows
before it. So a range with many events is cut. Results are newest first: a probe at
offset k finds the moment with exactly k newer events, and a cut there is exact whatever
the distribution. A server that sorts differently, or rejects large offsets, only costs
more requests: the `totalCount` of a piece's first page shows how many events it really
holds, and a piece with too many is cut again.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from tap_akuity.api.errors import BadRequestError
from tap_akuity.api.query import Query
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.ranges import IncompleteError, Page, Range
from tap_akuity.reading.requests import Requests
from tap_akuity.text.timestamps import SECOND, parse

CONFIRMATIONS = 5
"""How often in a row the server has to say that it has fewer events than before."""


class Piece(NamedTuple):
    """A part of the range to read."""

    range: Range
    total: int
    """How many events it holds, as far as known; 0 if unknown."""

    first: Page | None = None
    """Its first page; the total is then what that says."""

    is_divisible: bool = True
    """Whether cutting it would leave fewer events in each part."""

    is_doubtful: bool = False
    """Whether the server has fewer events there than the plan found."""

    @property
    def can_be_cut(self) -> bool:
        """Whether it can be read in smaller parts."""
        return self.is_divisible and self.range.can_be_cut


def plan(requests: Requests, whole: Piece, limits: Limits) -> Iterator[Piece]:
    """Divide a range into pieces, in ascending order.

    Each is small enough to read, or cannot be cut, and has its first page.
    """
    stack = [whole]  # The earliest on top.
    depth = limits.concurrency
    while stack:
        if requests.deepest < limits.max_events:
            requests.drop(query for one in stack for query in _queries(one, limits))
            limits = limits.up_to(requests.deepest)
        near = stack[: -depth - 1 : -1]
        requests.begin(query for one in near for query in _queries(one, limits))
        # What is near is cut early, so that its first pages are requested ahead, too.
        if large := [one for one in near if _is_too_large(one, limits)]:
            place = stack.index(large[0])
            try:
                stack[place : place + 1] = _cut(requests, large[0], limits)[::-1]
            except IncompleteError:
                if large[0] is near[0]:
                    raise
                depth = 1  # What is before it can be read.
        elif near[0].first:
            yield stack.pop()
        else:
            stack[-1] = _with_first_page(requests, near[0], limits)


def _with_first_page(requests: Requests, piece: Piece, limits: Limits) -> Piece:
    """Get the first page of a piece; do not believe at once that it has too little."""
    (query,) = _queries(piece, limits)
    page = requests.get(query)
    for _ in range(CONFIRMATIONS - 1):
        if not _is_too_small(page, piece.total):
            break
        page = requests.get(query)
    is_doubtful = piece.is_doubtful or _is_too_small(page, piece.total)
    return piece._replace(total=page.total, first=page, is_doubtful=is_doubtful)


def _queries(piece: Piece, limits: Limits) -> list[Query]:
    """Return what the plan requests next for a piece: probes, or its first page."""
    if _is_too_large(piece, limits):
        ranks = [] if _is_ascending(piece) else _ranks(piece, limits)
        return [piece.range.query(piece.total - rank - 1, 1) for rank in ranks]
    return [] if piece.first else [piece.range.query(0, limits.page_size)]


def _ranks(piece: Piece, limits: Limits) -> list[int]:
    """Return how many of the oldest events shall lie before each cut."""
    if piece.first:
        limits = limits.suited_to(piece.first.events)
    windows = -(-piece.total // limits.goal)
    ways = max(2, min(limits.concurrency + 1, windows))
    return [windows * way // ways * limits.goal for way in range(1, ways)]


def _is_ascending(piece: Piece) -> bool:
    """Return whether the oldest events come first."""
    events = piece.first.events if piece.first else []
    return bool(events) and events[0].timestamp < events[-1].timestamp


def _is_too_large(piece: Piece, limits: Limits) -> bool:
    if not piece.can_be_cut:
        return False
    if piece.first is None:
        return piece.total > limits.max_events
    # Without a row, the total is not believed.
    own = limits.suited_to(piece.first.events)
    return bool(piece.first.events) and piece.total > own.max_events


def _is_too_small(page: Page, expected: int) -> bool:
    """Return whether a page contradicts the plan.

    A piece may well have a little less than expected, as it is cut at whole seconds.
    """
    return expected > 0 and (not page.rows or 2 * page.total < expected)


def _cut(requests: Requests, piece: Piece, limits: Limits) -> list[Piece]:
    """Divide a piece at moments that are probed, in ascending order."""
    probes = _queries(piece, limits)
    moments: list[int] = []
    for probe in probes:
        page = _probed(requests, probe)
        if page is None:
            break
        if not page.events:
            requests.drop(probes)
            # Events disappeared in the meantime.
            return [piece._replace(total=page.total, first=None)]
        moments.append(parse(page.events[0].timestamp))
    if probes and len(moments) == len(probes) and _in_order(moments, piece.range):
        ranks = [piece.total - probe.offset - 1 for probe in probes]
        cuts = dict(zip(moments[::-1], ranks[::-1], strict=True))
        return _pieces(piece, cuts, piece.total)
    # The server rejects the offset, or sorts differently.
    requests.drop(probes)
    return _halves(requests, piece, limits)


def _probed(requests: Requests, probe: Query) -> Page | None:
    """Return the event at an offset; None if the server does not tell."""
    for _ in range(CONFIRMATIONS):
        try:
            page = requests.get(probe)
        except BadRequestError:
            return None
        if page.events:
            return page
        if page.total > probe.offset:
            return None
    return page


def _in_order(moments: list[int], span: Range) -> bool:
    early, late = span.start - 2 * SECOND, span.end + SECOND
    return moments == sorted(moments) and early <= moments[0] <= moments[-1] <= late


def _halves(requests: Requests, piece: Piece, limits: Limits) -> list[Piece]:
    """Cut a piece in the middle, unless most of its events lie in both halves.

    That is so where the server returns an event for all of the time between its first
    and its last occurrence.
    """
    halves = _pieces(piece, {sum(piece.range) // 2: 0}, 0)
    queries = [half.range.query(0, limits.page_size) for half in halves]
    requests.begin(queries)
    pages = [requests.get(query) for query in queries]
    total = sum(page.total for page in pages)
    if total < piece.total:  # Not to be believed at once.
        return [half._replace(total=1) for half in halves]
    if piece.first and 2 * total > 3 * piece.total:
        return [piece._replace(is_divisible=False)]
    return [
        half._replace(total=page.total, first=page)
        for half, page in zip(halves, pages, strict=True)
    ]


def _pieces(whole: Piece, cuts: dict[int, int], total: int) -> list[Piece]:
    """Cut a piece into at least two, in ascending order, at whole seconds.

    For each moment to cut at, `cuts` holds the most events that are before it. The
    total is 0 if not known.
    """
    span = whole.range
    first, last = span.start // SECOND + 2, -(-span.end // SECOND) - 1
    ranks: dict[int, int] = {}
    for moment, rank in sorted(cuts.items()):
        ranks.setdefault(min(max(moment // SECOND, first), last) * SECOND, rank)
    edges = [(span.start, 0), *ranks.items(), (span.end, total)]
    return [
        Piece(Range(start, end), later - earlier, is_doubtful=whole.is_doubtful)
        for (start, earlier), (end, later) in pairwise(edges)
    ]
