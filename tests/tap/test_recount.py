"""Events that arrive days late: the first run of the next day loads them."""

from __future__ import annotations

import itertools
import json
import logging
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.server import Sandbox
from sandbox.store import Behaviour
from tap_akuity.records.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.events import go, ids
from tests.helpers.running import (
    config_for,
    last_state,
    organization,
    records,
    stats,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.helpers.running import Message

DAY_0 = parse("2026-03-01T00:00:00Z")
HOUR = 3600 * SECOND
RECOUNT_DAYS = 7
LOOKBACK = 1
"""How many events are so near to the bookmark that each run reads them."""


class World:
    """A sandbox, a pipeline that is run now and then, and the clock of both."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sandbox = sandbox
        self.now = DAY_0
        self.state: dict[str, Any] | None = None
        self.happened: set[str] = set()
        self.loaded: set[str] = set()
        self.settings: dict[str, Any] = {"start_date": "2026-02-01"}
        sandbox.state.clock = lambda: self.now
        monkeypatch.setattr(time, "time_ns", lambda: self.now)

    def happen(self, *instants: int, **members: Any) -> None:
        """Let Akuity learn of events, which happened when it may be."""
        items = [item_at(instant, **members) for instant in instants]
        self.happened.update(ids(items))
        self.sandbox.store.add(items)

    def run(self, day: int, hours: float = 0) -> list[str]:
        """Run the pipeline at that time; give the ids that came."""
        self.now = DAY_0 + day * DAY + round(hours * HOUR)
        self.sandbox.state.stats.reset()
        return self.take(sync(config_for(self.sandbox, **self.settings), self.state))

    def take(self, messages: list[Message]) -> list[str]:
        found = records(messages)
        times = [parse(record["timestamp"]) for record in found]
        assert times == sorted(times)
        before, self.state = self.state, last_state(messages)
        if before:
            assert bookmark(before) <= bookmark(self.state)
        self.loaded.update(record["id"] for record in found)
        return [record["id"] for record in found]

    @property
    def requests(self) -> int:
        return int(stats(self.sandbox)["requests"])

    @property
    def missing(self) -> int:
        return len(self.happened - self.loaded)


def item_at(instant: int, **members: Any) -> dict[str, Any]:
    return {
        "timestamp": go(0, since=instant),
        "action": "created",
        "lastOccurredTimestamp": go(0, since=instant),
        **members,
    }


def bookmark(state: dict[str, Any]) -> str:
    return str(state["bookmarks"]["audit_logs"].get("replication_key_value", ""))


def kept(state: dict[str, Any] | None) -> dict[str, Any]:
    """Pick what the state keeps of the last days."""
    assert state is not None
    (found,) = state["bookmarks"]["audit_logs"]["recount"].values()
    return dict(found)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterable[World]:
    with Sandbox([]) as sandbox:
        yield World(sandbox, monkeypatch)


EDGES = (0, 1, SECOND // 2, 23 * HOUR, DAY - SECOND // 2, DAY - 500_000, DAY - 5_000)
"""When each day something happens, of all of which an end may or may not be made."""


SEMANTICS = [
    Behaviour(
        start_inclusive=start,
        end_inclusive=end,
        whole_seconds=whole,
        filter_on=filter_on,
    )
    for start, end, whole in itertools.product([True, False], repeat=3)
    for filter_on in ("timestamp", "lastOccurredTimestamp")
]


@pytest.mark.parametrize("behaviour", SEMANTICS)
def test_the_first_run_of_the_next_day_loads_what_arrived_days_late(
    behaviour: Behaviour,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with Sandbox([], behaviour=behaviour) as sandbox:
        world = World(sandbox, monkeypatch)
        for day in range(4):
            midnight = DAY_0 + day * DAY
            world.run(day, 0.01)
            assert not world.missing, day
            # A day that nothing was late for is not read again.
            again = [m for m in caplog.messages if "reading that day again" in m]
            assert len(again) == (RECOUNT_DAYS + 1 if day == 2 else 0)
            caplog.clear()
            world.happen(*(midnight + edge for edge in EDGES if edge < 12 * HOUR))
            world.run(day, 12)
            assert world.requests == 1
            world.happen(*(midnight + edge for edge in EDGES if edge >= 12 * HOUR))
            world.run(day, 24 - 1e-9)
            assert world.requests == 1
            assert not world.missing
            if day == 1:
                for late in range(RECOUNT_DAYS + 1):
                    at = midnight - late * DAY
                    world.happen(at, at + 5 * HOUR, actor={"id": "late"})
                assert world.missing == 2 * (RECOUNT_DAYS + 1)


def again(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Pick what was said of the days."""
    return [m for m in caplog.messages if " than before" in m]


def test_an_older_state_is_only_counted_at_first(world: World) -> None:
    world.happen(*(DAY_0 - day * DAY + HOUR for day in range(9)))
    world.state = {
        "bookmarks": {
            "audit_logs": {"replication_key_value": to_text(DAY_0 + 2 * HOUR)}
        }
    }
    assert world.run(0, 3) == []
    closed_days, today = RECOUNT_DAYS, 1
    explained = 1  # What is loaded of today.
    assert world.requests == 1 + closed_days + today + explained
    counted = {f"2026-02-{day}": 1 for day in range(22, 29)}
    assert kept(world.state) == {
        "until": "2026-03-01T01:55:00Z",
        "loaded": {"2026-03-01": 1},
        "counted": counted,
    }
    world.happen(DAY_0 - 2 * DAY, DAY_0 + HOUR + 1)
    assert world.run(0, 23) == []
    assert len(world.run(1)) == 2 + 2
    del counted["2026-02-22"]
    assert kept(world.state)["counted"] == counted | {"2026-02-27": 2}
    assert not world.run(2)


def test_a_day_that_shrinks_is_said_and_noted_while_another_grows(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for day in range(3):
        world.happen(*(DAY_0 + day * DAY + hour * HOUR for hour in range(10)))
        world.run(day, 12)
    world.run(3)
    caplog.clear()
    store = world.sandbox.store
    store.remove_before(DAY_0 + 4 * HOUR)  # Six are left, and one comes back.
    store.add([item_at(DAY_0)])
    world.happen(DAY_0 + DAY + HOUR // 2)
    assert len(world.run(4)) == 11 + LOOKBACK
    assert again(caplog) == [
        "3 fewer events of 2026-03-01 than before: Akuity no longer counts them.",
        "1 more events of 2026-03-02 than before, which came late: reading that day "
        "again.",
    ]
    caplog.clear()
    assert len(world.run(5)) == LOOKBACK
    assert again(caplog) == []
    # What was noted is what the day is compared with from then on.
    world.happen(DAY_0 + 9 * HOUR + 1)
    assert len(world.run(6)) == 8 + LOOKBACK
    assert not world.missing


@pytest.mark.parametrize("seed", range(2))
def test_killed_twenty_times_the_next_run_does_it_again(
    world: World, seed: int
) -> None:
    rng = random.Random(seed)
    for day in range(5):
        world.happen(*(DAY_0 + day * DAY + n * SECOND for n in range(0, 40_000, 999)))
        world.run(day, 23)
    for day in range(5):
        world.happen(DAY_0 + day * DAY + 5)
    world.happen(DAY_0 + 4 * DAY + 23 * HOUR + 1)
    config = config_for(world.sandbox, **world.settings)
    world.now = DAY_0 + 5 * DAY
    for _ in range(20):
        messages = sync(config, world.state)
        # A target passes on what it had before the end.
        states = [n for n, m in enumerate(messages) if m["type"] == "STATE"]
        cut = rng.randrange(states[0] + 1, len(messages))
        world.take(messages[:cut])
    world.take(sync(config, world.state))
    assert not world.missing
    assert len(world.run(6)) == LOOKBACK


def test_a_kill_before_the_day_is_read_again_forgets_nothing(world: World) -> None:
    for day in range(3):
        world.happen(DAY_0 + day * DAY)
        world.run(day, 12)
    world.happen(DAY_0 + 1, DAY_0 + DAY + 1)
    world.now = DAY_0 + 3 * DAY
    messages = sync(config_for(world.sandbox, **world.settings), world.state)
    places = [n for n, m in enumerate(messages) if m["type"] == "STATE"]
    for place in places:
        cut = messages[: place + 1]
        emitted = {record["id"] for record in records(cut)}
        state = last_state(cut)["bookmarks"]["audit_logs"]
        more = sync(config_for(world.sandbox, **world.settings), last_state(cut))
        assert emitted | {r["id"] for r in records(more)} >= world.happened - (
            world.loaded
        )
        assert state["replication_key_value"] == bookmark(world.state or {})
    assert len(places) > 3


def test_the_same_day_and_more_than_the_lookback_late(world: World) -> None:
    world.happen(DAY_0 + 10 * HOUR, DAY_0 + 20 * HOUR)
    world.run(0, 21)
    world.happen(DAY_0 + 10 * HOUR + 1)
    assert len(world.run(0, 22)) == 1
    assert world.missing == 1
    assert len(world.run(1)) == 2 + LOOKBACK
    assert not world.missing


def test_what_was_late_within_the_lookback_is_not_read_again(world: World) -> None:
    world.happen(*(DAY_0 + hour * HOUR for hour in range(20)))
    world.run(0, 19.5)
    world.happen(DAY_0 + 19 * HOUR - 60 * SECOND)
    assert len(world.run(0, 20)) == 2
    assert len(world.run(1)) == 2


def test_what_is_read_again_ends_where_what_is_new_starts(world: World) -> None:
    world.happen(*(DAY_0 + n * SECOND // 10 for n in range(3005)))
    world.run(0, 12)
    world.happen(DAY_0 + 1)
    found = world.run(1)
    assert len(found) == len(set(found))
    assert not world.missing


def test_a_pipeline_that_stood_still_compares_what_it_knew(world: World) -> None:
    world.happen(*(DAY_0 + day * DAY for day in range(3)))
    world.run(2, 12)
    world.happen(DAY_0 + 1)
    world.happen(DAY_0 + 30 * DAY)
    assert len(world.run(40)) == 2 + LOOKBACK + 1
    assert not world.missing
    # These days have left the span by then.
    assert kept(world.state)["loaded"] == kept(world.state)["counted"] == {}


def test_a_start_date_within_a_day_bounds_it(world: World) -> None:
    world.happen(DAY_0 + HOUR, DAY_0 + 3 * HOUR)
    world.settings["start_date"] = "2026-03-01T02:00:00Z"
    assert len(world.run(0, 4)) == 1
    world.happen(DAY_0 + DAY + HOUR)
    world.run(1, 2)
    world.happen(DAY_0 + HOUR + 1, DAY_0 + 2 * HOUR + 1)
    assert len(world.run(2)) == 2 + LOOKBACK
    assert world.missing == 2
    assert kept(world.state)["counted"] == {"2026-03-01T02:00:00Z": 2}
    # With another one, the day is another range, and only counted.
    world.settings["start_date"] = "2026-03-01T00:30:00Z"
    world.happen(DAY_0 + 2 * HOUR + 2)
    assert len(world.run(3)) == LOOKBACK
    assert kept(world.state)["counted"]["2026-03-01T00:30:00Z"] == 5


def test_not_before_bounds_the_days(world: World) -> None:
    world.settings["start_date"] = None
    world.happen(DAY_0 + HOUR)
    assert world.run(0, 12) == []
    world.happen(DAY_0 + 13 * HOUR)
    assert len(world.run(0, 14)) == 1
    world.happen(DAY_0 + HOUR + 1, DAY_0 + 12 * HOUR + 1)
    assert len(world.run(1)) == 2
    assert world.missing == 2


def test_a_shard_recounts_nothing(world: World) -> None:
    world.happen(*(DAY_0 + day * DAY for day in range(3)))
    world.settings["end_date"] = "2026-03-03"
    world.run(5)
    assert world.requests == 1
    assert "recount" not in (world.state or {})["bookmarks"]["audit_logs"]
    world.happen(DAY_0 + 1)
    assert world.run(6) == [*world.run(6)]
    assert world.requests == 1


def test_turned_off(world: World) -> None:
    world.settings["recount_days"] = 0
    world.happen(DAY_0, DAY_0 + HOUR)
    world.run(0, 12)
    world.happen(DAY_0 + 1)
    world.run(1)
    assert world.requests == 1
    assert world.missing == 1
    assert "recount" not in (world.state or {})["bookmarks"]["audit_logs"]


def test_other_filters_begin_anew(world: World) -> None:
    for action in ("created", "deleted"):
        world.happen(DAY_0 + HOUR, action=action)
    world.settings["actions"] = ["created"]
    world.happen(DAY_0 + DAY + HOUR)
    assert len(world.run(1, 2)) == 2
    world.settings["actions"] = ["created", "deleted"]
    assert len(world.run(1, 3)) == LOOKBACK
    assert kept(world.state)["counted"]["2026-03-01"] == 2


def test_the_states_of_two_organizations_are_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.happen(DAY_0 + HOUR, DAY_0 + DAY + HOUR)
    world.run(1, 2)
    with organization("other", []) as sandbox:
        other = World(sandbox, monkeypatch)
        sandbox.store.add(
            item_at(DAY_0 + n * HOUR, actor={"id": "other"}) for n in range(1, 9)
        )
        other.state = world.state
        # Its days are not those that were counted elsewhere.
        assert other.run(1, 3) == []
        assert kept(other.state)["counted"]["2026-03-01"] == 8
        sandbox.store.add([item_at(DAY_0, actor={"id": "other"})])
        assert len(other.run(2)) == 9
    world.now = DAY_0 + 2 * DAY
    monkeypatch.setattr(time, "time_ns", lambda: world.now)
    assert len(world.run(2)) == LOOKBACK
    assert kept(world.state)["counted"]["2026-03-01"] == 1


def test_a_server_that_does_not_filter_is_compared_with_what_it_gave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Sandbox([], behaviour=Behaviour(older=True)) as sandbox:
        world = World(sandbox, monkeypatch)
        world.settings["origins"] = ["mcp"]
        sandbox.store.add(item_at(DAY_0 + n * HOUR) for n in range(9))
        world.run(0, 12)
        assert kept(world.state)["loaded"]["2026-03-01"] == 8
        world.run(1)
        assert world.requests == 1 + RECOUNT_DAYS + 1


def test_a_state_that_was_merged_with_an_older_one(world: World) -> None:
    for day in range(3):
        world.happen(DAY_0 + day * DAY)
        world.run(day, 12)
    older = world.state or {}
    world.settings["actions"] = ["created"]
    world.run(3)
    world.state = merged(older, world.state or {})
    world.happen(DAY_0 + 1)
    assert len(world.run(4)) == 3
    assert world.run(4, 1) == [*world.run(4, 2)]


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Merge as Meltano does, at any depth."""
    both = {
        name: merged(one[name], other[name])
        if isinstance(one[name], dict)
        else other[name]
        for name in one.keys() & other.keys()
    }
    return one | other | both


def test_a_day_that_is_read_again_is_counted_in_the_last_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.happen(DAY_0, DAY_0 + DAY)
    world.run(1, 1)
    world.happen(DAY_0 + 1)
    caplog.clear()
    world.run(2)
    (line,) = [m for m in caplog.messages if m.startswith("Sync completed: ")]
    figures = dict(pair.split("=") for pair in line.split(": ")[1].split())
    assert float(figures.pop("seconds")) >= 0
    assert figures == {
        "counted": "1",
        "emitted": "3",
        "read_again": "2",
        "first": to_text(DAY_0),
        "last": to_text(DAY_0 + DAY),
        "windows": "2",
        "requests": str(world.requests + 1),  # The other is for the key.
        "retries": "0",
    }
    (metric,) = [m for m in caplog.messages if '"sync_duration"' in m]
    tags = json.loads(metric.removeprefix("METRIC: "))["tags"]
    assert figures.items() <= {name: str(tag) for name, tag in tags.items()}.items()
