"""What the first run of a day finds out besides the audit log."""

import logging
import re
import time

import pytest

from tap_akuity.api.neighbours import NEVER, NOT_VISIBLE, ApiKey, Organization
from tap_akuity.daily import GapError, check_key, check_reach
from tap_akuity.records.timestamps import DAY, months_before, parse, to_text

LOGGER = logging.getLogger("tests.daily")
NOW = parse("2026-03-31T12:34:56.789Z")
SEVEN_MONTHS_AGO = "2025-08-31T00:00:00.5Z"


class Neighbours:
    """Is what is visible to a key."""

    asked = 0

    def __init__(self, visible):
        self.visible = visible

    def organization(self):
        self.asked += 1
        return self.visible

    api_key = organization


def reach(visible, bookmark, bound="2020-01-01T00:00:00Z", *, fail=False):
    """Check what can be reached, and return how often the organization was asked."""
    neighbours = Neighbours(visible)
    check_reach(neighbours, LOGGER, bookmark, parse(bound), fail=fail)
    return neighbours.asked


@pytest.fixture(autouse=True)
def _now(monkeypatch, caplog):
    monkeypatch.setattr(time, "time_ns", lambda: NOW)
    caplog.set_level(logging.DEBUG)


GAP = (
    "Events from 2025-08-31T00:00:00Z to 2025-09-28T12:34:56Z can no longer be "
    "fetched, as Akuity keeps them for 6 months and the bookmark is older"
)


@pytest.mark.parametrize(
    ("archived", "said"),
    [(36, f"{GAP}; archives are kept for 36 months"), (None, GAP)],
)
def test_a_gap_after_the_bookmark_is_a_warning_or_an_error(archived, said, caplog):
    organization = Organization("x", 6, archived)
    reach(organization, SEVEN_MONTHS_AGO)
    assert caplog.record_tuples == [(LOGGER.name, logging.WARNING, f"{said}.")]
    mend = "set `start_date` to 2025-09-28T12:34:56Z to continue without them, or "
    message = f"{said}: {mend}`fail_on_gap` to false."
    with pytest.raises(GapError, match=re.escape(message)):
        reach(organization, SEVEN_MONTHS_AGO, fail=True)


@pytest.mark.parametrize("bookmark", [None, SEVEN_MONTHS_AGO])
def test_a_start_date_before_what_is_kept_is_not_a_gap(bookmark, caplog):
    """Also if it was moved to what the error about a gap proposed, a month ago."""
    start = "2025-08-31T00:00:01Z"
    reach(Organization("x", 6), bookmark, start, fail=True)
    assert caplog.record_tuples == [
        (
            LOGGER.name,
            logging.INFO,
            f"Setting `start_date` is {start}, but Akuity keeps events for 6 months: "
            "those before 2025-09-28T12:34:56Z can no longer be fetched.",
        )
    ]


@pytest.mark.parametrize(("days", "asked"), [(31, 1), (29, 0)])
def test_the_organization_is_asked_only_where_it_may_matter(days, asked, caplog):
    assert reach(Organization("x", 12), to_text(NOW - days * DAY)) == asked
    assert not caplog.messages


@pytest.mark.parametrize(
    ("problem", "said"),
    [("", "not reported by this server"), (NOT_VISIBLE, NOT_VISIBLE)],
)
def test_what_the_key_may_not_see_is_not_guessed(problem, said, caplog):
    reach(Organization(problem=problem), SEVEN_MONTHS_AGO, fail=True)
    check_key(Neighbours(ApiKey(problem=problem)), LOGGER, NOW)
    assert caplog.record_tuples == [
        (LOGGER.name, logging.DEBUG, f"{what} is {said}.")
        for what in (
            "How long events can be searched",
            "When the API key expires",
        )
    ]


@pytest.mark.parametrize(
    ("expires", "warned"),
    [(NOW + 14 * DAY, True), (NOW + 15 * DAY, False), (NEVER, False)],
)
def test_a_key_that_expires_soon_is_a_warning(expires, warned, caplog):
    check_key(Neighbours(ApiKey(expires=expires)), LOGGER, NOW)
    assert caplog.messages == warned * [
        "The API key expires at 2026-04-14T12:34:56Z: create a new one in Akuity, and "
        "set `api_key_id` and `api_key_secret` to it before that."
    ]


@pytest.mark.parametrize(
    ("months", "expected"),
    [
        (1, "2026-02-28T12:34:56"),
        (3, "2025-12-28T12:34:56"),
        (15, "2024-12-28T12:34:56"),
    ],
)
def test_months_before(months, expected):
    assert to_text(months_before(NOW, months)).startswith(expected)
