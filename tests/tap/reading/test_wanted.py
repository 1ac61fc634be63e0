"""What a window keeps of what came for it."""

from __future__ import annotations

import pytest

from tap_akuity.reading.asks import MARGIN, WIDE_MARGIN, Range
from tap_akuity.reading.windows import wanted
from tap_akuity.records.timestamps import SECOND
from tests.helpers.server import event

SPAN = Range(10 * SECOND + 5, 20 * SECOND)
SPAN_START = SPAN.start // SECOND * SECOND


@pytest.mark.parametrize(
    ("instant", "last", "first", "kept"),
    [
        (SPAN.start, None, True, True),
        (SPAN.end - 1, None, True, True),
        # Just before the first range nothing is wanted, …
        (SPAN.start - 1, None, True, False),
        (SPAN_START - 1, None, True, False),
        (9 * SECOND, None, True, False),
        # … but what the server gives for another reason is.
        (9 * SECOND - 1, None, True, True),
        (SPAN.start - 1, SPAN.start - 1, True, False),
        (SPAN.start - 1, SPAN.start, True, True),
        # Before another one, what the window before has is told by its id.
        (SPAN.start - 1, None, False, True),
        # At its end lies what the next window has, or nobody wants.
        (SPAN.end, None, True, False),
        (SPAN.end, SPAN.end, False, False),
        (SPAN.end + SECOND - 1, None, True, False),
        (SPAN.end + SECOND, None, True, True),
    ],
)
def test_what_is_kept(
    instant: int,
    last: int | None,
    first: bool,  # noqa: FBT001
    kept: bool,  # noqa: FBT001
) -> None:
    one = event(instant, "one", last)
    assert wanted([one], SPAN, first=first) == ([one] if kept else [])


@pytest.mark.parametrize(("margin", "early"), [(MARGIN, 9), (WIDE_MARGIN, 8)])
def test_a_wide_margin_reaches_further_before(margin: int, early: int) -> None:
    before = [event(early * SECOND - 1, "far"), event(early * SECOND, "near")]
    assert wanted(before, SPAN, first=True, margin=margin) == before[:1]


def test_the_order_stays() -> None:
    kept = [event(at * SECOND, str(at)) for at in (1, 2, 11, 12, 22, 23)]
    some = [event(10 * SECOND, "left out"), event(20 * SECOND, "likewise")]
    found = sorted([*kept, *some], key=lambda one: one.timestamp)
    assert wanted(found, SPAN, first=True) == kept
