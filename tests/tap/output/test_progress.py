import logging

import pytest

from tap_akuity.output.progress import Progress
from tap_akuity.reading.ranges import Range
from tap_akuity.reading.windows import Window
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.server import events

SPAN = Range(0, DAY + SECOND)
REACHED = parse("2025-11-21T16:26:40.5Z")


def window(count, *, again=False):
    found = events(range(REACHED - count, REACHED))
    return Window(Range(0, REACHED), found, "", set(), [], again=again)


def progress_of(total, *windows, is_shard=False):
    """Emit windows, each of so many events after so many seconds."""
    now = 100.0
    progress = Progress(logging.getLogger("x"), lambda: now)
    if total is not None:
        progress.begin(SPAN, total, is_shard=is_shard)
    for seconds, one in windows:
        now += seconds
        progress.advance(one if isinstance(one, Window) else window(one))
    return progress


@pytest.mark.parametrize(
    ("total", "windows", "messages"),
    [
        (1_000_000, [(10, 25_000)], ["2 % of 1,000,000, 6 m left"]),
        (10, [(10, 5), (10, 5)], ["50 % of 10, 10 s left", "100 % of 10, 0 s left"]),
        (2, [(59, 1)], ["50 % of 2, 59 s left"]),
        (2, [(60, 1)], ["50 % of 2, 1 m left"]),
        (2, [(3_600, 1)], ["50 % of 2, 1.0 h left"]),
        (1, [(5, 0), (5, 2)], ["0 % of 1, unknown time left", "200 % of 1, 0 s left"]),
        (0, [(5, 0)], ["0 % of 0, unknown time left"]),
        (10, [(0, window(50, again=True)), (5, 4)], ["40 % of 10, 8 s left"]),
        (10, [(4.9, 10)], []),
        (10, [(4.9, 1), (4.9, 4), (4.9, 5)], ["50 % of 10, 10 s left"]),
    ],
)
def test_a_long_sync_says_how_far_it_is(total, windows, messages, caplog):
    caplog.set_level(logging.INFO)
    progress_of(total, *windows)
    progress_of(total, *windows, is_shard=True)
    first = "Reading events from 1970-01-01T00:00:00Z to 1970-01-02T00:00:01Z."
    shard = "1970-01-01 to 1970-01-02T00:00:01Z: "
    assert caplog.messages == [first, *messages, first, *(shard + m for m in messages)]


def test_the_figures_of_a_sync_add_up():
    windows = [(1, 3), (2, window(50, again=True)), (0, window(9, again=True)), (0, 0)]
    progress = progress_of(7, *windows, (2.2504, 4))
    progress.emitted += 5
    assert progress.figures() == {
        "since": "1970-01-01T00:00:00Z",
        "until": "1970-01-02T00:00:01Z",
        "counted": 7,
        "read": 66,
        "read_again": 59,
        "emitted": 5,
        "first": to_text(REACHED - 3),
        "last": to_text(REACHED - 1),
        "windows": 5,
        "seconds": 5.25,
    }
    figures = Progress(logging.getLogger("x")).figures()
    assert figures | {"seconds": 0} == dict.fromkeys(figures, 0) | {
        "since": "",
        "until": "",
        "first": "",
        "last": "",
    }
