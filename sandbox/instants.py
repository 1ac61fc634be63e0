"""When events happen: sorted instants, distributed over a range of time.

Uses only `random()` and exact arithmetic, so that a seed gives the same result
everywhere.
"""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from random import Random
from typing import Literal, get_args

from sandbox.timestamps import DAY, HOUR

Shape = Literal["even", "organization", "bursts", "growth", "crowded"]
Distribution = Literal["clustered", Shape]
SHAPES: tuple[Shape, ...] = get_args(Shape)

RELEASES = 0.008  # a release creates up to 512 records
PAIRS = 0.03  # one request that creates two records at the same nanosecond
TIES = 0.3  # of the records in a burst
GROWTH = 8  # an event happens at the latest of so many random moments
CROWDED = 50  # half of all events happen in one CROWDED-th of the time

# Fraction digits of a timestamp: mostly the microseconds of a database.
DIGITS = (6, 6, 6, 6, 6, 6, 6, 6, 6, 9, 9, 9, 3, 3, 0, 1, 2, 4, 5, 7, 8)
MILLISECOND = 1_000_000
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


def _bursts(  # noqa: PLR0913, PLR0917 - two more than the others
    records: int,
    rng: Random,
    start: int,
    end: int,
    most: int = 512,
    step: int = 70 * MILLISECOND,
) -> list[int]:
    """Up to 512 events within seconds, several of them at one instant."""
    moments: list[int] = []
    while len(moments) < records:
        at = start + int(rng.random() * (end - start))
        burst = _burst(rng, at, 1 << int(rng.random() * most.bit_length()), step)
        moments += [min(moment, end - 1) for moment in burst]
    return moments[:records]


def _growth(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Each moment is busier than the one before it."""
    parts = (max(rng.random() for _ in range(GROWTH)) for _ in range(records))
    return [start + int(part * (end - start)) for part in parts]


def _crowded(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Half of all events in a small part of the time, the rest anywhere."""
    span = end - start
    parts = ((start, span), (start + span * 3 // 5, span // CROWDED))
    places = (parts[n % 2] for n in range(records))
    return [begin + int(rng.random() * width) for begin, width in places]


def _clustered(records: int, rng: Random, start: int, end: int) -> list[int]:
    """Mostly silence, a little recent office work, and up to 32,768 events at once."""
    lately, office, recent = max(start, end - 90 * DAY), records // 20, records * 3 // 4
    at_once = (1 << 15, MILLISECOND // 50)
    return [
        *_organization(office, rng, lately, end),
        *_bursts(recent, rng, lately, end, *at_once),
        *_bursts(records - office - recent, rng, start, end, *at_once),
    ]


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
    "even": _even,
    "organization": _organization,
    "bursts": _bursts,
    "growth": _growth,
    "crowded": _crowded,
    "clustered": _clustered,
}
