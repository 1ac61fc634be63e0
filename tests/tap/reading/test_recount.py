"""What the counts of days tell, without HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_akuity.reading.asks import Range
from tap_akuity.reading.executor import Executor
from tap_akuity.reading.limits import Limits
from tap_akuity.reading.recount import Day, Recount, understood
from tap_akuity.reading.windows import Window, windows
from tap_akuity.records.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.server import Server, event, events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_akuity.reading.executor import Task
    from tap_akuity.records.event import Event

DAY_0 = parse("2026-03-01T00:00:00Z")
HOUR = 3600 * SECOND
LOOKBACK = 300 * SECOND


class Pipeline:
    """Runs as the stream does, and keeps what it keeps."""

    def __init__(self, server: Server, limits: Limits | None = None) -> None:
        self.server = server
        self.limits = limits or Limits(5, 2)
        self.kept: dict[str, Any] = {}
        self.start = DAY_0 - DAY
        self.grown: list[Day] = []
        self.loaded: set[str] = set()

    def run(self, now: int, *, recounts: bool = False) -> None:
        recount = Recount(
            self.kept, "all", Range(self.start, now), bound=DAY_0 - DAY, days=7
        )
        if recounts:
            self.grown = self.ask(recount)
            for day in self.grown:
                span = Range(day.range.start, min(day.range.end, self.start))
                self.take(self.read(span))
                recount.accept(day)
            recount.finish()
        for window in self.read(Range(self.start, now)):
            self.take([window])
            if window.reached:
                self.start = max(self.start, parse(window.reached) - LOOKBACK)
            recount.add(window, self.start)
            self.kept = recount.keep()

    def ask(self, recount: Recount) -> list[Day]:
        with Executor(self.server.fetch, 2) as executor:
            task: Task[None, list[Day]] = executor.start(
                recount.ask(self.limits.page_size)
            )
            while not task.done:
                executor.wait()
        return task.result()

    def read(self, span: Range) -> Iterable[Window]:
        whole = self.server.whole(*span, self.limits.page_size)
        return windows(self.server.fetch, whole, self.limits)

    def take(self, read: Iterable[Window]) -> None:
        for window in read:
            self.loaded.update(one.id for one in window.events)

    @property
    def counts(self) -> dict[str, int]:
        (kept,) = understood(self.kept).values()
        return {day: n for day, n in (kept.loaded | kept.counted).items() if n}


def hourly(days: int) -> list[Event]:
    return events(DAY_0 + hour * HOUR for hour in range(24 * days))


def test_every_window_is_counted_once_however_it_is_cut() -> None:
    for page_size in (1, 7, 500):
        limits = Limits(page_size, 2, max_events=20, slack=2)
        pipeline = Pipeline(Server(hourly(3)), limits)
        pipeline.run(DAY_0 + 3 * DAY)
        assert pipeline.counts == {"2026-03-01": 24, "2026-03-02": 24, "2026-03-03": 23}


def test_a_day_of_more_events_than_a_window_holds_is_read_again() -> None:
    server = Server(events(range(DAY_0, DAY_0 + DAY, DAY // 300)))
    pipeline = Pipeline(server, Limits(10, 2, max_events=40, slack=2))
    pipeline.run(DAY_0 + DAY)
    server.events.append(event(DAY_0 + 5, "late"))
    pipeline.run(DAY_0 + DAY + HOUR, recounts=True)
    assert len(pipeline.grown) == 1
    assert "late" in pipeline.loaded


@pytest.mark.parametrize("order", ["newest", "oldest", "random"])
def test_more_comes_while_days_are_counted_and_read(order: str) -> None:
    server = Server(hourly(2), order=order)
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + 2 * DAY)
    names = iter(range(10**6))

    def arrive(_server: Server, _query: object) -> None:
        number = next(names)
        server.events.append(event(DAY_0 + number * SECOND, f"late {number}"))

    server.before = arrive
    for day in range(2, 5):
        pipeline.run(DAY_0 + day * DAY + HOUR, recounts=True)
    server.before = lambda _server, _query: None
    pipeline.run(DAY_0 + 5 * DAY + HOUR, recounts=True)
    assert len(pipeline.loaded) == len(server.events) > 60
    pipeline.run(DAY_0 + 6 * DAY + HOUR, recounts=True)
    assert not pipeline.grown


def test_identical_rows_are_read_again_once() -> None:
    server = Server(hourly(2))
    server.events.append(server.events[3])
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + 2 * DAY)
    pipeline.run(DAY_0 + 2 * DAY + HOUR, recounts=True)
    assert [day.total for day in pipeline.grown] == [25]
    for day in range(3, 6):
        pipeline.run(DAY_0 + day * DAY + HOUR, recounts=True)
        assert not pipeline.grown


@pytest.mark.parametrize("cap", [1, 3, 10**9])
def test_a_full_second_on_either_side_is_not_taken_for_late(cap: int) -> None:
    instants = [
        DAY_0 + day * DAY + offset * SECOND // 10
        for day in range(4)
        for offset in (*range(9), *range(-9, 0))
    ]
    server = Server(
        events(instants), end_inclusive=True, unit=SECOND, cap=cap, shuffle=True
    )
    pipeline = Pipeline(server, Limits(50, 2))
    pipeline.run(DAY_0 + 2 * DAY + HOUR)
    pipeline.run(DAY_0 + 3 * DAY + HOUR, recounts=True)
    assert bool(pipeline.grown) is (cap < 9)
    pipeline.run(DAY_0 + 4 * DAY + HOUR, recounts=True)
    pipeline.run(DAY_0 + 5 * DAY + HOUR, recounts=True)
    assert not pipeline.grown


def test_grown_events_of_a_server_that_goes_by_the_last_time() -> None:
    server = Server(hourly(3), last=True)
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + DAY + HOUR)
    # It happened again, and counts as one of the second day from then on.
    server.events[5] = event(DAY_0 + 5 * HOUR, "5", DAY_0 + DAY + 2 * HOUR)
    pipeline.run(DAY_0 + DAY + 12 * HOUR)
    pipeline.run(DAY_0 + 2 * DAY + HOUR, recounts=True)
    assert not pipeline.grown
    pipeline.run(DAY_0 + 3 * DAY + HOUR, recounts=True)
    assert not pipeline.grown


def test_a_range_that_is_read_once_more_is_not_counted() -> None:
    span = Range(DAY_0, DAY_0 + DAY)
    recount = Recount({}, "all", span, bound=DAY_0, days=7)
    one = Window(span, [], "", set(), [to_text(DAY_0)])
    recount.add(one, DAY_0 + HOUR)
    assert recount.keep()
    recount.add(one, DAY_0 + HOUR)
    assert recount.keep() == {}


@pytest.mark.parametrize(
    "until", ["2026-03-01T23:00:00Z", "2026-03-01T23:00:02Z", "2020-01-01"]
)
def test_a_bookmark_that_was_moved_begins_anew(until: str) -> None:
    server = Server(hourly(1))
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + DAY)
    (kept,) = pipeline.kept.values()
    span = Range(pipeline.start, DAY_0 + DAY)
    assert not Recount(pipeline.kept, "all", span, bound=0, days=7).is_new
    moved = {name: kept | {"until": until} for name in pipeline.kept}
    assert Recount(moved, "all", span, bound=0, days=7).is_new
    assert Recount(pipeline.kept, "other", span, bound=0, days=7).is_new


def test_a_failed_count_ends_the_run() -> None:
    server = Server(hourly(2))
    pipeline = Pipeline(server)
    pipeline.run(DAY_0 + 2 * DAY)

    def fail(_server: Server, query: Any) -> None:
        if query.limit == 1 and query.start > DAY_0:
            msg = "no"
            raise RuntimeError(msg)

    server.before = fail
    with pytest.raises(RuntimeError, match="no"):
        pipeline.run(DAY_0 + 3 * DAY, recounts=True)


@pytest.mark.parametrize(
    "kept",
    [
        [],
        {"x": {}},
        {"x": {"until": "soon"}},
        {"x": {"until": 5}},
        {"x": {"until": "2026-03-01", "loaded": {"then": 1}}},
        {"x": {"until": "2026-03-01", "loaded": {"2026-03-01": -1}}},
        {"x": {"until": "2026-03-01", "counted": {"2026-03-01": "1"}}},
    ],
)
def test_what_is_malformed_is_refused(kept: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        understood(kept)
