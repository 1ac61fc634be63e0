"""The plan: divides a range of time into pieces that can each be read at once.

The API pages by offset only, and for a large offset the server has to skip all rows
before it. So a range with many events is cut. Results are newest first: a probe at
offset k finds the moment with exactly k newer events, and a cut there is exact whatever
the distribution. A server that sorts differently, or rejects large offsets, only costs
more requests: the `totalCount` of a piece's first page shows how many events it really
holds, and a piece with too many is cut again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from tap_akuity.reading.ranges import (
    MARGIN,
    WIDE_MARGIN,
    Found,
    Nothing,
    Page,
    Range,
    leading,
)
from tap_akuity.text.timestamps import SECOND

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TypeAlias

    from tap_akuity.reading.limits import Limits
    from tap_akuity.reading.ranges import Ask, Outcome


class Piece(NamedTuple):
    """A part of the range to read."""

    range: Range
    total: int
    """How many events it holds, as far as known; 0 if unknown."""

    first: Page | None = None
    """Its first page; the total is then what that says."""


Planning: TypeAlias = "Generator[list[Ask] | Piece, list[Outcome], int]"


def plan(whole: Piece, limits: Limits, margin: int = MARGIN) -> Planning:
    """Divide a range into pieces, in ascending order.

    Args:
        whole: The range, with its first page.
        limits: How much a piece may hold, and how many requests to make at a time.
        margin: See `MARGIN`.

    Yields:
        Queries, to be resumed with the outcomes in the same order; or a piece that is
        small enough to read, or cannot be cut, with its first page.

    Returns:
        How many events the pieces hold, by their first pages.
    """
    held = 0
    stack = [whole]  # The earliest on top.
    while stack:
        piece = stack.pop()
        if _is_too_large(piece, limits):
            stack += (yield from _cut(piece, limits, margin))[::-1]
        elif piece.first:
            held += piece.first.total
            yield piece
        else:
            batch = [piece]
            while (
                stack
                and len(batch) < limits.concurrency
                and not stack[-1].first
                and not _is_too_large(stack[-1], limits)
            ):
                batch.append(stack.pop())
            outcomes = yield [
                one.range.query(0, limits.page_size, margin) for one in batch
            ]
            pages = leading(outcomes, Page)
            # A failed query is repeated when its piece is next.
            stack += batch[len(pages) :][::-1]
            begun = [
                Piece(one.range, page.total, page)
                for one, page in zip(batch, pages, strict=False)
            ]
            # Pages of pieces that are to be cut could pile up, level by level.
            stack += [
                one._replace(first=None) if _is_too_large(one, limits) else one
                for one in begun[:0:-1]
            ]
            stack.append(begun[0])
    return held


def _is_too_large(piece: Piece, limits: Limits) -> bool:
    if not piece.range.can_be_cut:
        return False
    if piece.first is None:
        return piece.total > limits.max_events
    # Without a row, the total is not believed.
    own = limits.suited_to(piece.first.events)
    return bool(piece.first.events) and piece.total > own.max_events


def _cut(
    piece: Piece, limits: Limits, margin: int
) -> Generator[list[Ask], list[Outcome], list[Piece]]:
    """Divide a piece at moments that are probed, in ascending order."""
    span, total, first = piece
    goal = (limits.suited_to(first.events) if first else limits).goal
    windows = -(-total // goal)
    ways = max(2, min(limits.concurrency + 1, windows))
    step = -(-windows // ways) * goal
    # How many of the oldest events shall lie before each cut.
    ranks = range(step, total, step)
    outcomes = yield [span.probe(total - rank - 1, margin) for rank in ranks]
    moments: list[int] = []
    for rank, outcome in zip(ranks, outcomes, strict=True):
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, Nothing) and outcome.total < total - rank:
            return [Piece(span, outcome.total)]  # Events disappeared in the meantime.
        if isinstance(outcome, Found):
            moments.append(outcome.instant)
    if len(moments) < len(ranks) or not _in_order(moments, span):
        # The server rejects the offset, or sorts differently.
        return _pieces(span, {(span.start + span.end) // 2: 0}, 0)
    return _pieces(span, dict(zip(moments[::-1], ranks[::-1], strict=True)), total)


def _in_order(moments: list[int], span: Range) -> bool:
    early, late = span.start - WIDE_MARGIN, span.end + SECOND
    return moments == sorted(moments) and early <= moments[0] <= moments[-1] <= late


def _pieces(span: Range, cuts: dict[int, int], total: int) -> list[Piece]:
    """Cut a range.

    Args:
        span: A range that can be cut.
        cuts: For each moment to cut at, the most events that are before it.
        total: How many events the range holds; 0 if not known.

    Returns:
        At least two pieces, cut at the whole second of each moment, in ascending order.
    """
    first, last = span.start // SECOND + 1, -(-span.end // SECOND) - 1
    ranks: dict[int, int] = {}
    for moment, rank in sorted(cuts.items()):
        ranks.setdefault(min(max(moment // SECOND, first), last) * SECOND, rank)
    edges = [(span.start, 0), *ranks.items(), (span.end, total)]
    return [
        Piece(Range(start, end), later - earlier)
        for (start, earlier), (end, later) in pairwise(edges)
    ]
