import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sandbox.timestamps import SECOND, from_rfc3339, to_go
from tap_akuity.text.timestamps import (
    PRECISIONS,
    TimestampError,
    canonical,
    is_fine,
    months_before,
    parse,
    to_bound,
    to_text,
)

FIRST = parse("0001-01-01T00:00:00Z")
LAST = parse("9999-12-31T23:59:59.999999999Z")
instants = st.integers(FIRST, LAST)
microseconds = instants.map(lambda instant: instant // 1000 * 1000)


@given(instants | microseconds)
@example(FIRST)
@example(LAST)
@example(-1)
def test_no_digit_is_lost(instant):
    text, go = to_text(instant), to_go(instant)
    assert from_rfc3339(text) == parse(text) == parse(go) == instant
    assert canonical(go) == text
    # With no more digits than Go writes.
    assert to_bound(instant) == go.replace(" ", "T", 1).replace(" +0000 UTC", "Z")


@given(
    st.integers(FIRST + 10**15, LAST - 10**15),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from(["CET", "+0530", "-03", "CET m=+0.012"]),
)
def test_any_zone_is_understood(instant, minutes, name):
    local = to_go(instant + minutes * 60 * SECOND).removesuffix("+0000 UTC")
    hours, rest = divmod(abs(minutes), 60)
    zone = f"{'-' if minutes < 0 else '+'}{hours:02d}{rest:02d}"
    assert canonical(f"{local}{zone} {name}") == to_text(instant)


@given(instants | microseconds)
@example(parse("2025-11-21T16:26:40.000000100Z"))
@example(parse("2025-11-21T16:26:40.000100000Z"))
def test_what_is_emitted_is_as_exact_as_the_setting_says(instant):
    text, whole = to_text(instant), instant - instant % 1000
    auto, six, nine = (
        PRECISIONS[name](text) for name in ("auto", "microseconds", "nanoseconds")
    )
    assert (parse(auto), parse(six), parse(nine)) == (instant, whole, instant)
    assert is_fine(text) == (instant != whole)
    assert auto == (six if instant == whole else nine)
    assert (len(six), len(nine)) == (27, 30)


@given(instants, st.integers(-2000, 2000) | st.integers(-(10**18), 10**18))
def test_what_is_emitted_sorts_to_the_microsecond(one, after):
    other = min(max(one + after, FIRST), LAST)
    for name, unit in (("auto", 1000), ("microseconds", 1000), ("nanoseconds", 1)):
        texts = [PRECISIONS[name](to_text(instant)) for instant in (one, other)]
        if one // unit != other // unit:
            assert (texts[0] < texts[1]) == (one < other)


@pytest.mark.parametrize(
    ("months", "expected"),
    [(0, "2026-03-28"), (1, "2026-02-28"), (3, "2025-12-28"), (15, "2024-12-28")],
)
def test_months_end_where_the_calendar_does(months, expected):
    time = "T12:34:56.000000007Z"
    assert to_text(months_before(parse(f"2026-03-31{time}"), months)) == expected + time
    early = parse(f"2026-03-05{time}")
    assert to_text(months_before(early, 2)) == f"2026-01-05{time}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11-21t16:26:40z", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21T11:26:40.25-05:00", "2025-11-21T16:26:40.250000000Z"),
        ("2025-01-01", "2025-01-01T00:00:00.000000000Z"),
        ("2025-01-01T08:30", "2025-01-01T08:30:00.000000000Z"),
        ("2025-01-01 08:30:15.5", "2025-01-01T08:30:15.500000000Z"),
        ("2025-01-01 08:30:15 UTC", "2025-01-01T08:30:15.000000000Z"),
        ("2025-01-01T00:00:00+02", "2024-12-31T22:00:00.000000000Z"),
    ],
)
def test_what_people_write(text, expected):
    assert to_text(parse(text, assume_utc=True)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-02-29T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:00:00.0000000001Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00+24:00",
        "2025-01-01T00:00:00+01:60",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٥-01-01T00:00:00Z",
        "2025-01-01T00:00:00Z\n",
    ],
)
def test_what_is_not_a_valid_time_is_refused(text):
    with pytest.raises(TimestampError, match=f"^{re.escape(repr(text))} is not a "):
        parse(text, assume_utc=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2025-01-01", "lacks a time zone or a time of day"),
        ("2025-01-01T08:30Z", "lacks a time zone or a time of day"),
        ("2025-01-01 08:30:15", "lacks a time zone or a time of day"),
        ("2025-02-30 00:00:00 +0000 UTC", "is not a point in time"),
        ("2025-01-01 24:00:00 +0000 UTC", "is not a point in time"),
        ("0000-01-01 00:00:00 +0000 UTC", "is not a point in time"),
    ],
)
def test_what_the_api_must_not_send(text, message):
    with pytest.raises(TimestampError, match=f"'{re.escape(text)}' {message}"):
        canonical(text)


def test_what_is_quoted_is_bounded():
    with pytest.raises(TimestampError, match=r"^'x{100}' is not"):
        parse("x" * 100)
    with pytest.raises(TimestampError, match=r"^'x{100}…' is not"):
        parse("x" * 101)
    with pytest.raises(TimestampError, match=r"^.{,200}$"):
        parse("2025-01-01 00:00:00 +9999 " + "A" * 10**6)
