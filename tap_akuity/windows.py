"""Reading a time range as windows of events, in ascending order.

Knows neither HTTP nor Singer: pages come from a function.

Nobody outside Akuity can tell whether the ends of a range are inclusive, or whether
the server looks at fractions of a second. So a little more is asked for than is
wanted, and what was not wanted is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tap_akuity.timestamps import MILLISECOND, SECOND, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from tap_akuity.records import Event

MARGIN = MILLISECOND
"""How much before a whole second a range is asked for.

It makes an exclusive start as good as an inclusive one, also for a server that drops
fractions of a second: that one sees the second before.
"""


class Page(NamedTuple):
    """What one request brings."""

    events: list[Event]
    total: int
    """How many events the asked range holds, before limit and offset."""


Fetch: TypeAlias = "Callable[[int, int, int, int], Page]"
"""Fetches a page: start, end (nanoseconds since the Unix epoch), offset, limit."""


class Window(NamedTuple):
    """A part of the range that was read completely."""

    start: int
    end: int
    """Exclusive; both in nanoseconds since the Unix epoch."""

    events: list[Event]
    """In ascending order, each once."""


def read(
    fetch: Fetch, start: int, end: int, *, page_size: int, first: Page | None = None
) -> Iterator[Window]:
    """Read a range.

    Args:
        fetch: Fetches a page.
        start: The first instant of the range, nanoseconds since the Unix epoch.
        end: The first instant after the range.
        page_size: How many events to ask for at a time.
        first: The first page of `asked_range(start, end)`, if it is there already.

    Yields:
        Windows in ascending order that together are the range.
    """
    if start >= end:
        return
    asked_start, asked_end = asked_range(start, end)
    events: dict[str, Event] = {}
    received = 0
    while True:
        page = first or fetch(asked_start, asked_end, received, page_size)
        first = None
        received += len(page.events)
        events.update((event.id, event) for event in page.events)
        # A server may cap the limit, so that a short page alone does not tell the end,
        # and neither does its count alone.
        full = len(page.events) >= page_size
        if not page.events or (received >= page.total and not full):
            break
    wanted = [event for event in events.values() if belongs(event, start, end)]
    yield Window(start, end, sorted(wanted, key=lambda event: event.timestamp))


def asked_range(start: int, end: int) -> tuple[int, int]:
    """Widen a range to what is asked of the server: see `MARGIN`.

    Args:
        start: The first instant that is wanted.
        end: The first instant that is not wanted any more.

    Returns:
        Start a `MARGIN` before a whole second, end at a whole second.
    """
    return start // SECOND * SECOND - MARGIN, -(-end // SECOND) * SECOND


def belongs(event: Event, start: int, end: int) -> bool:
    """Tell whether an event that the server gave for a range is wanted.

    The server may filter on the last occurrence, so that an event outside the range is
    none too many. Only what came because more was asked for than wanted, or because an
    end was inclusive, is not wanted.

    Args:
        event: An event that the server gave for `asked_range(start, end)`.
        start: The first instant that is wanted.
        end: The first instant that is not wanted any more.

    Returns:
        Whether to keep it.
    """
    asked_start, asked_end = asked_range(start, end)
    if event.timestamp < to_text(start):
        came_early = event.timestamp >= to_text(asked_start // SECOND * SECOND)
        return not came_early or (event.last_occurred or "") >= to_text(start)
    if event.timestamp >= to_text(end):
        return event.timestamp >= to_text(asked_end + SECOND)
    return True
