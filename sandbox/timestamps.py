"""Instants as whole nanoseconds since 1970 UTC, and their text formats."""

import re
from datetime import UTC, datetime, timedelta

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = r"(\d{4}-\d\d-\d\d)"
_TIME = r"((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?"
_RFC3339 = re.compile(
    _DATE + "T" + _TIME + r"(?:Z|([+-](?:[01]\d|2[0-3])):([0-5]\d))", re.ASCII
)
_GO = re.compile(_DATE + " " + _TIME + r" ([+-]\d\d)(\d\d)(?: \S+)*", re.ASCII)


def to_go(ns: int) -> str:
    """Format an instant as Go's `time.Time.String()` does, in UTC."""
    seconds, fraction = divmod(ns, SECOND)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment.replace(tzinfo=None)}{digits} +0000 UTC"


def from_rfc3339(text: str) -> int:
    """Parse strict RFC 3339, with a required zone."""
    return _instant(_RFC3339.fullmatch(text), text)


def from_record(text: str) -> int:
    """Parse the timestamp of a record: Go's format in any zone, or RFC 3339."""
    return _instant(_GO.fullmatch(text) or _RFC3339.fullmatch(text), text)


def _instant(match: re.Match[str] | None, text: str) -> int:
    if match is None:
        message = f"{text!r} is not a timestamp"
        raise ValueError(message)
    day, time, fraction, hours, minutes = match.groups()
    moment = datetime.fromisoformat(f"{day}T{time}{hours or '+00'}:{minutes or '00'}")
    # Like Go, drop digits beyond nanoseconds.
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND + nanoseconds
