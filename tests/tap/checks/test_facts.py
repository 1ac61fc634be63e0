"""The second part of `--test`: each fact is found out correctly, or not at all."""

import itertools
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox.errors import ApiError
from sandbox.query import parse
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import UNITS, Behaviour, Store, Time
from sandbox.timestamps import DAY, SECOND, to_go
from tap_akuity.api.session import Response
from tap_akuity.checks import facts
from tap_akuity.checks.facts import MAX_REQUESTS, Measurement
from tap_akuity.text import timestamps
from tests.helpers.commands import last_line, run, write
from tests.helpers.running import config_for, stats

UNTIL = time.time_ns() // SECOND * SECOND - 2 * DAY
TIED = 8
TIMES: tuple[Time, ...] = ("timestamp", "lastOccurredTimestamp")


def log(count):
    """Return items with fractions of each kind, some at one time, some repeated."""
    rng, at, found = Random(count), UNTIL - DAY, []
    for place in range(count):
        at -= rng.randrange(5 * SECOND, 600 * SECOND)
        unit = [1, *UNITS.values()][place % 5]
        at = at // unit * unit if count > 1 else at // SECOND * SECOND + 123_456_789
        last = at + 3600 * SECOND + 5 if place % 7 == 6 else at
        twins = TIED if place == TIED < count // 2 else 1
        found += [item(at, last, f"{place}-{twin}") for twin in range(twins)]
    return found[:count]


def item(at, last=None, name="x"):
    last = at if last is None else last
    return {
        "timestamp": to_go(at),
        "lastOccurredTimestamp": to_go(last),
        "details": {"message": name},
    }


class Server:
    """Responds to a measurement without HTTP."""

    def __init__(self, items, behaviour=None, **more):
        self.store = Store(items, behaviour or Behaviour(**more))
        self.requests = 0

    def get(self, url, read):
        self.requests += 1
        try:
            rows, total = self.page(parse(urlsplit(url).query))
        except ApiError as error:
            return read(Response(error.status, {}, bytes(error.response().body)))
        body = b'{"items":[%b],"totalCount":%d}' % (b",".join(rows), total)
        return read(Response(200, {}, body))

    def page(self, query):
        return self.store.query(query)

    def findings(self):
        self.requests = 0
        found = dict(Measurement(self.get, "http://x/y", UNTIL).findings())
        assert self.requests <= MAX_REQUESTS
        return found


class Busy(Server):
    """Has new events before each request."""

    def page(self, query):
        self.store.add([item(UNTIL + 60 * SECOND + self.requests)])
        return super().page(query)


COMBINATIONS: list[dict[str, Any]] = [
    {"start_inclusive": start, "end_inclusive": end, "order": order, "sort_on": sort_on}
    | {"precision": precision, "rounding": rounding, "rounded": rounded}
    for precision in UNITS
    for rounding, rounded in itertools.product(("cut", "nearest"), ("all", "bounds"))
    if precision != "nanoseconds" or (rounding, rounded) == ("cut", "all")
    for start, end in itertools.product((True, False), repeat=2)
    for order, sort_on in itertools.product(("newest", "oldest"), TIMES)
]
FILTERED_BY = {name: f"by `{name}`" for name in TIMES}


def expected(one):
    way = {"cut": "cut", "nearest": "rounded"}[one.rounding]
    way = "compared" if one.precision == "nanoseconds" else way
    way = f"included, {way} to the {one.precision[:-1]}"
    return {
        "Order": f"{one.order} first {FILTERED_BY[one.sort_on]}",
        "Filter": FILTERED_BY[one.filter_on],
        "Start of a range": way if one.start_inclusive else f"not {way}",
        "End of a range": way if one.end_inclusive else f"not {way}",
        "Count": "the events of a range, and the same twice",
        "Offset past the end": "gets an empty page",
    }


def is_honest(text, truth):
    """Return whether a text is the truth, or leaves it open."""
    _, is_open, rest = text.partition("not found out: ")
    return (
        text == truth
        or truth in rest.split(" or ")
        or bool(is_open and " or " not in rest)
    )


@pytest.mark.parametrize("filter_on", TIMES)
@pytest.mark.parametrize("count", [0, 1, 10, 5_000])
@pytest.mark.parametrize("kind", [Server, Busy])
def test_every_combination(kind, count, filter_on, monkeypatch):
    monkeypatch.setattr(facts, "parse", cache(timestamps.parse))  # Half of the time.
    server = kind(log(count), filter_on=filter_on)
    for place, options in enumerate(COMBINATIONS):
        if count == 5_000 and kind is Busy and place % 16:
            continue
        behaviour = Behaviour(filter_on=filter_on, **options)
        server.store.behaviour = behaviour
        texts = server.findings()
        for name, truth in expected(behaviour).items():
            if count >= 10:
                assert texts[name] == truth, (behaviour, texts)
            elif count:
                assert is_honest(texts[name], truth), behaviour
            else:
                assert texts[name] == "not found out: no event could be read"


