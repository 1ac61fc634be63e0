"""Events that arrive days late: the first run of the next day loads them."""

from __future__ import annotations

import itertools
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.server import Sandbox
from sandbox.store import Behaviour
from tap_akuity.records.timestamps import DAY, SECOND, parse, to_text
from tests.helpers.events import go, ids
from tests.helpers.running import config_for, last_state, records, stats, sync

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.helpers.running import Message

DAY_0 = parse("2026-03-01T00:00:00Z")
HOUR = 3600 * SECOND
RECOUNT_DAYS = 7


class World:
    """A sandbox, a clock that both sides go by, and a pipeline that is run now and then."""

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
        times = [record["timestamp"] for record in found]
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
        for day in range(6):
            midnight = DAY_0 + day * DAY
            world.run(day, 0.01)
            assert not world.missing, day
            # A day that nothing was late for is not read again.
            again = [m for m in caplog.messages if "reading that day again" in m]
            assert len(again) == (RECOUNT_DAYS + 1 if day in {2, 5} else 0)
            caplog.clear()
            world.happen(*(midnight + edge for edge in EDGES if edge < 12 * HOUR))
            world.run(day, 12)
            assert world.requests == 1
            world.happen(*(midnight + edge for edge in EDGES if edge >= 12 * HOUR))
            world.run(day, 24 - 1e-9)
            assert world.requests == 1
            assert not world.missing
            if day in {1, 4}:
                for late in range(RECOUNT_DAYS + 1):
                    at = midnight - late * DAY
                    world.happen(at, at + 5 * HOUR, actor={"id": str(day)})
                assert world.missing == 2 * (RECOUNT_DAYS + 1)
