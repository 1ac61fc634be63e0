"""What the first run of a day finds out beside the audit log."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import backoff
import pytest

from sandbox.faults import Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from tap_akuity.daily import GapError
from tap_akuity.records.timestamps import DAY, SECOND, months_before, parse, to_text
from tap_akuity.tap import TapAkuity
from tests.helpers.events import NOW, item
from tests.helpers.running import (
    Output,
    config_for,
    last_state,
    records,
    stats,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

SEVEN_MONTHS = 213 * DAY


@pytest.fixture
def kept_for_half_a_year() -> Iterable[Sandbox]:
    options = Options(months_kept=6, months_archived=36)
    with Sandbox([item(-60)], options=options) as sandbox:
        yield sandbox


def bookmarked(instant: int) -> dict[str, Any]:
    return {"bookmarks": {"audit_logs": {"replication_key_value": to_text(instant)}}}


def said(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Pick what was said at a level about what can be searched, or the key."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level
        and ("fetched" in record.getMessage() or "expires" in record.getMessage())
    ]


def day(instant: int) -> str:
    return to_text(instant)[:10]


def test_a_gap_after_the_bookmark_is_warned_of_once_a_day(
    kept_for_half_a_year: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    since = NOW - SEVEN_MONTHS
    config = config_for(kept_for_half_a_year)
    messages = sync(config, bookmarked(since))
    assert len(records(messages)) == 1
    (warning,) = said(caplog, logging.WARNING)
    horizon = months_before(time.time_ns(), 6)
    assert warning.startswith(f"Events from {to_text(since)[:19]}Z to {day(horizon)}T")
    assert warning.endswith(
        "can no longer be fetched, as Akuity keeps them for 6 months and the bookmark "
        "is older; archives are kept for 36 months."
    )
    caplog.clear()
    sync(config, last_state(messages))
    assert not said(caplog, logging.WARNING)


def test_a_gap_can_be_an_error(kept_for_half_a_year: Sandbox) -> None:
    config = config_for(kept_for_half_a_year, fail_on_gap=True)
    state = bookmarked(NOW - SEVEN_MONTHS)
    output = Output()
    tap = TapAkuity(config=config, state=state, message_writer=output)
    horizon = months_before(time.time_ns(), 6)
    mend = f"set `start_date` to {day(horizon)}T.*Z to continue without them"
    with pytest.raises(GapError, match=mend):
        tap.sync_all()
    assert not records(output.messages)
    for message in output.messages:
        if message["type"] == "STATE":
            (kept,) = message["value"]["bookmarks"].values()
            assert kept["replication_key_value"] == to_text(NOW - SEVEN_MONTHS)
            assert "checked_on" not in kept
    # What it says helps, though later less is kept.
    start = to_text(horizon - SECOND)
    config = config_for(kept_for_half_a_year, fail_on_gap=True, start_date=start)
    assert len(records(sync(config, state))) == 1


@pytest.mark.parametrize("fail_on_gap", [True, False])
def test_a_start_date_before_all_that_is_kept_is_no_gap(
    kept_for_half_a_year: Sandbox,
    caplog: pytest.LogCaptureFixture,
    fail_on_gap: bool,  # noqa: FBT001
) -> None:
    caplog.set_level(logging.INFO)
    config = config_for(kept_for_half_a_year, fail_on_gap=fail_on_gap)
    assert len(records(sync(config))) == 1
    assert not said(caplog, logging.WARNING)
    (line,) = said(caplog, logging.INFO)
    assert line.startswith(
        "Setting `start_date` is 2020-01-01T00:00:00Z, but Akuity keeps events for 6 "
        f"months: those before {day(months_before(time.time_ns(), 6))}"
    )


@pytest.mark.parametrize("age", [SEVEN_MONTHS, 31 * DAY, 29 * DAY])
def test_the_organization_is_asked_for_where_it_may_matter(age: int) -> None:
    with Sandbox([], options=Options(months_kept=12)) as sandbox:
        messages = sync(config_for(sandbox), bookmarked(NOW - age))
        asked = stats(sandbox)["neighbours"]
        assert len(asked) == 1 + (age > 30 * DAY)
        sync(config_for(sandbox), last_state(messages))
        assert stats(sandbox)["neighbours"] == asked
        assert stats(sandbox)["requests"] == 2


@pytest.mark.parametrize("neighbours", ["403", "404"])
def test_what_the_key_may_not_see_is_not_guessed(
    caplog: pytest.LogCaptureFixture, neighbours: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    options = Options(months_kept=6, neighbours=neighbours)
    with Sandbox([item(-60)], options=options) as sandbox:
        config = config_for(sandbox, fail_on_gap=True)
        assert len(records(sync(config, bookmarked(NOW - SEVEN_MONTHS)))) == 1
    assert [m for m in caplog.messages if "not visible to this key" in m] == [
        "How long events can be searched is not visible to this key.",
        "When the API key expires is not visible to this key.",
    ]
    assert not said(caplog, logging.WARNING)


@pytest.mark.parametrize(("days", "warned"), [(13, True), (15, False), (None, False)])
def test_a_key_that_expires_soon_is_warned_of_once_a_day(
    caplog: pytest.LogCaptureFixture,
    days: int | None,
    warned: bool,  # noqa: FBT001
) -> None:
    expires = days and datetime.now(timezone.utc) + timedelta(days=days)
    with Sandbox([item(-60)], options=Options(key_expires=expires or None)) as sandbox:
        state = last_state(sync(config_for(sandbox)))
        warnings = said(caplog, logging.WARNING)
        assert len(warnings) == warned
        if expires:
            at = expires.isoformat()[:19]
            assert warnings == warned * [
                f"The API key expires at {at}Z: create a new one in Akuity, and set "
                "`api_key_id` and `api_key_secret` to it before that."
            ]
        caplog.clear()
        sync(config_for(sandbox), state)
        assert not said(caplog, logging.WARNING)
        state["bookmarks"]["audit_logs"]["checked_on"] = "2026-01-01"
        sync(config_for(sandbox, recount_days=0), state)
        assert len(said(caplog, logging.WARNING)) == warned


def test_a_shard_does_not_ask_for_the_key(sandbox: Sandbox) -> None:
    sync(config_for(sandbox, end_date="2024-01-01"))
    assert len(stats(sandbox)["neighbours"]) == 1


def test_months_before() -> None:
    at = parse("2026-03-31T12:34:56Z")
    assert to_text(months_before(at, 1)).startswith("2026-02-28T12:34:56")
    assert to_text(months_before(at, 3)).startswith("2025-12-28T12:34:56")
    assert to_text(months_before(at, 15)).startswith("2024-12-28T12:34:56")
    assert months_before(parse("2026-03-05T00:00:00Z"), 2) == parse(
        "2026-01-05T00:00:00Z"
    )


def test_retries_and_their_waits_are_in_the_last_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.05)
    with Sandbox([item(-60)], faults=Plan(("503",), times=2)) as sandbox:
        sync(config_for(sandbox, end_date=to_text(NOW), max_retries=2))
    (line,) = [m for m in caplog.messages if m.startswith("Sync completed: ")]
    assert line.endswith(" requests=4 retries=2")  # One is for the organization.
    # The waits for the first response count, too.
    assert float(line.split(" seconds=")[1].split()[0]) >= 2 * 0.05
