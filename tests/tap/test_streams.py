"""Runs against the sandbox: where they start and end, and what their state keeps."""

import json
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import backoff
import pytest

from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour
from tap_akuity.checks.daily import GapError
from tap_akuity.output import progress
from tap_akuity.reading import reader
from tap_akuity.reading.ranges import IncompleteError, Range
from tap_akuity.reading.windows import Window, windows
from tap_akuity.text.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.events import go, ids
from tests.helpers.running import (
    Output,
    bookmark,
    config_for,
    last_state,
    organization,
    records,
    stats,
    sync,
)

DAY_0 = parse("2026-03-01T00:00:00Z")
HOUR = 3600 * SECOND
RECOUNT_DAYS = 7


def item_at(instant, **members):
    text = go(0, since=instant)
    return {
        "timestamp": text,
        "action": "created",
        "lastOccurredTimestamp": text,
        **members,
    }


class World:
    """A sandbox, a pipeline that runs now and then, and the clock of both."""

    def __init__(self, sandbox, monkeypatch):
        self.sandbox = sandbox
        self.now = DAY_0
        self.skew = 0
        self.state: Any = None
        self.settings = {"start_date": "2026-02-01"}
        sandbox.state.clock = lambda: self.now + self.skew
        monkeypatch.setattr(time, "time_ns", lambda: self.now)

    def happen(self, *instants, **members):
        """Let Akuity learn of events, and return their ids."""
        items = [item_at(instant, **members) for instant in instants]
        self.sandbox.store.add(items)
        return ids(items)

    def messages(self):
        self.sandbox.state.stats.reset()
        return sync(config_for(self.sandbox, **self.settings), self.state)

    def run(self, hour):
        """Run the pipeline at that hour, and return the ids that it emits."""
        self.now = DAY_0 + round(hour * HOUR)
        messages = self.messages()
        self.state = last_state(messages)
        return [record["id"] for record in records(messages)]

    @property
    def requests(self):
        return stats(self.sandbox)["requests"]

    @property
    def kept(self):
        return self.state["bookmarks"]["audit_logs"]


@pytest.fixture
def world(monkeypatch):
    with Sandbox([]) as sandbox:
        yield World(sandbox, monkeypatch)


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


def state_of(instant, **more):
    state = {"replication_key_value": to_text(instant), **more}
    return {"bookmarks": {"audit_logs": state}}


