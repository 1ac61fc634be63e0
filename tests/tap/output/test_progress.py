from __future__ import annotations

import logging

import pytest

from tap_akuity.output.progress import Progress
from tap_akuity.records.timestamps import parse

REACHED = parse("2025-11-21T16:26:40.5Z")


class Clock:
    """Shows what it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_long_sync_says_how_far_it_is(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress(1_000_000, logging.getLogger("x"), clock)
    clock.now += 10
    progress.advance(25_000, REACHED)
    assert caplog.messages == [
        "25000 of 1000000 records (2 %), 2500 per second, 0:06:30 left, reached "
        "2025-11-21T16:26:40Z"
    ]


def test_not_more_often_than_every_few_seconds(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress(10, logging.getLogger("x"), clock)
    for _ in range(100):
        clock.now += 0.25
        progress.advance(1, REACHED)
    assert len(caplog.messages) == 5


def test_a_short_sync_says_nothing(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress(10, logging.getLogger("x"), clock)
    clock.now += 4.9
    progress.advance(10, REACHED)
    assert caplog.messages == []


def test_the_log_level_governs(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    caplog.set_level(logging.WARNING)
    progress = Progress(0, logging.getLogger("x"), clock)
    clock.now += 60
    progress.advance(0, REACHED)
    assert caplog.messages == []


def test_nothing_yet_and_more_than_expected(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    progress = Progress(10, logging.getLogger("x"), clock)
    clock.now += 5
    progress.advance(0, REACHED)
    clock.now += 5
    progress.advance(20, REACHED)
    assert "unknown time left" in caplog.messages[0]
    assert "20 of 10 records (200 %), 2 per second, 0:00:00 left" in caplog.messages[1]