def test_one_event_shows_what_one_event_can():
    """Nothing is left open but what no event of the log shows."""
    assert Server(log(1)).findings() == {
        "Limit of 1,001": "not found out: there are too few events",
        "Order": "not found out: newest first by `timestamp` or oldest first by "
        "`timestamp` or newest first by `lastOccurredTimestamp` or oldest first by "
        "`lastOccurredTimestamp`",
        "Filter": "not found out: no event occurred again later",
        "Start of a range": "included, compared to the nanosecond",
        "End of a range": "not included, compared to the nanosecond",
        "Large offset": "not found out: there are too few events",
        "No limit": "not found out: there are too few events",
        "Count": "the events of a range, and the same twice",
        "Events of one time": "not found out: there are too few of them",
        "Offset past the end": "gets an empty page",
        "Unknown members": "none",
    }
    # Without fractions, nobody can tell how they are compared.
    found = Server([item(UNTIL - DAY)], end_inclusive=True).findings()
    for name in ("Start of a range", "End of a range"):
        assert is_honest(found[name], "included, compared to the nanosecond")
        assert "not found out" not in found[name] or " or " in found[name]


LOG = log(5_000)


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("Limit of 1,001", {}, "gets 1,000 events"),
        ("Limit of 1,001", {"max_limit": 250}, "gets 250 events"),
        ("Limit of 1,001", {"over_limit": "refuse"}, "refused"),
        ("Limit of 1,001", {"over_limit": "honour"}, "gets 1,001 events"),
        ("No limit", {}, "gets 10 events"),
        ("No limit", {"default_limit": 25}, "gets 25 events"),
        ("No limit", {"max_offset": 99, "default_limit": 50}, "gets 50 events"),
        ("Large offset", {}, "1,000: works"),
        ("Large offset", {"max_offset": 999}, "1,000: refused"),
        (
            "Large offset",
            {"max_offset": 999, "over_offset": "empty"},
            "1,000: gets no events",
        ),
        ("Offset past the end", {"max_offset": 3}, "refused"),
        ("Events of one time", {}, "in the same order twice"),
        ("Events of one time", {"ties": "shuffled"}, "in another order each time"),
        ("Unknown members", {}, "none"),
        ("Unknown members", {"older": True}, "none"),
    ],
)
def test_more_facts(name, options, text):
    assert Server(LOG, **options).findings()[name] == text


def test_times_at_the_ends_of_the_calendar_stop_nothing():
    class Timeless(Server):
        def page(self, query):
            return super().page(replace(query, start_ns=None, end_ns=None))

    for at in ("0001-01-01 00:00:00 +0000 UTC", "9999-12-31 23:59:59 +0000 UTC"):
        server = Timeless([{"timestamp": at, "lastOccurredTimestamp": at}])
        texts = server.findings()
        assert texts["Start of a range"] in {facts.FAILED, facts.UNEXPLAINED}
        assert texts["Unknown members"] == "none"


def test_the_rest_of_the_log_is_not_taken_for_a_default():
    texts = Server(log(30), default_limit=25).findings()
    assert texts["Large offset"] == "10: works"
    assert texts["No limit"] == "not found out: there are too few events"


