from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from singer_sdk.exceptions import FatalAPIError

from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.store import Behaviour
from tap_akuity.output import progress
from tap_akuity.records import timestamps
from tests.helpers.events import (
    NOW,
    SECOND,
    go,
    ids,
    item,
)
from tests.helpers.running import bookmark, config_for, last_state, records, stats, sync


def text(seconds: float) -> str:
    return timestamps.to_text(NOW + round(seconds * SECOND))


def state_of(value: str, **more: str) -> dict[str, Any]:
    return {"bookmarks": {"audit_logs": {"replication_key_value": value, **more}}}


def test_every_event_once_and_in_order() -> None:
    data = list(Dataset(records=1234))
    with Sandbox(data) as sandbox:
        emitted = records(sync(config_for(sandbox, page_size=100)))
    assert sorted(r["id"] for r in emitted) == sorted(ids(data))
    times = [timestamps.parse(record["timestamp"]) for record in emitted]
    assert times == sorted(times)
    assert {record["organization_id"] for record in emitted} == {"sandbox"}
    by_id = dict(zip(ids(data), data, strict=True))
    for record in emitted:
        sent = by_id[record["id"]]
        for name in sent.keys() - {"timestamp", "lastOccurredTimestamp"}:
            assert record[name] == sent[name]


@pytest.mark.parametrize("page_size", [1, 7, 50, 51, 5000])
@pytest.mark.parametrize("max_limit", [10, 1000])
def test_any_page_size_and_any_cap(page_size: int, max_limit: int) -> None:
    data = list(Dataset(records=50))
    with Sandbox(data, behaviour=Behaviour(max_limit=max_limit)) as sandbox:
        emitted = records(sync(config_for(sandbox, page_size=page_size)))
    assert Counter(r["id"] for r in emitted) == Counter(ids(data))


@pytest.mark.parametrize("start_inclusive", [True, False])
@pytest.mark.parametrize("end_inclusive", [True, False])
@pytest.mark.parametrize("whole_seconds", [True, False])
@pytest.mark.parametrize("filter_on", ["timestamp", "lastOccurredTimestamp"])
def test_any_ends(
    start_inclusive: bool,  # noqa: FBT001
    end_inclusive: bool,  # noqa: FBT001
    whole_seconds: bool,  # noqa: FBT001
    filter_on: Any,
) -> None:
    data = [item(s) for s in (-9, -8.5, -8, -8 + 1e-9, -7.5, -6, -6 - 1e-9, -5.5, -1)]
    behaviour = Behaviour(
        start_inclusive=start_inclusive,
        end_inclusive=end_inclusive,
        whole_seconds=whole_seconds,
        filter_on=filter_on,
    )
    with Sandbox(data, behaviour=behaviour) as sandbox:
        cuts = [text(s) for s in (-10, -8, -7.5, -6, 0)]
        parts = [
            ids_of(sync(config_for(sandbox, start_date=start, end_date=end)))
            for start, end in pairwise(cuts)
        ]
    assert [one for part in parts for one in part] == ids(
        sorted(data, key=lambda one: timestamps.canonical(str(one["timestamp"])))
    )


def ids_of(messages: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for record in records(messages)]


def test_every_request_asks_for_the_same_range(sandbox: Sandbox) -> None:
    sync(config_for(sandbox, page_size=300))
    queries = [
        query.split("&filters.offset=")[0] for query in stats(sandbox)["queries"]
    ]
    assert len(queries) > 5
    assert len(set(queries)) == 1


def test_events_that_arrive_meanwhile_shift_nothing() -> None:
    data = list(Dataset(records=300))
    with Sandbox(data) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, arrivals=3)
        emitted = records(sync(config_for(sandbox, page_size=20)))
    assert set(ids(data)) <= {record["id"] for record in emitted}
    assert max(Counter(r["id"] for r in emitted).values()) == 1


