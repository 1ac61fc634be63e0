"""The daily checks of the organization and the API key.

A key that may not see the organization, or itself, does not stop the run.
"""

import logging
import time

from tap_akuity.checks.account import NEVER, Account
from tap_akuity.reading.ranges import Range
from tap_akuity.text.timestamps import DAY, months_before, parse, to_text

LONG_AGO = 30 * DAY
"""More recent events are not worth a request."""

SHORTEST_MONTHS = 6
"""How long events can be searched on every Akuity plan, Pro having the least."""

EXPIRY_NOTICE = 14 * DAY
"""How long before an API key expires to warn."""


class GapError(Exception):
    """Events that no run has read are older than what can be searched."""


def check_reach(
    account: Account,
    logger: logging.Logger,
    reached: str | None,
    span: Range,
    *,
    fail: bool,
) -> None:
    """Report which part of the range to read Akuity no longer keeps.

    Earlier runs have `reached` a moment, if there were any: events of the range after
    it that can no longer be fetched are a gap.

    Raises:
        GapError: If there is, or may be, a gap and `fail` is set.
    """
    now = time.time_ns()
    start = max(span.start, parse(reached) if reached else span.start)
    if now - start <= LONG_AGO or start >= span.end:
        return
    is_chosen = not reached or parse(reached) < span.start
    organization = account.organization()
    months = organization.searchable_months
    horizon = min(months_before(now, months or SHORTEST_MONTHS), span.end)
    if months is not None and start >= horizon:
        return
    since, until = _moment(start), _moment(horizon)
    unknown = organization.problem or "not reported by this server"
    if months is None and (is_chosen or start >= horizon):
        logger.log(
            logging.WARNING if fail and not is_chosen else logging.DEBUG,
            "Whether all events since %s can still be fetched is unknown, because how "
            "long Akuity keeps them is %s.",
            since,
            unknown,
        )
    elif is_chosen:
        logger.info(
            "Setting `start_date` is %s, but Akuity keeps events for %d months: those "
            "before %s can no longer be fetched.",
            since,
            months,
            until,
        )
    else:
        gap = f"Events from {since} to {until}, which no run has read, "
        if months is None:
            gap += (
                "may no longer be fetched, because how long Akuity keeps them is "
                f"{unknown}; all plans keep {SHORTEST_MONTHS} months"
            )
        else:
            gap += f"can no longer be fetched, as Akuity keeps {months} months"
        if organization.archived_months:
            gap += f"; archives are kept for {organization.archived_months} months"
        if fail:
            raise GapError(
                f"{gap}: set `start_date` to {until} to continue without them, or "
                "`fail_on_gap` to false."
            )
        logger.warning("%s.", gap)


def check_key(account: Account, logger: logging.Logger, now: int) -> None:
    """Warn of an API key that expires soon."""
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
