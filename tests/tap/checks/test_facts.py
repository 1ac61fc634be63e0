"""The second part of `--test`: each fact is found out correctly, or not at all."""

import itertools
import re
import time
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest

from sandbox.errors import ApiError
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import UNITS, Behaviour, Store, Time
from sandbox.timestamps import DAY, SECOND, from_record, to_go
from scripts import ROOT
from tap_akuity.checks import facts
from tap_akuity.checks.facts import MAX_REQUESTS, Measurement
from tap_akuity.text import timestamps
from tests.helpers.clients import URL, LocalSession, client_of
from tests.helpers.commands import run, write
from tests.helpers.running import config_for, stats

UNTIL = from_record("2026-03-01T00:00:00Z")
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


class Server(LocalSession):
    """Responds to a measurement."""

    def findings(self):
        self.asked = []
        get = client_of(session=self).get
        found = dict(Measurement(get, URL, UNTIL).findings())
        assert len(self.asked) <= MAX_REQUESTS
        return found


def busy(store, query):
    """Have new events before each request."""
    store.add([item(UNTIL + 60 * SECOND + len(store))])
    return store.query(query)


# A fifth of all: as five divides none of the numbers of choices, each choice occurs
# with each other.
COMBINATIONS: list[dict[str, Any]] = [
    {"start_inclusive": start, "end_inclusive": end, "order": order, "sort_on": sort_on}
    | {"precision": precision, "rounding": rounding, "rounded": rounded}
    for precision in UNITS
    for rounding, rounded in itertools.product(("cut", "nearest"), ("all", "bounds"))
    if precision != "nanoseconds" or (rounding, rounded) == ("cut", "all")
    for start, end in itertools.product((True, False), repeat=2)
    for order, sort_on in itertools.product(("newest", "oldest"), TIMES)
][::5]
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
@pytest.mark.parametrize("count", [0, 1, 10, 1_500])
@pytest.mark.parametrize("page", [Store.query, busy])
def test_each_way_to_sort_and_compare_is_recognized(
    page, count, filter_on, monkeypatch
):
    monkeypatch.setattr(facts, "parse", cache(timestamps.parse))  # Half of the time.
    server = Server(log(count), page, filter_on=filter_on)
    for options in COMBINATIONS:
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
        assert is_honest(found[name], FINE)
        assert "not found out" not in found[name] or " or " in found[name]


