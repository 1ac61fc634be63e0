"""Timestamps as text and as exact instants.

An instant is an integer: nanoseconds since 1970-01-01T00:00:00Z, negative before.
`datetime` would lose the last three of the nine fraction digits that Akuity sends.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
DAY = 86_400 * SECOND

_MAX_QUOTED = 100

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PATTERN = re.compile(
    r"""
    (?P<date> [0-9]{4}-[0-9]{2}-[0-9]{2} )
    (?:
        [Tt\ ] (?P<clock> [0-9]{2}:[0-9]{2} ) (?: : (?P<second> [0-9]{2} ) )?
        (?: \. (?P<fraction> [0-9]{1,9} ) )?
        (?:
            \ ? (?P<utc> [Zz] | UTC )
          | \ ? (?P<sign> [+-] ) (?P<hours> [0-9]{2} ) :? (?P<minutes> [0-9]{2} )?
            (?: \ (?: [A-Za-z]+ | [+-][0-9]{2,4} ) )?   # Go repeats it as a name
            (?: \ m=[+-][0-9.]+ )?                      # Go's monotonic clock
        )?
    )?
    """,
    re.VERBOSE,
)

# Go's time.Time.String() in UTC, the only format that Akuity is known to send.
_GO_UTC = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.([0-9]{1,9}))? \+0000 UTC"
)


class TimestampError(ValueError):
    """The text is not a valid timestamp."""


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…")


def parse(text: str, *, assume_utc: bool = False) -> int:
    """Parse a timestamp.

    Accepts Go's `time.Time.String()` (`2025-11-21 16:26:40.13921 +0000 UTC`), RFC 3339
    (`2025-11-21T16:26:40.13921Z`), with up to nine fraction digits, and, with
    `assume_utc`, either of them without a zone, seconds or a time of day.

    Raises:
        TimestampError: If the text is not such a timestamp, not a valid date, or lacks
            a required zone.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise TimestampError(f"{_quoted(text)} is not a timestamp")
    has_zone = match["utc"] or match["sign"]
    if not assume_utc and not (has_zone and match["second"]):
        raise TimestampError(f"{_quoted(text)} lacks a time zone or a time of day")
    try:
        clock = f"{match['clock'] or '00:00'}:{match['second'] or '00'}"
        local = datetime.fromisoformat(f"{match['date']}T{clock}+00:00")
        instant = local - _offset(match)
    except (OverflowError, ValueError) as error:
        raise TimestampError(f"{_quoted(text)} is not a point in time") from error
    elapsed = instant - _EPOCH
    seconds = elapsed.days * 86_400 + elapsed.seconds
    return seconds * SECOND + int((match["fraction"] or "").ljust(9, "0"))


def _offset(match: re.Match[str]) -> timedelta:
    if not match["sign"]:
        return timedelta()
    offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"] or 0))
    if offset >= timedelta(days=1) or int(match["minutes"] or 0) > 59:  # noqa: PLR2004
        raise ValueError("no such zone")
    return -offset if match["sign"] == "-" else offset


EARLIEST = parse("0001-01-01T00:00:10Z")
"""The earliest start of a range, which leaves space for the margin before it."""


def to_text(instant: int) -> str:
    """Format an instant as the tap stores it: RFC 3339, UTC, always nine digits.

    An example is `2025-11-21T16:26:40.139210000Z`. Texts of one width sort as the
    instants do, which the Singer SDK relies on when it compares bookmarks.
    """
    seconds, fraction = divmod(instant, SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment.isoformat()[:19]}.{fraction:09d}Z"


def to_bound(instant: int) -> str:
    """Format an instant for a query: RFC 3339, UTC, with as few digits as possible."""
    return f"{to_text(instant)[:-1].rstrip('0').rstrip('.')}Z"


def months_before(instant: int, months: int) -> int:
    """Return the instant so many months earlier, on the 28th of a month at the latest.

    That must not be before the year 1.
    """
    days, rest = divmod(instant, DAY)
    day = _EPOCH.date() + timedelta(days=days)
    years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    earlier = date(years, month + 1, min(day.day, 28))
    return (earlier - _EPOCH.date()).days * DAY + rest


def canonical(text: str) -> str:
    """Convert a timestamp of the API to the format of `to_text`, with every digit.

    Raises:
        TimestampError: As `parse`.
    """
    match = _GO_UTC.fullmatch(text)
    if match is None:
        return to_text(parse(text))
    day, clock, fraction = match.groups("")
    if not _is_date(day):
        return to_text(parse(text))
    return f"{day}T{clock}.{fraction.ljust(9, '0')}Z"


def is_fine(text: str) -> bool:
    """Return whether a text from `to_text` has digits below the microsecond."""
    return text[-4:] != "000Z"


def _auto(text: str) -> str:
    return text.replace("000Z", "Z")


def _microseconds(text: str) -> str:
    return text[:26] + "Z"


def _nanoseconds(text: str) -> str:
    return text


AUTO, MICROSECONDS, NANOSECONDS = "auto", "microseconds", "nanoseconds"

PRECISIONS: dict[str, Callable[[str], str]] = {
    AUTO: _auto,
    MICROSECONDS: _microseconds,
    NANOSECONDS: _nanoseconds,
}
"""Converts text from `to_text` to the emitted text, by `timestamp_precision`.

The first emits six digits, or nine if the instant is not a whole microsecond; the
second always six, without the rest; the third always nine.
"""


@lru_cache(maxsize=1024)
def _is_date(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False
