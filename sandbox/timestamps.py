"""Instants as whole nanoseconds since 1970 UTC, and their text formats."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = date(1970, 1, 1).toordinal()
_DATE = r"(\d{4}-\d\d-\d\d)"
_TIME = r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:\.(\d+))?"
_RFC3339 = re.compile(
    _DATE + "T" + _TIME + r"(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_GO = re.compile(_DATE + " " + _TIME + r" ([+-])(\d\d)(\d\d)(?: \S+)*", re.ASCII)


def to_go(ns: int) -> str:
    """Format an instant as Go's `time.Time.String()` does, in UTC."""
    seconds, fraction = divmod(ns, SECOND)
    days, seconds = divmod(seconds, 86_400)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{_date(days)} {hour:02d}:{minute:02d}:{second:02d}{digits} +0000 UTC"


def from_rfc3339(text: str) -> int:
    """Parse strict RFC 3339, with a required zone.

    Raises:
        ValueError: The text is not valid.
    """
    return _instant(_RFC3339.fullmatch(text), text)


def from_record(text: str) -> int:
    """Parse the timestamp of a record: Go's format in any zone, or RFC 3339.

    Raises:
        ValueError: The text has neither format.
    """
    return _instant(_GO.fullmatch(text) or _RFC3339.fullmatch(text), text)


def months_before(ns: int, months: int) -> int:
    """Return the instant that many months earlier, on the 28th of the month at most."""
    days, rest = divmod(ns, DAY)
    day = date.fromordinal(_EPOCH + days)
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    earlier = day.replace(year=years, month=month + 1, day=min(day.day, 28))
    return (earlier.toordinal() - _EPOCH) * DAY + rest


def _instant(match: re.Match[str] | None, text: str) -> int:
    if match is None:
        message = f"{text!r} is not a timestamp"
        raise ValueError(message)
    day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = match.groups()
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign:
        east = int(zone_hours) * 3600 + int(zone_minutes) * 60
        seconds -= east if sign == "+" else -east
    # Like Go, drop digits beyond nanoseconds.
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return _days(day) * DAY + seconds * SECOND + nanoseconds


@lru_cache(maxsize=4096)
def _date(days: int) -> str:
    return date.fromordinal(_EPOCH + days).isoformat()


@lru_cache(maxsize=4096)
def _days(text: str) -> int:
    return date.fromisoformat(text).toordinal() - _EPOCH
