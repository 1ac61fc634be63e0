from __future__ import annotations

import logging

import pytest
from singer_sdk.logging import DEFAULT_FORMAT

from tap_akuity.output.progress import Progress
from tap_akuity.reading.asks import Range
from tap_akuity.reading.windows import Window
from tap_akuity.records.timestamps import parse, to_text
from tests.helpers.server import events

REACHED = parse("2025-11-21T16:26:40.5Z")


class Clock:
    """Shows what it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(clock: Clock, total: int) -> Progress:
    progress = Progress(logging.getLogger("x"), clock)
    progress.total = total
    return progress


def window(count: int, *, again: bool = False) -> Window:
    found = events(range(REACHED - count, REACHED))
    return Window(Range(0, REACHED), found, "", set(), [], again=again)


def test_a_long_sync_says_how_far_it_is(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 1_000_000)
    clock.now += 10
    progress.advance(window(25_000))
    assert caplog.messages == ["2 % of 1,000,000, 6 m left"]


@pytest.mark.parametrize("seconds", [5, 1_000, 15_000])
def test_tens_of_millions_of_records_fit_into_100_columns(
    caplog: pytest.LogCaptureFixture, clock: Clock, seconds: int
) -> None:
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("tap-akuity.audit_logs")
    progress = Progress(logger, clock)
    progress.total = 99_999_999
    many = window(33_000)
    for _ in range(999):
        progress.advance(many)
    clock.now += seconds
    progress.advance(many)
    (record,) = caplog.records
    line = logging.Formatter(DEFAULT_FORMAT, style="{").format(record)
    assert len(line) <= 100


@pytest.mark.parametrize(
    ("seconds", "left"),
    [(5, "5 s left"), (150, "2 m left"), (7_200, "2.0 h left")],
)
def test_how_long_is_left(
    caplog: pytest.LogCaptureFixture, clock: Clock, seconds: int, left: str
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 2_000)
    clock.now += seconds
    progress.advance(window(1_000))
    assert caplog.messages == [f"50 % of 2,000, {left}"]


@pytest.mark.parametrize(("seconds", "left"), [(60, "1 m"), (3_600, "1.0 h")])
def test_whole_minutes_and_hours(
    caplog: pytest.LogCaptureFixture, clock: Clock, seconds: int, left: str
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 2 * seconds)
    clock.now += seconds
    progress.advance(window(seconds))
    assert caplog.messages == [f"50 % of {2 * seconds:,}, {left} left"]


def test_what_was_emitted_adds_up(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 10)
    for _ in range(2):
        clock.now += 10
        progress.advance(window(5))
    assert caplog.messages == ["50 % of 10, 10 s left", "100 % of 10, 0 s left"]


def test_one_record_is_all_of_one(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 1)
    clock.now += 10
    progress.advance(window(1))
    assert caplog.messages == ["100 % of 1, 0 s left"]


def test_not_more_often_than_every_few_seconds(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 10)
    for _ in range(100):
        clock.now += 0.25
        progress.advance(window(1))
    assert len(caplog.messages) == 5


def test_a_short_sync_says_nothing(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 10)
    clock.now += 4.9
    progress.advance(window(10))
    assert caplog.messages == []


def test_the_log_level_governs(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    caplog.set_level(logging.WARNING)
    progress = begun(clock, 0)
    clock.now += 60
    progress.advance(window(0))
    assert caplog.messages == []


def test_nothing_yet_and_more_than_expected(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 10)
    clock.now += 5
    progress.advance(window(0))
    clock.now += 5
    progress.advance(window(20))
    assert "0 % of 10, unknown time left" in caplog.messages[0]
    assert "200 % of 10, 0 s left" in caplog.messages[1]


def test_what_is_read_again_is_not_what_is_new(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = begun(clock, 10)
    progress.advance(window(50, again=True))
    clock.now += 5
    progress.advance(window(4))
    assert "40 % of 10, " in caplog.messages[0]
    assert progress.figures() == {
        "counted": 10,
        "emitted": 54,
        "read_again": 50,
        "first": to_text(REACHED - 50),
        "last": to_text(REACHED - 1),
        "windows": 2,
        "seconds": 5.0,
    }