TOO_FEW = f"not found out: {facts.TOO_FEW}"
CROWDED = f"not found out: {facts.CROWDED}"
FINE = "included, compared to the nanosecond"
LOG = log(1_500)
CROWD = [item(UNTIL - DAY + place * SECOND // 1500) for place in range(1500)]
AT = UNTIL - DAY + 123_456_789
BY_LAST = {"filter_on": TIMES[1]}
ONCE_AND_AGAIN = [item(AT, name="once"), item(AT - 600 * SECOND, AT, "again")]
AGAIN_LATER = [item(AT), item(AT, AT + SECOND, "again")]
MORE = {"requestId": "r", "object": {"labels": {"a": 1}, "ana@example.com": 1}}


@pytest.mark.parametrize(
    ("items", "options", "name", "text"),
    [
        (LOG, {}, "Limit of 1,001", "gets 1,000 events"),
        (LOG, {"max_limit": 250}, "Limit of 1,001", "gets 250 events"),
        (LOG, {"over_limit": "refuse"}, "Limit of 1,001", "refused"),
        (LOG, {"over_limit": "honour"}, "Limit of 1,001", "gets 1,001 events"),
        (LOG, {}, "No limit", "gets 10 events"),
        (LOG, {"default_limit": 25}, "No limit", "gets 25 events"),
        (LOG, {"max_offset": 99, "default_limit": 50}, "No limit", "gets 50 events"),
        (LOG, {}, "Large offset", "1,000: works"),
        (log(105), {}, "Large offset", "10: works"),
        (LOG, {"max_offset": 999}, "Large offset", "1,000: refused"),
        (
            LOG,
            {"max_offset": 999, "over_offset": "empty"},
            "Large offset",
            "1,000: gets no events",
        ),
        (LOG, {"max_offset": 3}, "Offset past the end", "refused"),
        (LOG, {}, "Events of one time", "in the same order twice"),
        (LOG, {"ties": "shuffled"}, "Events of one time", "in another order each time"),
        (LOG, {}, "Unknown members", "none"),
        (LOG, {"older": True}, "Unknown members", "none"),
        # The rest of the log is not taken for a default.
        (log(30), {"default_limit": 25}, "Large offset", "10: works"),
        (log(30), {"default_limit": 25}, "No limit", TOO_FEW),
        # A page that is cut short shows nothing.
        (CROWD, {}, "Start of a range", CROWDED),
        (CROWD, {}, "Count", CROWDED),
        # An event that occurred again is not mistaken for one at its time.
        (ONCE_AND_AGAIN, BY_LAST | {"order": "oldest"}, "Start of a range", FINE),
        (AGAIN_LATER, BY_LAST, "End of a range", f"not {FINE}"),
        (AGAIN_LATER, BY_LAST, "Start of a range", FINE),
        # Keys of maps may be data.
        (
            [item(AT) | MORE],
            {},
            "Unknown members",
            "another, `object.labels`, `requestId`",
        ),
    ],
)
def test_what_the_events_show_is_told(items, options, name, text):
    assert Server(items, **options).findings()[name] == text


def test_times_at_the_ends_of_the_calendar_stop_nothing():
    def timeless(store, query):
        return store.query(replace(query, start_ns=None, end_ns=None))

    for at in ("0001-01-01 00:00:00 +0000 UTC", "9999-12-31 23:59:59 +0000 UTC"):
        items = [{"timestamp": at, "lastOccurredTimestamp": at}]
        texts = Server(items, timeless).findings()
        assert texts["Start of a range"] in {facts.FAILED, facts.UNEXPLAINED}
        assert texts["Unknown members"] == "none"


def unsorted(store, query):
    rows, total = store.query(query)
    return rows[1::2] + rows[::2], total


def miscounted(store, query):
    rows, total = store.query(query)
    return rows, total + 1


def endless(store, query):
    return store.query(replace(query, offset=0))


def in_minutes(store, query):
    bounds = (query.start_ns, query.end_ns)
    start, end = (one // (60 * SECOND) * 60 * SECOND for one in bounds)
    return store.query(replace(query, start_ns=start, end_ns=end))


@pytest.mark.parametrize(
    ("page", "name", "text"),
    [
        (unsorted, "Order", facts.UNSORTED),
        (miscounted, "Count", facts.MISCOUNTED),
        (endless, "Offset past the end", facts.ENDLESS),
        (in_minutes, "Start of a range", facts.UNEXPLAINED),
        (in_minutes, "End of a range", facts.UNEXPLAINED),
    ],
)
def test_what_the_tap_does_not_expect_is_a_warning(page, name, text):
    assert Server(LOG, page).findings()[name] == text
    assert text in facts.WARNINGS


@pytest.mark.parametrize("status", [429, 500, None])
def test_what_fails_is_given_up(status):
    def fail(store, query):
        if len(server.asked) <= 3:
            return store.query(query)
        if status:
            raise ApiError(status, "secret words")
        return [b'{"timestamp":"secret words"}'], 1

    server = Server(LOG, fail)
    texts = server.findings()
    assert len(server.asked) <= 3 + 4
    assert "secret" not in str(texts)
    assert texts["Order"] == "newest first by `timestamp`"
    assert texts["Count"].startswith("not found out: requests fail, take too long")


def test_the_time_is_limited(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(store, query):
        now[0] += 9
        return store.query(query)

    server = Server(LOG, slow)
    server.findings()
    assert now[0] <= 30
    assert len(server.asked) == 3


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
    assert FINE in shown
    assert "object.labels" in shown
    for text in {*strings(dict(enumerate(items)))}:
        day, _, rest = text.partition(" ")
        for part in (text, *([day, rest.split()[0]] if rest else [])):
            assert part not in shown, part
    for text in ("org-4711", "filters.", sandbox.url, sandbox.api_key_id, "/api/"):
        assert text not in shown


def test_no_sync_imports_it():
    for path in (ROOT / "tap_akuity").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^(from|import) .*\bfacts\b", text, re.MULTILINE), path
