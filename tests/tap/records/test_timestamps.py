from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_akuity.records.timestamps import (
    PRECISIONS,
    TimestampError,
    canonical,
    is_fine,
    parse,
    to_bound,
    to_text,
)

FIRST = parse("0001-01-01T00:00:00Z")
LAST = parse("9999-12-31T23:59:59.999999999Z")
instants = st.integers(FIRST, LAST)


def go_text(instant: int, offset_minutes: int = 0, name: str = "UTC") -> str:
    """Write an instant as Go's time.Time.String() does."""
    seconds, fraction = divmod(instant, 10**9)
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=seconds)
    local = moment.astimezone(zone)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    clock = local.isoformat(sep=" ")[:19]
    return f"{clock}{digits} {sign}{hours:02d}{minutes:02d} {name}"


@given(instants)
@example(FIRST)
@example(LAST)
@example(0)
@example(-1)
def test_no_digit_is_lost(instant: int) -> None:
    assert parse(to_text(instant)) == instant
    assert parse(to_bound(instant)) == instant
    assert canonical(go_text(instant)) == to_text(instant)


@given(
    st.integers(FIRST + 10**15, LAST - 10**15),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["CET", "+0530", "-03", "EEST"]),
)
def test_any_zone_is_understood(instant: int, offset: int, name: str) -> None:
    assert parse(go_text(instant, offset, name)) == instant


@given(instants, instants)
def test_the_text_sorts_as_the_time_does(one: int, other: int) -> None:
    assert (to_text(one) < to_text(other)) == (one < other)
    assert len(to_text(one)) == len(to_text(other))


microseconds = st.builds(lambda instant: instant // 1000 * 1000, instants)


@given(instants | microseconds)
@example(parse("2025-11-21T16:26:40.000000100Z"))
@example(parse("2025-11-21T16:26:40.000100000Z"))
def test_what_is_emitted_is_as_exact_as_the_setting_says(instant: int) -> None:
    text, whole = to_text(instant), instant - instant % 1000
    auto, six, nine = (
        PRECISIONS[name](text) for name in ("auto", "microseconds", "nanoseconds")
    )
    assert (parse(auto), parse(six), parse(nine)) == (instant, whole, instant)
    assert is_fine(text) == (instant != whole)
    assert auto == (six if instant == whole else nine)
    assert (len(six), len(nine)) == (27, 30)


@given(instants, instants)
def test_what_is_emitted_sorts_to_the_microsecond(one: int, other: int) -> None:
    for name, unit in (("auto", 1000), ("microseconds", 1000), ("nanoseconds", 1)):
        texts = [PRECISIONS[name](to_text(instant)) for instant in (one, other)]
        if one // unit != other // unit:
            assert (texts[0] < texts[1]) == (one < other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-21 16:26:40 +0000 UTC", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21 16:26:40.1 +0000 UTC", "2025-11-21T16:26:40.100000000Z"),
        ("2025-11-21 16:26:40.13921 +0000 UTC", "2025-11-21T16:26:40.139210000Z"),
        ("2025-11-21 16:26:40.000000001 +0000 UTC", "2025-11-21T16:26:40.000000001Z"),
        ("2025-11-21 17:26:40.5 +0100 CET", "2025-11-21T16:26:40.500000000Z"),
        ("2025-11-21 21:56:40 +0530 +0530", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21 16:26:40 +0000 UTC m=+0.012", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21T16:26:40Z", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21t16:26:40z", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21T11:26:40.25-05:00", "2025-11-21T16:26:40.250000000Z"),
        ("2024-02-29T23:59:59.999999999Z", "2024-02-29T23:59:59.999999999Z"),
    ],
)
def test_what_the_api_may_send(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-01", "2025-01-01T00:00:00.000000000Z"),
        ("2025-01-01T08:30", "2025-01-01T08:30:00.000000000Z"),
        ("2025-01-01 08:30:15", "2025-01-01T08:30:15.000000000Z"),
        ("2025-01-01T08:30:15.5", "2025-01-01T08:30:15.500000000Z"),
        ("2025-01-01T00:00:00+02:00", "2024-12-31T22:00:00.000000000Z"),
        ("2025-01-01T00:00:00+02", "2024-12-31T22:00:00.000000000Z"),
        ("2025-01-01 08:30:15 UTC", "2025-01-01T08:30:15.000000000Z"),
    ],
)
def test_what_people_write(text: str, expected: str) -> None:
    assert to_text(parse(text, assume_utc=True)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "yesterday",
        "1732206400",
        "2025-13-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:60Z",
        "2025-01-01T00:00:00.0000000001Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00+24:00",
        "2025-01-01T00:00:00+01:60",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2025-01-01T00:00:00Z ",
        "٢٠٢٥-01-01T00:00:00Z",
        "2025-01-01T00:00:00Z\n",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TimestampError, match=re.escape(repr(text))):
        parse(text, assume_utc=True)


@pytest.mark.parametrize(
    "text", ["2025-01-01", "2025-01-01T08:30Z", "2025-01-01 08:30:15"]
)
def test_the_api_has_to_send_a_zone_and_a_time_of_day(text: str) -> None:
    with pytest.raises(TimestampError, match="zone"):
        canonical(text)


@pytest.mark.parametrize("day", ["2025-02-30", "2025-13-01", "0000-01-01"])
def test_no_day_that_is_not_in_the_calendar_is_passed_on(day: str) -> None:
    with pytest.raises(TimestampError, match="is not a point in time"):
        canonical(f"{day} 00:00:00 +0000 UTC")


@given(st.text(max_size=60))
def test_any_text_is_a_time_or_an_error(text: str) -> None:
    try:
        instant = parse(text, assume_utc=True)
    except TimestampError:
        return
    assert FIRST <= instant <= LAST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-01-01T00:00:00.000000000Z", "2025-01-01T00:00:00Z"),
        ("2024-12-31T23:59:59.999000000Z", "2024-12-31T23:59:59.999Z"),
        ("2024-12-31T23:59:10.000000000Z", "2024-12-31T23:59:10Z"),
    ],
)
def test_a_query_needs_no_zeros(text: str, expected: str) -> None:
    assert to_bound(parse(text)) == expected


@pytest.mark.parametrize(
    "text", ["x" * 10**7, "2025-01-01 00:00:00 +9999 " + "A" * 10**7]
)
def test_what_is_quoted_is_bounded(text: str) -> None:
    with pytest.raises(TimestampError) as caught:
        parse(text)
    assert len(str(caught.value)) < 200


def test_what_is_short_is_quoted_whole() -> None:
    with pytest.raises(TimestampError, match="x" * 100 + "' is not"):
        parse("x" * 100)