@pytest.mark.parametrize("end_date", [None, "2100-01-01"])
def test_every_event_once_and_in_order(end_date, caplog, monkeypatch):
    """Though others arrive while they are read."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.0)
    data = list(Dataset(records=100))
    with Sandbox(data) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, arrivals=3)
        emitted = records(sync(config_for(sandbox, page_size=9, end_date=end_date)))
    assert sorted(record["id"] for record in emitted) == sorted(ids(data))
    assert emitted == sorted(emitted, key=lambda record: parse(record["timestamp"]))
    assert any(" % of 10" in message for message in caplog.messages)


def at(seconds, nanoseconds=0):
    return to_text(DAY_0 + seconds * SECOND + nanoseconds)


@pytest.mark.parametrize(
    ("settings", "since", "emitted", "reached"),
    [
        ({}, None, [-1000, -131, -129, -30, -10], -10),
        ({"start_date": "0001-01-01"}, None, [-1000, -131, -129, -30, -10], -10),
        ({"start_date": None, "lookback_seconds": 119}, -11, [-129, -30, -10], -10),
        ({"lookback_seconds": 0}, -20, [-10], -10),
        # It is exact, whatever the precision.
        ({"timestamp_precision": "microseconds"}, -99, [-131, -129, -30, -10], -10),
        # It stays if nothing is emitted, and never moves backwards.
        ({}, -5, [-131, -129, -30, -10], -5),
        ({"lookback_seconds": 0}, -5, [], -5),
        ({"start_date": at(-1)}, None, [], None),
        # Both dates bound every run.
        ({"start_date": at(-130)}, -20, [-129, -30, -10], -10),
        ({"end_date": at(-20)}, None, [-1000, -131, -129, -30], -30),
        ({"end_date": at(-130)}, -20, [-131], -20),
    ],
)
def test_where_a_run_starts_and_its_bookmark_ends(
    world, settings, since, emitted, reached
):
    seconds = [-1000, -131, -129, -30, -10]
    found = world.happen(*(DAY_0 + second * SECOND + 1 for second in seconds))
    world.settings |= {"recount_days": 0, **settings}
    if since is not None:
        world.state = state_of(DAY_0 + since * SECOND)
    by_second = dict(zip(seconds, found, strict=True))
    assert world.run(0) == [by_second[second] for second in emitted]
    kept = {"checked_on": "2026-03-01"} if "end_date" not in settings else {}
    kept["read_until"] = settings.get("end_date", at(0))
    kept["source"] = world.kept["source"]
    if reached is not None:
        kept["replication_key"] = "timestamp"
        kept["replication_key_value"] = at(reached, nanoseconds=reached != since)
    assert world.kept == kept


def test_what_has_been_read_stays_read(world):
    world.happen(DAY_0 - SECOND)
    world.run(1)
    world.settings["end_date"] = at(0)
    assert world.run(2)
    assert world.kept["read_until"] == at(3600)


def test_nothing_is_requested_after_the_end_date_is_reached(world, caplog):
    caplog.set_level(logging.INFO)
    world.settings |= {"end_date": at(-20), "lookback_seconds": 0}
    world.state = state_of(DAY_0 - 20 * SECOND)
    assert world.run(0) == []
    assert world.requests == 0
    done = "Everything before `end_date` has been read: nothing to do."
    assert done in caplog.messages


def test_the_bookmark_does_not_pass_the_end(monkeypatch):
    """If the server filters on something else, and returns what lies after it."""
    behaviour = Behaviour(filter_on="lastOccurredTimestamp")
    with Sandbox([], behaviour=behaviour) as sandbox:
        world = World(sandbox, monkeypatch)
        world.settings["end_date"] = at(-10)
        found = world.happen(DAY_0 - 50 * SECOND)
        found += world.happen(DAY_0 + DAY, lastOccurredTimestamp=go(-40, since=DAY_0))
        assert world.run(0) == found
        assert world.kept["replication_key_value"] == at(-10)


@pytest.mark.parametrize("hour", [0, 1])
def test_the_bookmark_goes_back_if_events_are_missing(world, monkeypatch, hour):
    def short(*args):
        yield from windows(*args)
        yield Window(Range(DAY_0, DAY_0), [], "", set(), [], is_restart=True)
        raise IncompleteError

    world.happen(DAY_0 - 1)
    if hour:
        world.run(0)
        world.happen(DAY_0 + 1)
    before = world.state and dict(world.kept)
    monkeypatch.setattr(reader, "windows", short)
    output = Output()
    with pytest.raises(IncompleteError):
        sync(config_for(world.sandbox, **world.settings), world.state, output=output)
    names = "replication_key_value", "read_until"
    last = last_state(output.messages)["bookmarks"]["audit_logs"]
    assert [last.get(name) for name in names] == [
        before and before[name] for name in names
    ]


def test_no_bookmark_passes_an_event_that_is_too_big(monkeypatch, caplog):
    with Sandbox([], behaviour=Behaviour(too_big_bytes=9_000)) as sandbox:
        world = World(sandbox, monkeypatch)
        before, after = world.happen(DAY_0 - 9 * DAY, DAY_0 - 1)
        world.happen(DAY_0 - 8 * DAY + 1, details={"patch": "x" * 9_000})
        output = Output()
        with pytest.raises(IncompleteError, match="except those too big"):
            sync(config_for(sandbox, **world.settings), output=output)
    assert [record["id"] for record in records(output.messages)] == [before, after]
    assert bookmark(last_state(output.messages)) is None
    (warning,) = [m for m in warnings(caplog) if "cannot be loaded" in m]
    assert "from 2026-02-21T00:00:00Z to 2026-02-21T00:00:03Z" in warning
    assert "too big for Akuity to send" in warning


def test_late_and_grown_events_come_again_with_their_id(world):
    first, last = item_at(DAY_0 - 100 * SECOND, count=1), item_at(DAY_0 - 50 * SECOND)
    world.sandbox.store.add([first, last])
    world.run(0)
    late = item_at(DAY_0 - 60 * SECOND)
    world.sandbox.store.add([late])
    world.sandbox.store.bump(first, DAY_0 - 40 * SECOND, 6)
    messages = world.messages()
    grown = records(messages)[0]
    assert [record["id"] for record in records(messages)] == ids([first, late, last])
    assert grown["count"] == 7
    assert parse(grown["lastOccurredTimestamp"]) == DAY_0 - 40 * SECOND
    assert bookmark(last_state(messages)) == at(-50)


@pytest.mark.parametrize("skew", [0, -80_000, 80_000])
def test_without_start_date_and_state_nothing_past_is_emitted(world, skew, caplog):
    """From now on, everything is, by the earlier of the two clocks."""
    world.skew = skew * SECOND + 5
    skew = min(skew, 0)
    world.settings["start_date"] = None
    world.happen(*(DAY_0 + (skew - age) * SECOND for age in (100, 1)))
    assert world.run(0) == []
    moment = at(skew)
    assert world.kept == {
        "source": world.kept["source"],
        "replication_key": "timestamp",
        "replication_key_value": moment,
        "not_before": moment,
    }
    (warning,) = warnings(caplog)
    assert warning == (
        "Nothing was loaded, because there is neither a state nor the setting "
        f"`start_date`: the next run starts at {moment}. To load past events, set "
        "`start_date`, and run without the state."
    )
    # Nor does the lookback of any later run bring what is past.
    later = world.happen(DAY_0 + skew * SECOND)
    assert world.run(0.01) == later
    assert world.run(0.02) == later


def test_filters_that_match_nothing_are_named(world, caplog):
    world.settings |= {"actions": ["created", "creatd"], "origins": ["mpc", "mcp"]}
    world.settings["end_date"] = at(-20)
    wanted = world.happen(DAY_0 - 50 * SECOND, actor={"origin": "mcp"})
    world.happen(DAY_0 - 40 * SECOND, actor=None)
    assert world.run(0) == wanted
    (warning,) = warnings(caplog)
    assert warning == (
        "From 2026-02-01T00:00:00Z to 2026-02-28T23:59:40Z no event matches `actions`: "
        "creatd; `origins`: mpc: check the values, which must be as Akuity spells them."
    )
    # Most runs with a bookmark find nothing new.
    assert world.run(0) == wanted
    assert len(warnings(caplog)) == 1


FULL_REFRESH = (
    "loaded: to load it, run once without the state (with Meltano, --full-refresh)."
)


@pytest.mark.parametrize(
    "changed",
    [{"actions": ["created"]}, {"actor_ids": ["x"]}, {"organization_id": "other"}],
)
def test_a_state_of_other_events_is_reported(world, changed, caplog):
    world.settings |= {"actor_ids": ["x", "y"]}
    for name in ("y", "x"):
        world.happen(DAY_0, actor={"id": name})
    world.run(1)
    world.settings["actor_ids"] = ["y", "x", "x"]
    world.run(2)
    assert warnings(caplog) == []
    world.settings |= changed
    options = world.sandbox.state.options
    organization_id = world.settings.get("organization_id", "sandbox")
    world.sandbox.state.options = replace(options, organization_id=organization_id)
    world.run(3)
    assert warnings(caplog) == [
        "The state is from another `organization_id` or other filters, so what they "
        f"left out before {at(0)} is not {FULL_REFRESH}"
    ]
    world.run(4)
    assert len(warnings(caplog)) == 1


def test_a_start_date_that_comes_too_late_is_reported_by_each_run(world, caplog):
    world.settings["start_date"] = None
    world.run(0)
    caplog.clear()
    for start_date in (at(-DAY // SECOND), at(-1), at(0), at(1)):
        world.settings["start_date"] = start_date
        world.run(1)
    assert warnings(caplog) == [
        f"Setting `start_date` is {start_date}, but the first run had none, so nothing "
        f"before {at(0)} is {FULL_REFRESH}"
        for start_date in (at(-DAY // SECOND), at(-1))
    ]


# The daily checks.


def test_what_was_read_is_no_gap_however_long_ago_the_last_event(world, caplog):
    world.sandbox.state.options = Options(months_kept=6)
    world.settings["fail_on_gap"] = True
    world.happen(DAY_0)
    for day in range(0, 365, 31):
        world.run(24 * day + 1)
    assert world.kept["replication_key_value"] == at(0)
    assert warnings(caplog) == []
    world.now += 190 * DAY
    with pytest.raises(GapError, match="Events from 2027-02-05T01:00:00Z to"):
        world.messages()


def test_a_shard_that_was_read_has_no_gap(world, caplog):
    world.settings |= {"fail_on_gap": True, "end_date": at(3600)}
    world.happen(DAY_0 + HOUR - SECOND)
    kept, hidden = Options(months_kept=6), Options(account="403")
    for day, options in ((1, kept), (100, hidden), (300, kept)):
        world.sandbox.state.options = options
        assert len(world.run(24 * day)) == 1
    assert warnings(caplog) == []
    world.state["bookmarks"]["audit_logs"]["read_until"] = at(3599)
    with pytest.raises(
        GapError, match=r"Events from 2026-03-01T00:59:59Z to 2026-03-01"
    ):
        world.messages()


def test_a_gap_is_reported_once_or_an_error(world, caplog):
    world.sandbox.state.options = Options(months_kept=6)
    world.state = state_of(DAY_0 - 213 * DAY)
    world.settings |= {"start_date": None, "fail_on_gap": True}
    output = Output()
    config = config_for(world.sandbox, **world.settings)
    with pytest.raises(GapError, match="set `start_date` to 2025-09-01T00:00:00Z"):
        sync(config, world.state, output=output)
    # Nothing follows: no event, and no state that says that it has been reported.
    assert [message["type"] for message in output.messages] == ["STATE", "SCHEMA"]
    world.settings["fail_on_gap"] = False
    for hour in (0, 1, 24):
        world.run(hour)
        assert world.kept["checked_on"] == to_text(world.now)[:10]
    world.settings["start_date"] = at(-7 * 86_400)
    world.run(48)
    assert [message[:32] for message in warnings(caplog)] == [
        "Events from 2025-07-31T00:00:00Z",
    ]


def test_the_key_is_checked_once_a_day_by_the_server_s_clock(world, caplog):
    expires = datetime(2026, 3, 16, tzinfo=UTC)
    world.sandbox.state.options = Options(key_expires=expires)
    world.run(0)
    world.skew = 23 * HOUR
    world.run(1)
    assert world.kept["read_until"] == at(3600)
    world.run(2)
    (warning,) = warnings(caplog)
    assert warning.startswith("The API key expires at 2026-03-16T00:00:00Z")
    world.settings["end_date"] = at(0)
    world.run(48)
    assert len(warnings(caplog)) == 1


def test_retries_and_their_waits_are_in_the_last_line(world, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.05)
    world.happen(DAY_0 - HOUR)
    world.sandbox.state.faults = Faults(Plan(("503",), times=2))
    world.settings |= {"end_date": at(0), "max_retries": 2}
    world.run(0)
    (line,) = [m for m in caplog.messages if m.startswith("Sync completed: ")]
    assert line.endswith(" requests=3 retries=2")
    # The waits for the first response count, too.
    assert float(line.split(" seconds=")[1].split()[0]) >= 2 * 0.05


# Events that arrive days late.


def test_the_first_run_of_the_next_day_loads_what_arrived_days_late(world, caplog):
    caplog.set_level(logging.INFO)
    first, second = world.happen(DAY_0, DAY_0 + DAY)
    assert world.run(25) == [first, second]
    (late,) = world.happen(DAY_0 + 1)
    assert world.run(26) == [second]
    assert world.requests == 1
    caplog.clear()
    assert world.run(48) == [first, late, second]
    # A count that is not as expected is requested twice.
    assert world.requests == RECOUNT_DAYS + 1 + 1 + 1 + 1
    (line,) = [m for m in caplog.messages if m.startswith("Sync completed: ")]
    figures = dict(pair.split("=") for pair in line.split(": ")[1].split())
    assert float(figures.pop("seconds")) >= 0
    assert " ".join(f"{name}={value}" for name, value in figures.items()) == (
        "since=2026-03-01T23:55:00Z until=2026-03-03T00:00:00Z counted=1 read=3 "
        f"read_again=2 emitted=3 first={at(0)} last={at(86_400)} windows=2 "
        f"requests={world.requests + 1} retries=0"  # One is for the key.
    )
    (metric,) = [m for m in caplog.messages if '"sync_duration"' in m]
    tags = json.loads(metric.removeprefix("METRIC: "))["tags"]
    assert figures.items() <= {name: str(tag) for name, tag in tags.items()}.items()
    assert world.run(72) == [second]


@pytest.mark.parametrize(
    "settings", [{"end_date": at(3 * 86_400)}, {"recount_days": 0}]
)
def test_nothing_is_recounted(world, settings):
    """In a shard, or if that is turned off."""
    world.settings |= settings
    world.happen(*(DAY_0 + day * DAY for day in range(3)))
    world.run(5 * 24)
    world.happen(DAY_0 + 1)
    assert len(world.run(6 * 24)) == 1
    assert world.requests == 1
    assert "recount" not in world.kept


@pytest.mark.parametrize("changed", ["filters", "organization"])
def test_other_events_are_counted_anew(world, changed, monkeypatch):
    world.settings["actions"] = ["created"]
    for action in ("created", "deleted"):
        world.happen(DAY_0 + HOUR, DAY_0 + DAY + HOUR, action=action)
    world.run(26)
    with organization("other", []) as sandbox:
        if changed == "organization":
            state, world = world.state, World(sandbox, monkeypatch)
            world.happen(DAY_0, DAY_0 + HOUR)
            world.state = state
        else:
            world.settings["actions"] = ["created", "deleted"]
        assert len(world.run(27)) == {"filters": 2, "organization": 0}[changed]
        (kept,) = world.kept["recount"].values()
        assert kept["counted"]["2026-03-01"] == 2
