"""What the API does where its documentation does not say, measured for `--test`.

No finding holds anything from an event or about the organization, so that all of them
can be published. What no event shows is not guessed.
"""

import logging
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import product
from math import factorial, prod
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api import errors
from tap_akuity.api.audit_log import AuditLog
from tap_akuity.api.session import Response
from tap_akuity.records.members import UnknownMembers
from tap_akuity.streams import AuditLogsStream
from tap_akuity.text.timestamps import SECOND, parse, to_bound

MAX_REQUESTS, MAX_SECONDS, MAX_REQUEST_SECONDS = 20, 30, 10
PRICE_OF_FAILURE = 5  # It counts as so many requests.
SETTLED = 60 * SECOND  # Younger events may still change.
TOO_MANY, MAXIMUM, FEW = LIMITS = (1001, 1000, 100)  # As Akuity documents them.
CERTAIN = 1000  # Chance would do it once in so many times.
UNITS = {1: "nano", 1_000: "micro", 1_000_000: "milli", SECOND: ""}
TIMES = ("by `timestamp`", "by `lastOccurredTimestamp`")

UNREADABLE = (
    FatalAPIError,
    msgspec.MsgspecError,
    ValueError,
    OverflowError,
    RecursionError,
)

REFUSED, FAILED = "refused", "not found out: a request failed"
CROWDED = "too many events are near those that would show it"
TOO_FEW = "there are too few events"

MOVING = "an event that occurs again can hide another that arrives late"
WARNINGS = {
    TIMES[1]: MOVING,
    " or ".join(TIMES): MOVING,
    (UNSORTED := "by neither time"): "it takes more requests",
    (UNEXPLAINED := "by no known rule"): "events may be missing: please report it",
    (MISCOUNTED := "not the events of a range"): "it fails, or events may be missing",
    (ENDLESS := "gets events"): "it fails if a range does not fit on a page",
}
"""What findings mean for a sync if the tap assumes otherwise."""


class NotFoundOutError(Exception):
    """Why a fact cannot be found out."""


class Row(NamedTuple):
    """The two times of an event, 0 if not set, and its JSON."""

    at: int
    last: int
    raw: bytes


class Page(NamedTuple):
    """The response to a request."""

    rows: list[Row]
    total: int


