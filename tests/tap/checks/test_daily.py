"""What the first run of a day finds out besides the audit log."""

import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tap_akuity.checks.account import NEVER, NOT_VISIBLE, ApiKey, Organization
from tap_akuity.checks.daily import GapError, check_key, check_reach
from tap_akuity.reading.ranges import Range
from tap_akuity.text.timestamps import DAY, parse, to_text

LOGGER = logging.getLogger("tests.daily")
NOW = parse("2026-03-31T12:34:56.789Z")
OLD, RECENT = "2020-01-01T00:00:00Z", to_text(NOW - 29 * DAY)
LOST = "2025-08-31T00:00:00Z"


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: NOW)


GAP = f"Events from {LOST} to 2025-09-28T12:34:56Z, which no run has read, "
KEPT = f"{GAP}can no longer be fetched, as Akuity keeps 6 months"
HIDDEN = (
    f"{GAP}may no longer be fetched, because how long Akuity keeps them is "
    f"{NOT_VISIBLE}; all plans keep 6 months"
)
CHOSEN = (
    f"INFO: Setting `start_date` is {LOST}, but Akuity keeps events for 6 months: "
    "those before 2025-09-28T12:34:56Z can no longer be fetched."
)
MONTHS_AGO = to_text(NOW - 150 * DAY)
UNKNOWN = (
    "Whether all events since %s can still be fetched is unknown, because how long "
    "Akuity keeps them is not reported by this server."
)


@pytest.mark.parametrize(
    ("organization", "reached", "bound", "said"),
    [
        (Organization("", 6), LOST, OLD, f"WARNING: {KEPT}."),
        (
            Organization("", 6, 36),
            LOST,
            OLD,
            f"WARNING: {KEPT}; archives are kept for 36 months.",
        ),
        # A start that the user chose, perhaps as the error proposed, is not a gap.
        (Organization("", 6), None, LOST, CHOSEN),
        (Organization("", 6), OLD, LOST, CHOSEN),
        # What the key may not see, or the server does not report, may be a gap.
        (Organization(problem=NOT_VISIBLE), LOST, OLD, f"WARNING: {HIDDEN}."),
        (Organization(), None, LOST, f"DEBUG: {UNKNOWN % LOST}"),
        (Organization(), MONTHS_AGO, OLD, f"DEBUG: {UNKNOWN % f'{MONTHS_AGO[:19]}Z'}"),
        (Organization("", 12), LOST, OLD, None),
        (None, RECENT, OLD, None),  # It is not even asked.
        (None, OLD, RECENT, None),
    ],
)
def test_what_can_no_longer_be_fetched(organization, reached, bound, said, caplog):
    caplog.set_level(logging.DEBUG)
    account = SimpleNamespace(organization=organization and (lambda: organization))
    arguments: Any = account, LOGGER, reached, Range(parse(bound), NOW)
    check_reach(*arguments, fail=False)
    found = [f"{one.levelname}: {one.getMessage()}" for one in caplog.records]
    assert found == [said] * (said is not None)
    caplog.clear()
    if found and GAP in said:
        gap = said.removeprefix("WARNING: ")[:-1]
        mend = "set `start_date` to 2025-09-28T12:34:56Z to continue without them, or"
        with pytest.raises(GapError) as caught:
            check_reach(*arguments, fail=True)
        assert str(caught.value) == f"{gap}: {mend} `fail_on_gap` to false."
    else:
        check_reach(*arguments, fail=True)
        if reached == MONTHS_AGO:  # It cannot be ruled out.
            assert caplog.records[0].levelname == "WARNING"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            ApiKey(expires=NOW + 14 * DAY),
            "The API key expires at 2026-04-14T12:34:56Z: create a new one in Akuity, "
            "and set `api_key_id` and `api_key_secret` to it before that.",
        ),
        (ApiKey(expires=NOW + 15 * DAY), None),
        (ApiKey(expires=NEVER), None),
        (ApiKey(), "When the API key expires is not reported by this server."),
        (ApiKey(problem=NOT_VISIBLE), f"When the API key expires is {NOT_VISIBLE}."),
    ],
)
def test_a_key_that_expires_soon(key, said, caplog):
    caplog.set_level(logging.DEBUG)
    account: Any = SimpleNamespace(api_key=lambda: key)
    check_key(account, LOGGER, NOW)
    assert caplog.messages == [said] * (said is not None)