def test_a_page_that_is_cut_short_shows_nothing():
    crowd = [item(UNTIL - DAY + place * SECOND // 1500) for place in range(1500)]
    texts = Server(crowd).findings()
    for name in ("Start of a range", "Count"):
        assert texts[name] == f"not found out: {facts.CROWDED}"


def test_an_event_that_occurred_again_is_not_mistaken_for_one_at_its_time():
    at = UNTIL - DAY + 123_456_789
    items = [item(at, name="once"), item(at - 600 * SECOND, at, "again")]
    texts = Server(items, filter_on=TIMES[1], order="oldest").findings()
    assert texts["Start of a range"] == "included, compared to the nanosecond"
    items = [item(at), item(at, at + SECOND, "again")]
    texts = Server(items, filter_on=TIMES[1]).findings()
    assert texts["End of a range"] == "not included, compared to the nanosecond"
    assert texts["Start of a range"] == "included, compared to the nanosecond"


def test_unknown_members_are_named_but_no_keys_of_maps():
    more = {"requestId": "r", "object": {"labels": {"a": 1}, "ana@example.com": 1}}
    found = Server([item(UNTIL - DAY) | more]).findings()
    assert found["Unknown members"] == "another, `object.labels`, `requestId`"


class Odd(Server):
    """Does what the tap does not expect."""

    def __init__(self, oddity):
        super().__init__(LOG)
        self.oddity = oddity

    def page(self, query):
        match self.oddity:
            case "unsorted":
                rows, total = super().page(query)
                return rows[1::2] + rows[::2], total
            case "miscounted":
                rows, total = super().page(query)
                return rows, total + 1
            case "endless":
                return super().page(replace(query, offset=0))
            case "minutes":
                bounds = (query.start_ns, query.end_ns)
                start, end = (one // (60 * SECOND) * 60 * SECOND for one in bounds)
                return super().page(replace(query, start_ns=start, end_ns=end))
        raise AssertionError


@pytest.mark.parametrize(
    ("oddity", "name", "text"),
    [
        ("unsorted", "Order", facts.UNSORTED),
        ("miscounted", "Count", facts.MISCOUNTED),
        ("endless", "Offset past the end", facts.ENDLESS),
        ("minutes", "Start of a range", facts.UNEXPLAINED),
        ("minutes", "End of a range", facts.UNEXPLAINED),
    ],
)
def test_what_the_tap_does_not_expect_is_a_warning(oddity, name, text):
    assert Odd(oddity).findings()[name] == text
    assert text in facts.WARNINGS


@pytest.mark.parametrize("status", [429, 500, 403])
def test_what_fails_is_given_up(status):
    class Failing(Server):
        def page(self, query):
            if self.requests > 3:
                error = ApiError(500, "secret words")
                error.status = status
                raise error
            return super().page(query)

    server = Failing(LOG)
    texts = server.findings()
    assert server.requests <= 3 + 4
    assert "secret" not in str(texts)
    assert texts["Order"] == "newest first by `timestamp`"
    assert texts["Count"].startswith("not found out: requests fail, take too long")


def test_the_time_is_limited(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Slow(Server):
        def page(self, query):
            now[0] += 9
            return super().page(query)

    server = Slow(LOG)
    server.findings()
    assert now[0] <= 30
    assert server.requests == 3


def strings(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def test_nothing_of_the_log_is_shown(tmp_path, json_logs):
    """With a restricted key, with filters, and while events arrive."""
    items = []
    for place, one in enumerate(log(300)):
        name = f"n{place:03}x"
        items.append(
            one
            | {"action": f"a-{name}", "actor": {"type": f"t-{name}", "id": f"i-{name}"}}
            | {"object": {"type": f"o-{name}", "id": {"name": name}, "labels": {}}}
            | {"details": {"message": f"m-{name}", "patch": f"p-{name}"}}
        )
    options = Options(
        organization_id="org-4711", role="auditor", account="403", arrivals=2
    )
    with Sandbox(items, options=options) as sandbox:
        settings = config_for(sandbox, actions=["a-n001x"], user_agent="test")
        config = write(tmp_path / "config.json", settings)
        result = run("--config", config, "--test", **json_logs)
        assert result.returncode == 0, result.stderr
        assert stats(sandbox)["requests"] <= 2 + MAX_REQUESTS
        assert "filters.action=" not in "".join(stats(sandbox)["queries"][2:])
    before, _, shown = result.stderr.partition("What the API does")
    assert "org-4711" in before  # At this level, URLs are logged.
    assert "included, compared to the nanosecond" in shown
    assert "object.labels" in shown
    for text in {*strings(dict(enumerate(items)))}:
        day, _, rest = text.partition(" ")
        for part in (text, *([day, rest.split()[0]] if rest else [])):
            assert part not in shown, part
    for text in ("org-4711", "filters.", sandbox.url, sandbox.api_key_id, "/api/"):
        assert text not in shown


def test_the_command(sandbox, tmp_path):
    config = write(tmp_path / "config.json", config_for(sandbox))
    result = run("--config", config, "--test")
    assert result.returncode == 0, result.stderr
    assert "A sync can work." in result.stderr
    assert "Please publish this list" in last_line(result)
    result = run("--config", config, "--test=quick")
    assert last_line(result) == "A sync can work."
    assert "What the API does" not in result.stderr


def test_no_sync_imports_it():
    code = "import sys, tap_akuity.tap; print('tap_akuity.checks.facts' in sys.modules)"
    found = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert found == "False\n"
