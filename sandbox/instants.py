"""When events happen: sorted instants, distributed over a range of time.

Uses only `random()` and exact arithmetic, so that a seed gives the same result
everywhere.
"""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from math import log2
from random import Random
from typing import Literal, get_args

from sandbox.timestamps import DAY, HOUR, MINUTE, SECOND

Shape = Literal[
    "even", "nights-and-weekends", "bursts", "growth", "crowded", "early-start"
]
Distribution = Literal["organization", "clustered", Shape]
SHAPES: tuple[Shape, ...] = get_args(Shape)

RELEASES = 0.008  # a release creates up to 512 records
PAIRS = 0.03  # one request that creates two records at the same nanosecond
TIES = 0.3  # of the records in a burst
RECENT = 0.8  # of the bursts
LARGEST_BURST = 50_000
LARGEST_RELEASE = 512
GROWTH = 256  # how many times busier the end is than the beginning
CROWDED = 50  # half of all events happen in one CROWDED-th of the time
EARLY = 20  # all events happen in the last EARLY-th of the time

# Fraction digits of a timestamp: mostly the microseconds of a database.
DIGITS = (6, 6, 6, 6, 6, 6, 6, 6, 6, 9, 9, 9, 3, 3, 0, 1, 2, 4, 5, 7, 8)
MICROSECOND, MILLISECOND = 1000, 1_000_000
# How busy each hour of a day is.
WORKDAY = 7 * (1,) + 2 * (25,) + 8 * (100,) + 4 * (25,) + 3 * (1,)
WEEKEND = 7 * (1,) + 2 * (2,) + 8 * (4,) + 4 * (2,) + 3 * (1,)
THURSDAY, SATURDAY = 3, 5


def instants(
    distribution: Distribution, records: int, rng: Random, start: int, end: int
) -> list[int]:
    """Return `records` sorted instants, `start` <= instant < `end`."""
    return sorted(_SPREADS[distribution](records, rng, start, end))


def _even(records: int, _: Random, start: int, end: int) -> list[int]:
    span = end - start
    return [start + (2 * n + 1) * span // (2 * records) for n in range(records)]


def _office_hours(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Quiet nights and weekends."""
    pick = _weighted_hours(rng, start, end)
    return [pick() for _ in range(records)]


def _early_start(records: int, rng: Random, start: int, end: int) -> list[int]:
    """No events for years, then office hours."""
    return _office_hours(records, rng, end - -(-(end - start) // EARLY), end)


def _bursts(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Releases: many events within seconds, several of them at one instant."""
    moments: list[int] = []
    while len(moments) < records:
        at = start + int(rng.random() * (end - start))
        size = 1 << int(rng.random() * LARGEST_RELEASE.bit_length())
        burst = _burst(rng, at, size, 70 * MILLISECOND)
        moments += [min(moment, end - 1) for moment in burst]
    return moments[:records]


def _growth(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Exponential growth: each eighth of the time is twice as busy as the last."""
    # The inverse of the distribution's cumulative function.
    parts = (log2(1 + rng.random() * (GROWTH - 1)) for _ in range(records))
    span = (end - start) / log2(GROWTH)
    return [min(start + int(part * span), end - 1) for part in parts]


def _crowded(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Half of all events in a small part of the time, the rest evenly."""
    span = end - start
    begin, narrow, half = start + span * 3 // 5, span // CROWDED, records // 2
    return [
        *(begin + int(rng.random() * narrow) for _ in range(half)),
        *(start + int(rng.random() * span) for _ in range(records - half)),
    ]


def _organization(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Working days, quiet nights and weekends, and an occasional busy release."""
    pick = _weighted_hours(rng, start, end)
    moments: list[int] = []
    while len(moments) < records:
        at = pick()
        chance = rng.random()
        if chance < RELEASES:
            burst = _burst(rng, at, 4 << int(rng.random() * 8), 40 * MILLISECOND)
        elif chance < PAIRS:
            burst = [at, at]
        else:
            burst = [at]
        unit = 10 ** (9 - DIGITS[int(rng.random() * len(DIGITS))])
        moments += [max(start, at - at % unit) for at in burst if at < end]
    return moments[:records]


def _clustered(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Long silence, a little recent office work, and bursts at night."""
    moments = [start + int(rng.random() * (end - start)) for _ in range(records // 100)]
    lately = max(start, end - 90 * DAY)
    moments += _organization(records // 20, rng, lately, end)
    missing = records - len(moments)
    size, width = min(LARGEST_BURST, max(1, missing // 2)), SECOND
    while missing:
        size = min(size, missing)
        first = lately if rng.random() < RECENT else start
        days = (end - first) // DAY
        night = (end // DAY - 1 - int(rng.random() * days)) * DAY + 2 * HOUR
        begin = night + int(rng.random() * 3600) * SECOND
        burst = _burst(rng, begin, size, 2 * width // size)
        moments += [max(start, at - at % MICROSECOND) for at in burst]
        missing -= size
        size = LARGEST_BURST >> int(rng.random() * 12)
        width = (SECOND, SECOND, MINUTE, HOUR)[int(rng.random() * 4)]
    return moments


def _weighted_hours(rng: Random, start: int, end: int) -> Callable[[], int]:
    hours = range(start, end, HOUR)
    weights = list(accumulate(_busyness(hour) for hour in hours))

    def pick() -> int:
        hour = hours[bisect_right(weights, int(rng.random() * weights[-1]))]
        return min(hour + int(rng.random() * HOUR), end - 1)

    return pick


def _busyness(instant: int) -> int:
    is_weekend = (instant // DAY + THURSDAY) % 7 >= SATURDAY
    return (WEEKEND if is_weekend else WORKDAY)[instant % DAY // HOUR]


def _burst(rng: Random, at: int, size: int, step: int) -> list[int]:
    moments = []
    for _ in range(size):
        moments.append(at)
        if rng.random() >= TIES:
            at += int(rng.random() * step)
    return moments


_SPREADS = {
    "organization": _organization,
    "clustered": _clustered,
    "even": _even,
    "nights-and-weekends": _office_hours,
    "bursts": _bursts,
    "growth": _growth,
    "crowded": _crowded,
    "early-start": _early_start,
}
