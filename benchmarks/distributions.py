"""Named ways in which events spread over a range of time, for benchmarks and tests.

Pure: a name, a count and a range always give the same instants, on every machine and
in every version of Python.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from math import log2
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

GROWTH = 256
"""How much busier the end of an exponential growth is than its beginning."""

CROWDED = 50
"""Half of all events happen in this part of the time."""

EARLY = 20
"""A start date that is years early: all events are in this last part of the range."""

LARGEST_BURST = 512

_THURSDAY, _SATURDAY = 3, 5  # 1970-01-01 was a Thursday
_OFFICE, _AWAKE = range(9, 17), range(7, 21)


def instants(name: str, count: int, start: int, end: int) -> list[int]:
    """Spread events over a range of time.

    Args:
        name: One of `NAMES`.
        count: How many events.
        start: The first instant of the range, in nanoseconds since 1970.
        end: The instant after the range.

    Returns:
        So many instants, sorted, each `start <= instant < end`.

    Raises:
        KeyError: There is no distribution of this name.
    """
    spread = _DISTRIBUTIONS[name]
    # Seeded, and `random()` alone, which is the same in every version of Python.
    rng = Random(count)  # noqa: S311 - nothing secret
    return sorted(spread(rng.random, count, start, end))


def _even(_: Callable[[], float], count: int, start: int, end: int) -> list[int]:
    return [start + (2 * n + 1) * (end - start) // (2 * count) for n in range(count)]


def _office_hours(
    draw: Callable[[], float], count: int, start: int, end: int
) -> list[int]:
    """Quiet nights and weekends."""
    hours = range(start, end, HOUR)
    weights = list(accumulate(map(_busyness, hours)))
    moments = []
    for _ in range(count):
        hour = hours[bisect_left(weights, draw() * weights[-1])]
        moments.append(hour + int(draw() * min(HOUR, end - hour)))
    return moments


def _busyness(instant: int) -> int:
    weekend = (instant // DAY + _THURSDAY) % 7 >= _SATURDAY
    hour = instant % DAY // HOUR
    if hour in _OFFICE:
        return 4 if weekend else 100
    if hour in _AWAKE:
        return 2 if weekend else 25
    return 1


def _bursts(draw: Callable[[], float], count: int, start: int, end: int) -> list[int]:
    """Releases: up to 512 events within seconds, several of them at one instant."""
    moments: list[int] = []
    while len(moments) < count:
        at = start + int(draw() * (end - start))
        for _ in range(1 << int(draw() * LARGEST_BURST.bit_length())):
            moments.append(at)
            at = min(at + int(max(0.0, draw() - 0.3) * SECOND / 10), end - 1)
    return moments[:count]


def _growth(draw: Callable[[], float], count: int, start: int, end: int) -> list[int]:
    """Exponential growth: each eighth of the time twice as busy as the one before."""
    # The inverse of the distribution's cumulative function.
    parts = ((log2(1 + draw() * (GROWTH - 1)) / log2(GROWTH)) for _ in range(count))
    return [min(start + int(part * (end - start)), end - 1) for part in parts]


def _crowded(draw: Callable[[], float], count: int, start: int, end: int) -> list[int]:
    """Half of all events in a fiftieth of the time, the rest evenly."""
    span = end - start
    narrow = span // CROWDED
    begin = start + span * 3 // 5
    half = count // 2
    return [
        *(begin + int(draw() * narrow) for _ in range(half)),
        *(start + int(draw() * span) for _ in range(count - half)),
    ]


def _early_start(
    draw: Callable[[], float], count: int, start: int, end: int
) -> list[int]:
    """Nothing for years, then office hours."""
    return _office_hours(draw, count, end - -(-(end - start) // EARLY), end)


_DISTRIBUTIONS: dict[str, Callable[[Callable[[], float], int, int, int], list[int]]] = {
    "even": _even,
    "nights-and-weekends": _office_hours,
    "bursts": _bursts,
    "growth": _growth,
    "crowded": _crowded,
    "early-start": _early_start,
}

NAMES = tuple(_DISTRIBUTIONS)