@pytest.mark.parametrize("precision", timestamps.PRECISIONS)
def test_the_bookmark_is_the_greatest_timestamp(precision: str) -> None:
    data = [item(s) for s in (-30, -20)]
    fine = go(0, since=NOW // 1000 * 1000 - 10 * SECOND + 1)
    with Sandbox([*data, item(-10, timestamp=fine)]) as sandbox:
        messages = sync(config_for(sandbox, timestamp_precision=precision))
    greatest = timestamps.canonical(fine)
    emitted = records(messages)[-1]["timestamp"]
    assert emitted == timestamps.PRECISIONS[precision](greatest)
    assert bookmark(last_state(messages)) == greatest
    assert messages[-1]["type"] == "STATE"


def test_the_next_sync_starts_at_the_bookmark_less_the_lookback() -> None:
    data = [item(s) for s in (-1000, -131, -129, -30, -10)]
    with Sandbox(data) as sandbox:
        state = last_state(sync(config_for(sandbox)))
        messages = sync(config_for(sandbox, lookback_seconds=120), state)
    assert ids_of(messages) == ids(data[2:])


def test_late_and_grown_events_come_again_with_their_id() -> None:
    first, last = item(-100, "a"), item(-50, "b")
    with Sandbox([first, last]) as sandbox:
        state = last_state(sync(config_for(sandbox)))
        late = item(-60, "late")
        grown = first | {"count": 7, "lastOccurredTimestamp": go(-40)}
        sandbox.store.add([late])
        sandbox.store.bump(first, NOW - 40 * SECOND, 6)
        messages = sync(config_for(sandbox), state)
    assert ids_of(messages) == ids([first, late, last])
    assert records(messages)[0]["count"] == grown["count"]
    last_occurred = records(messages)[0]["lastOccurredTimestamp"]
    assert timestamps.to_text(timestamps.parse(last_occurred)) == text(-40)
    assert bookmark(last_state(messages)) == bookmark(state) == text(-50)


def test_the_bookmark_never_moves_backwards() -> None:
    with Sandbox([item(-100), item(-50)]) as sandbox:
        state = state_of(text(-20))
        messages = sync(config_for(sandbox), state)
    assert len(records(messages)) == 2
    assert bookmark(last_state(messages)) == text(-20)


def test_the_bookmark_does_not_pass_the_end() -> None:
    # The server may filter on something else, and give what lies after the end.
    items = [item(-50), item(86400, lastOccurredTimestamp=go(-40))]
    behaviour = Behaviour(filter_on="lastOccurredTimestamp")
    with Sandbox(items, behaviour=behaviour) as sandbox:
        messages = sync(config_for(sandbox, end_date=text(-10)))
    assert ids_of(messages) == ids(items)
    assert text(-50) <= (bookmark(last_state(messages)) or "") <= text(-10)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Take the warnings so far."""
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    caplog.clear()
    return found


def test_without_start_date_and_state_nothing_past_is_emitted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Sandbox([item(-100), item(-1)]) as sandbox:
        before = time.time_ns() // SECOND * SECOND
        config = config_for(sandbox, start_date=None)
        messages = sync(config)
        assert records(messages) == []
        state = last_state(messages)
        moment = bookmark(state)
        assert moment is not None
        assert warnings(caplog) == [
            "Nothing was loaded, because there is neither a state nor the setting "
            f"`start_date`: the next run starts at {moment}. To load what is past, set "
            "`start_date`, and run without the state."
        ]
        assert state["bookmarks"]["audit_logs"] == {
            "replication_key": "timestamp",
            "replication_key_value": moment,
            "not_before": moment,
        }
        assert before <= timestamps.parse(moment) <= time.time_ns()

        later = item(0) | {"timestamp": moment.replace("T", " ")[:-1] + " +0000 UTC"}
        sandbox.store.add([later])
        again = sync(config, state)
        assert ids_of(again) == ids([later])
        # Nor does the lookback of any later run bring what was past.
        assert ids_of(sync(config, last_state(again))) == ids([later])
        assert warnings(caplog) == []


MISSPELT: list[tuple[dict[str, list[str]], str]] = [
    ({"actions": ["creatd"]}, "`actions`: creatd"),
    ({"actions": ["created", "creatd", "gone"]}, "`actions`: creatd, gone"),
    (
        {"actions": ["creatd"], "actor_types": ["user"], "actor_ids": ["x"]},
        "`actions`: creatd; `actor_types`: user; `actor_ids`: x",
    ),
    ({"actor_ips": ["::1", "192.0.2.1"]}, "`actor_ips`: 192.0.2.1"),
    ({"origins": ["mpc", "mcp"]}, "`origins`: mpc"),
]


@pytest.mark.parametrize(("filters", "named"), MISSPELT)
def test_filters_that_match_nothing_are_named(
    filters: dict[str, list[str]], named: str, caplog: pytest.LogCaptureFixture
) -> None:
    actor = {"type": "user", "id": "a", "ip": "0:0::1", "origin": "mcp"}
    event = item(-50) | {"action": "created", "actor": actor}
    with Sandbox([event, item(-40) | {"actor": None}]) as sandbox:
        config = config_for(sandbox, **filters)
        if "actor_ips" in filters:
            config["actor_ips"] = [*filters["actor_ips"], "0:0::1"]
        start, end = "2020-01-01T00:00:00Z", text(-30)
        sync({**config, "start_date": start, "end_date": end})
        (warning,) = warnings(caplog)
        assert warning == (
            f"From {start} to {timestamps.to_bound(timestamps.parse(end))} no event "
            f"matches {named}: check the values, which must be as Akuity spells them."
        )
        # A later run that finds nothing new is what mostly happens.
        asked = stats(sandbox)["requests"]
        sync({**config, "recount_days": 0}, state_of(text(-20)))
        assert warnings(caplog) == []
        assert stats(sandbox)["requests"] == asked + 1
        # Nothing is amiss if each value has an event.
        sync(config_for(sandbox, actions=["created"], origins=["mcp"]))
        assert warnings(caplog) == []


def test_a_first_run_that_reads_nothing_is_still_remembered() -> None:
    with Sandbox([]) as sandbox:
        messages = sync(config_for(sandbox, start_date=None))
    assert bookmark(last_state(messages)) is not None


@pytest.mark.parametrize("skew", [-80_000, 80_000, 600])
def test_now_is_the_server_s(skew: int) -> None:
    with Sandbox([]) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, clock_skew_seconds=skew)
        state = last_state(sync(config_for(sandbox, start_date=None)))
        there = time.time_ns() + skew * SECOND
        moment = timestamps.parse(bookmark(state) or "")
        assert there - 10 * SECOND < moment <= there

        later = (moment - NOW) / SECOND
        data = [item(later + 1), item(later + 2)]
        sandbox.store.add(data)
        time_there = replace(sandbox.state.options, clock_skew_seconds=skew + 5)
        sandbox.state.options = time_there
        assert ids_of(sync(config_for(sandbox, start_date=None), state)) == ids(data)


def test_a_server_without_a_clock() -> None:
    with Sandbox([item(-5)]) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, date_header=False)
        state = last_state(sync(config_for(sandbox, start_date=None)))
        assert (
            abs(timestamps.parse(bookmark(state) or "") - time.time_ns()) < 9 * SECOND
        )
        assert len(records(sync(config_for(sandbox)))) == 1


def test_a_sync_that_emits_nothing_keeps_the_bookmark() -> None:
    with Sandbox([item(-9000)]) as sandbox:
        messages = sync(config_for(sandbox, start_date=None), state_of(text(-5000)))
        assert records(messages) == []
        assert bookmark(last_state(messages)) == text(-5000)
        messages = sync(config_for(sandbox, start_date=text(-1)))
        assert bookmark(last_state(messages)) is None


def test_a_bookmark_in_any_form() -> None:
    data = [item(-300), item(-101), item(-99)]
    forms = [
        text(-100),
        timestamps.to_bound(NOW - 100 * SECOND),
        go(-100),
        go(-100).replace(" +0000 UTC", "") + "+00:00",
    ]
    with Sandbox(data) as sandbox:
        config = config_for(sandbox, lookback_seconds=0)
        for form in forms:
            assert ids_of(sync(config, state_of(form))) == ids(data[2:]), form


def test_a_later_start_date_counts() -> None:
    data = [item(-300), item(-100), item(-50)]
    with Sandbox(data) as sandbox:
        config = config_for(sandbox, start_date=text(-70))
        assert ids_of(sync(config, state_of(text(-200)))) == ids(data[2:])


def test_filters_are_pushed_down() -> None:
    data = list(Dataset(records=400))
    with Sandbox(data) as sandbox:
        emitted = records(sync(config_for(sandbox, actions=["created", "deleted"])))
        everyone = {(r["actor"] or {}).get("id") for r in emitted}
        person = min(filter(None, everyone))
        theirs = records(sync(config_for(sandbox, actor_ids=[person])))
    wanted = [one for one in data if one["action"] in {"created", "deleted"}]
    assert sorted(r["id"] for r in emitted) == sorted(ids(wanted))
    assert {r["actor"]["id"] for r in theirs} == {person}


def test_a_record_that_has_no_time_stops_the_sync_before_it() -> None:
    data = [item(-30), item(-20), item(-10) | {"timestamp": "soon"}]
    with Sandbox(data[:2]) as sandbox:
        sandbox.store.add(data[2:], at=NOW - 10 * SECOND)
        messages: list[Any] = []
        with pytest.raises(FatalAPIError, match="'soon' is not a timestamp") as caught:
            messages += sync(config_for(sandbox))
    assert "An event from 2019-12-31T23:59:59.999Z to" in str(caught.value)
    assert messages == []


def test_catalog_selection() -> None:
    from tap_akuity.tap import TapAkuity  # noqa: PLC0415

    with Sandbox([item(-5)]) as sandbox:
        config = config_for(sandbox)
        catalog = TapAkuity(config=config).catalog_dict
        (stream,) = catalog["streams"]
        for entry in stream["metadata"]:
            if entry["breadcrumb"] in (
                ["properties", "details"],
                ["properties", "actor", "properties", "id"],
                ["properties", "id"],
                ["properties", "timestamp"],
            ):
                entry["metadata"]["selected"] = False
            if not entry["breadcrumb"]:
                entry["metadata"]["selected"] = True
        (record,) = records(sync(config, catalog=catalog))
    assert "details" not in record
    assert record["actor"] == {"type": "user"}
    assert {"id", "timestamp"} <= record.keys()


def test_unknown_fields_are_emitted() -> None:
    added = item(-5) | {"new": {"x": [1, 2.50]}}
    added["actor"] = {**added["actor"], "new": None}
    with Sandbox([added]) as sandbox:
        (record,) = records(sync(config_for(sandbox)))
    assert record["new"] == {"x": [1, 2.5]}
    assert record["actor"] == added["actor"]


@pytest.mark.parametrize("reached", [-100, -200])
def test_an_end_date_that_is_reached_is_not_passed(
    caplog: pytest.LogCaptureFixture, reached: int
) -> None:
    caplog.set_level(logging.INFO)
    data = [item(-300), item(-100), item(-50)]
    with Sandbox(data) as sandbox:
        config = config_for(sandbox, end_date=text(-200), lookback_seconds=0)
        assert ids_of(sync(config, state_of(text(reached)))) == []
        assert stats(sandbox)["requests"] == 0
    said = "All before `end_date` has been read: there is nothing to do."
    assert said in caplog.messages


def test_a_sync_says_how_far_it_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.0)
    with Sandbox([item(-300), item(-200)]) as sandbox:
        sync(config_for(sandbox))
    assert "100 % of 2, 0 s left" in caplog.messages


def test_an_end_date_in_the_future_is_now() -> None:
    with Sandbox([item(-300)]) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, arrivals=1)
        config = config_for(sandbox, end_date=text(86_400), page_size=1)
        assert len(records(sync(config))) == 1


@pytest.mark.parametrize("start", ["0001-01-01", "1970-01-01", "1969-12-31T23:59:59Z"])
def test_a_start_date_before_everything(start: str) -> None:
    with Sandbox([item(-300)]) as sandbox:
        assert len(records(sync(config_for(sandbox, start_date=start)))) == 1