class Rule(NamedTuple):
    """A way to compare an event's time with a bound, both cut or rounded to a unit."""

    after: bool  # If both are the same then, the event is after the bound.
    unit: int
    nearest: bool
    bound_only: bool  # The event's time is compared as it is.

    def turn(self, at: int) -> int:
        """Return the first bound that an event is not after."""
        half = self.nearest * self.unit // 2
        if self.bound_only:
            return ((at + self.after - 1) // self.unit + 1) * self.unit - half
        return ((at + half) // self.unit + self.after) * self.unit - half


RULES = [
    Rule(*one)
    for one in product((False, True), UNITS, (False, True), (False, True))
    if one[1] > 1 or not any(one[2:])
]


class _Envelope(msgspec.Struct, rename="camel"):
    items: list[msgspec.Raw]
    total_count: int


def measure(stream: AuditLogsStream, logger: logging.Logger, now: int) -> None:
    """Measure the API by the whole log, whatever the filters, and log the findings."""
    client, url = stream.client, stream.get_url(None)
    client.timeout, client.max_attempts = min(client.timeout, MAX_REQUEST_SECONDS), 1
    # It logs URLs, which hold the organization and times of events.
    logging.getLogger("urllib3.connectionpool").disabled = True
    logger.info("What the API does, measured with events that are a minute old:")
    until = (now - SETTLED) // SECOND * SECOND
    for name, text in Measurement(client.get, url, until).findings():
        meaning = f" In a sync, {WARNINGS[text]}." if text in WARNINGS else ""
        level = logging.WARNING if meaning else logging.INFO
        logger.log(level, "- %s: %s.%s", name, text, meaning)
    logger.info(
        "Please publish this list in the tap's issue tracker, with the form “What the "
        "API does”, so that the tap need not assume it: it holds nothing of your log."
    )


def _require(condition: object, why: str) -> None:
    if not condition:
        raise NotFoundOutError(f"not found out: {why}")


class Measurement:
    """Makes a limited number of requests, without retries, and tells what they show."""

    def __init__(self, get: Callable[..., Page], url: str, until: int) -> None:
        """Initialize with `AkuityClient.get`; later events are not requested."""
        self._get, self._url, self._until = get, url, until
        self._deadline = time.monotonic() + MAX_SECONDS - MAX_REQUEST_SECONDS
        self._left, self._skipped, self._busiest = MAX_REQUESTS, 0, 0
        self._sample = self._closed = Page([], 0)
        self._unlimited: Page | None = None
        self._unknown = UnknownMembers()

    def findings(self) -> Iterator[tuple[str, str]]:
        """Find out each fact, and yield its name and it."""
        for name, find in {
            "Limit of 1,001": self._limit,
            "Order": lambda: order(self._rows),
            "Filter": self._filter,
            "Start of a range": lambda: self._bound(is_start=True),
            "End of a range": lambda: self._bound(is_start=False),
            "Large offset": self._large_offset,
            "No limit": self._no_limit,
            "Count": self._count,
            "Events of one time": lambda: ties(self._rows, self._closed.rows),
            "Offset past the end": self._past_the_end,
            "Unknown members": self._unknown_members,
        }.items():
            try:
                yield name, find()
            except NotFoundOutError as error:
                yield name, str(error)

    def _page(self, start: int = 0, end: int = 0, **more: int | str) -> Page:
        is_allowed = self._left > 0 and time.monotonic() < self._deadline
        _require(is_allowed, "requests fail, take too long or would be too many")
        self._left -= 1
        try:
            bounds = map(to_bound, (start, end or self._until))
            more |= zip(("startTime", "endTime"), bounds, strict=True)
            query = {f"filters.{name}": value for name, value in more.items()}
            return self._get(f"{self._url}?{urlencode(query)}", self._read)
        except UNREADABLE as error:  # Its text may quote the server.
            is_refused = type(error) in {errors.BadRequestError, errors.LimitError}
            is_limit = isinstance(error, errors.BadRequestError)  # Or it is too big.
        self._left -= 0 if is_limit else PRICE_OF_FAILURE
        raise NotFoundOutError(REFUSED if is_refused else FAILED)

    def _read(self, response: Response) -> Page:
        errors.check_status(response, self._url)
        envelope = msgspec.json.decode(response.body, type=_Envelope)
        rows = []
        for raw in envelope.items:
            log = msgspec.json.decode(raw, type=AuditLog)
            self._unknown.examine(log, raw)
            at, last = log.timestamp, log.last_occurred_timestamp
            rows.append(Row(parse(at), parse(last) if last else 0, bytes(raw)))
        return Page(rows, envelope.total_count)

    def _around(self, at: int, offset: int = 0) -> Page:
        start = (at // SECOND - 2) * SECOND
        return self._page(start, start + 5 * SECOND, limit=MAXIMUM, offset=offset)

    @property
    def _rows(self) -> list[Row]:
        _require(self._sample.rows, "no event could be read")
        return self._sample.rows

    def _steady(self) -> list[int]:
        rows = {row.raw: row.at for row in self._rows if row.at == row.last}
        _require(rows, "every event occurred again")
        return list(rows.values())

    def _limit(self) -> str:
        failures = []
        for limit in LIMITS:
            try:
                self._sample = self._page(limit=limit)
                break
            except NotFoundOutError as error:
                failures.append(error)
        got = len(self._rows)
        if failures:
            raise failures[0]
        _require(got < self._sample.total or got == TOO_MANY, TOO_FEW)
        return f"gets {got:,} events"

    def _filter(self) -> str:
        row = max(self._rows, key=lambda row: row.last - row.at)
        _require(row.last - row.at > 10 * SECOND, "no event occurred again later")
        found = []
        for at, text in zip(row[:2], TIMES, strict=True):
            rows, total = self._around(at)
            is_found = row.raw in {one.raw for one in rows}
            _require(is_found or len(rows) >= total, CROWDED)
            found += [text] * is_found
        _require(found, "the event that would show it has changed meanwhile")
        return " or ".join(found)

    def _bound(self, *, is_start: bool) -> str:
        def is_after(at: int, bound: int) -> bool:
            start, end = (at // SECOND - 1) * SECOND, (at // SECOND + 2) * SECOND
            start, end = (bound, end) if is_start else (start, bound)
            rows, total = self._page(start, end, limit=FEW)
            is_found = any(row.at == at == row.last for row in rows)
            _require(is_found or len(rows) >= total, CROWDED)
            return is_found is is_start

        # One example of each kind of fraction, with few others in its second.
        crowds = Counter(row.at // SECOND for row in self._rows)
        kinds = {}
        for at in sorted(self._steady(), key=lambda at: -crowds[at // SECOND]):
            kinds[tuple(-(-2 * (at % unit) // unit) for unit in UNITS)] = at
        rules = rules_of([*kinds.values()], cache(is_after))
        return comparison(rules, is_start=is_start)

    def _large_offset(self) -> str:
        _require(self._rows and self._sample.total > 1, TOO_FEW)
        # A power of ten, which does not tell how many events there are.
        offset = 10 ** (len(str(max(1, self._sample.total - 11))) - 1)
        try:
            page = self._page(offset=offset)
        except NotFoundOutError as error:
            return f"{offset:,}: {error}"
        if page.rows:
            self._unlimited, self._skipped = page, offset
        return f"{offset:,}: {'works' if page.rows else 'gets no events'}"

    def _no_limit(self) -> str:
        page = self._unlimited = (self._rows and self._unlimited) or self._page()
        got = len(page.rows)
        _require(got < page.total - self._skipped, TOO_FEW)
        return f"gets {got:,} events"

    def _count(self) -> str:
        self._busiest = Counter(self._steady()).most_common(1)[0][0]
        self._closed = self._around(self._busiest)
        got, total = len(self._closed.rows), self._closed.total
        _require(not total > got >= min(MAXIMUM, len(self._rows)), CROWDED)
        if got != total:
            return MISCOUNTED
        is_same = self._unlimited and self._unlimited.total == self._sample.total
        _require(is_same, "it could not be read twice")
        return "the events of a range, and the same twice"

    def _past_the_end(self) -> str:
        _require(self._rows and self._closed.rows, TOO_FEW)
        page = self._around(self._busiest, self._closed.total + 10)
        return ENDLESS if page.rows else "gets an empty page"

    def _unknown_members(self) -> str:
        names = sorted(self._unknown.names)[:20] if self._rows else []
        # A name of another form may be data: the key of a map.
        is_plain = re.compile(r"[A-Za-z.]{1,60}").fullmatch
        return (
            ", ".join(f"`{n}`" if is_plain(n) else "another" for n in names) or "none"
        )


def _only(texts: Iterable[str], otherwise: str) -> str:
    possible = list(dict.fromkeys(texts)) or [otherwise]
    return "not found out: " * (len(possible) > 1) + " or ".join(possible)


def order(rows: list[Row]) -> str:
    """Find out how a page is sorted."""
    times = [row.at for row in rows], [row.last for row in rows if row.last > 0]
    fitting = (
        f"{first} first {name}"
        for name, one in zip(TIMES, times, strict=True)
        for first in ("newest", "oldest")
        if one == sorted(one, reverse=first == "newest")
    )
    return _only(fitting, UNSORTED)


def ties(one: list[Row], other: list[Row]) -> str:
    """Find out whether two responses have events of one time in the same order."""
    places = {row: place for place, row in reversed([*enumerate(other)])}
    groups = defaultdict(list)
    for row in dict.fromkeys(row for row in one if row in places):
        groups[row.at, row.last].append(places[row])
    if any(group != sorted(group) for group in groups.values()):
        return "in another order each time"
    chances = prod(factorial(len(group)) for group in groups.values())
    _require(chances >= CERTAIN, "there are too few of them")
    return "in the same order twice"


def rules_of(examples: list[int], is_after: Callable[[int, int], bool]) -> list[Rule]:
    """Find the rules that explain which events are after which bounds."""
    rules, at, sides = RULES, examples[0], [0, 1]
    while rules:
        splits = []
        for one in examples:
            turns = sorted(rule.turn(one) for rule in rules)
            for bound in (turns[0], turns[(len(turns) - 1) // 2]):
                early = sum(turn <= bound for turn in turns)
                splits.append((min(early, len(turns) - early), one, bound))
        balance, one, bound = max(splits)
        if balance:
            at = one
        elif sides:  # Both sides of the turn, in case none of the rules is true.
            bound = rules[0].turn(at) - sides.pop()
        else:
            break
        seen = is_after(at, bound)
        rules = [rule for rule in rules if (bound < rule.turn(at)) is seen]
    return rules


def comparison(rules: list[Rule], *, is_start: bool) -> str:
    """Say how a bound at the start or the end of a range is compared with events."""
    texts = (
        f"{'' if after is is_start else 'not '}included, "
        f"{'compared' if unit == 1 else 'rounded' if nearest else 'cut'} to the "
        f"{UNITS[unit]}second"
        for after, unit, nearest, _ in rules
    )
    return _only(texts, UNEXPLAINED)
