"""The daily checks of the organization and the API key.

A key that may not see the organization, or itself, does not stop the run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tap_akuity.checks.account import NEVER
from tap_akuity.text.timestamps import DAY, months_before, parse, to_text

if TYPE_CHECKING:
    import logging

    from tap_akuity.checks.account import Account

LONG_AGO = 30 * DAY
"""More recent events can be searched on every Akuity plan."""

EXPIRY_NOTICE = 14 * DAY
"""How long before an API key expires to warn."""


class GapError(Exception):
    """Events after the bookmark are older than what can be searched."""


def check_reach(
    account: Account,
    logger: logging.Logger,
    bookmark: str | None,
    bound: int,
    *,
    fail: bool,
) -> None:
    """Report which part of the range to read Akuity no longer keeps.

    Args:
        account: Knows how long events can be searched.
        logger: Logs the finding.
        bookmark: Where the last run stopped, if there was one. Events after it that
            can no longer be fetched are a gap.
        bound: Earlier events are not wanted: nanoseconds since the Unix epoch.
        fail: Whether a gap is an error.

    Raises:
        GapError: If there is a gap and `fail` is set.
    """
    now = time.time_ns()
    reached = parse(bookmark) if bookmark else bound
    start = max(bound, reached)
    if now - start <= LONG_AGO:
        return
    organization = account.organization()
    months = organization.searchable_months
    if months is None:
        logger.debug(
            "How long events can be searched is %s.",
            organization.problem or "not reported by this server",
        )
        return
    horizon = months_before(now, months)
    if start >= horizon:
        return
    since, until = _moment(start), _moment(horizon)
    if not bookmark or reached < bound:  # The user chose this start.
        logger.info(
            "Setting `start_date` is %s, but Akuity keeps events for %d months: those "
            "before %s can no longer be fetched.",
            since,
            months,
            until,
        )
        return
    archives = organization.archived_months
    gap = (
        f"Events from {since} to {until} can no longer be fetched, as Akuity keeps "
        f"them for {months} months and the bookmark is older"
        + (f"; archives are kept for {archives} months" if archives else "")
    )
    if fail:
        msg = (
            f"{gap}: set `start_date` to {until} to continue without them, or "
            "`fail_on_gap` to false."
        )
        raise GapError(msg)
    logger.warning("%s.", gap)


def check_key(account: Account, logger: logging.Logger, now: int) -> None:
    """Warn of an API key that expires soon.

    Args:
        account: Knows when it expires.
        logger: Logs the warning.
        now: The time, in nanoseconds since the Unix epoch.
    """
    key = account.api_key()
    if key.expires is None:
        logger.debug(
            "When the API key expires is %s.",
            key.problem or "not reported by this server",
        )
    elif key.expires != NEVER and key.expires - now <= EXPIRY_NOTICE:
        logger.warning(
            "The API key expires at %s: create a new one in Akuity, and set "
            "`api_key_id` and `api_key_secret` to it before that.",
            _moment(key.expires),
        )


def _moment(instant: int) -> str:
    return f"{to_text(instant)[:19]}Z"
