"""The check that `--test` runs: one line for each thing that a sync needs."""

import logging
import time
from itertools import chain

from msgspec.structs import astuple

from tap_akuity.api.query import Query
from tap_akuity.checks.account import NEVER, NOT_VISIBLE, ApiKey, Organization
from tap_akuity.records.filters import listed
from tap_akuity.streams import AuditLogsStream
from tap_akuity.text import timestamps
from tap_akuity.text.masking import one_line

MAX_ATTEMPTS = 3
"""Attempts per request: a user waits for the result and can run the check again."""

LARGEST_PAGE = 1000
"""The least number of events to request: Akuity's own maximum."""

WARN_DAYS = 30
"""How many days before a key expires to warn."""

CLOCK_SECONDS = 2
"""The largest difference at which clocks agree; `Date` has whole seconds only."""

_UNKNOWN = "not known"


def check(
    stream: AuditLogsStream, logger: logging.Logger, *, quick: bool = False
) -> None:
    """Request what a sync needs, and log the findings; a warning prevents no sync.

    What the API does is measured unless `quick`.

    Raises:
        Exception: The error that a sync would raise; the text says why and what to do.
    """
    stream.check_batches()
    stream.client.max_attempts = min(stream.client.max_attempts, MAX_ATTEMPTS)
    here = time.time_ns()
    query = Query(0, here + timestamps.DAY, 0, LARGEST_PAGE)
    page = stream.reader.get(query)
    offset = None if page.date is None else time.time_ns() - page.date
    now = page.date or here
    events = page.events
    for _, convert in stream.converters:
        for event in events:
            convert(event.json)
    asked, got = LARGEST_PAGE, len(events)
    if got == asked < stream.config["page_size"]:
        # Not asked for first: a server that refuses it would only show what works.
        asked = stream.config["page_size"]
        larger = query._replace(limit=asked)
        page = stream.reader.get(larger)
        got = max(got, page.rows)
    last_day = Query(now - timestamps.DAY, now + timestamps.SECOND, 0, 1)
    count = stream.client.fetch(last_day).total_count

    organization = stream.account.organization()
    logger.info("Organization: %s.", _named(organization))
    logger.info("Searchable: %s.", _retention(organization))
    matching = f" that match {listed(stream.filters)}" if stream.filters else ""
    logger.info("Audit log: can be read; %d events in the last day%s.", count, matching)
    if events:
        newest = timestamps.parse(max(event.timestamp for event in events))
        logger.info("Newest event: %s.", timestamps.to_bound(newest))
    else:
        logger.warning("Newest event: there is none%s.", matching)
    if not all(map(stream.reader.filter.matches, events)):
        logger.warning(
            "Filters: the server does not filter by `origins` or `actor_ips`, which it "
            "may be too old for: a sync does, but the figures here are of all events."
        )
    logger.info("Largest page: %s.", _largest(asked, got, page.total))
    logger.info("Clock: %s.", _clock(offset))
    key = stream.account.api_key()
    if key.expires is not None and key.expires - now < WARN_DAYS * timestamps.DAY:
        logger.warning("API key: %s: replace it before then.", _expiry(key, now))
    else:
        logger.info("API key: %s.", _expiry(key, now))
    logger.info("Role: %s.", _role(key))
    logger.info("A sync can work.")
    if not quick:
        from tap_akuity.checks import facts  # noqa: PLC0415, no sync needs it

        facts.measure(stream, logger, now)


def _again(problem: str) -> str:
    """Shorten a problem that an earlier line has explained in full."""
    return problem if problem == NOT_VISIBLE else _UNKNOWN


def _named(organization: Organization) -> str:
    if organization.name is None:
        return organization.problem or _UNKNOWN
    return one_line(organization.name)


def _retention(organization: Organization) -> str:
    if organization.problem:
        return _again(organization.problem)
    return (
        f"{_months(organization.searchable_months)}; archives are kept: "
        f"{_months(organization.archived_months)}"
    )


def _months(months: int | None) -> str:
    if months is None:
        return _UNKNOWN
    return "1 month" if months == 1 else f"{months} months"


def _largest(asked: int, got: int, total: int) -> str:
    if got >= asked:
        return f"{asked} events, the full page"
    if got >= total:
        return f"{_UNKNOWN}, because there are only {total} events"
    return f"{got} events of {asked} requested"


def _clock(offset: int | None) -> str:
    if offset is None:
        return "the server sends no `Date` header"
    seconds = offset // timestamps.SECOND
    if abs(seconds) <= CLOCK_SECONDS:
        return "the local one agrees with the server's"
    return (
        f"the local one is {abs(seconds)} seconds "
        f"{'ahead of' if seconds > 0 else 'behind'} the server's, which is used instead"
    )


def _expiry(key: ApiKey, now: int) -> str:
    if key.expires is None:
        return f"expiry {key.problem or 'unknown'}"
    if key.expires == NEVER:
        return "does not expire"
    days = max(key.expires - now, 0) // timestamps.DAY
    return f"expires on {timestamps.to_bound(key.expires)}, in {days} days"


def _role(key: ApiKey) -> str:
    if key.permissions is None:
        return _again(key.problem)
    names = one_line(", ".join(chain(*astuple(key.permissions)))) or "none is named"
    if key.permissions.roles:
        return (
            f"{names}, which is broader than needed: a custom role that may only get "
            "the audit log is enough"
        )
    return f"{names}; whether that is broader than needed is {_UNKNOWN}"
