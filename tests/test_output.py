"""What comes out is the same, the short way and the SDK's way."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.exceptions import ConfigurationError

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity.output.writer import LineWriter
from tap_akuity.tap import TapAkuity
from tests.running import bookmark, config_for, last_state, records, sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.running import Message

DATA = list(Dataset(records=700))
ADDED = {
    "timestamp": "2026-01-01 00:00:00 +0000 UTC",
    "action": "deleted",
    "added": {"deep": [1, None, {"x": 0.1}]},
    "amount": 12.50,
    "actor": {"type": "user", "added": True},
}


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox([*DATA, ADDED]) as sandbox:
        yield sandbox


def catalog_without(*deselected: list[str]) -> dict[str, Any]:
    config = {"organization_id": "o", "api_key_id": "k", "api_key_secret": "s"}
    catalog: dict[str, Any] = TapAkuity(config=config).catalog_dict
    for entry in catalog["streams"][0]["metadata"]:
        entry["metadata"]["selected"] = entry["breadcrumb"] not in deselected
    return catalog


CASES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "all": ({}, None),
    "all, by catalog": ({}, catalog_without()),
    "selection": (
        {},
        catalog_without(
            ["properties", "details"],
            ["properties", "actor", "properties", "ip"],
        ),
    ),
    "filter": (
        {"stream_maps": {"audit_logs": {"__filter__": "action == 'deleted'"}}},
        None,
    ),
    "map": (
        {"stream_maps": {"audit_logs": {"who": "md5(str(actor))", "count": None}}},
        None,
    ),
    "alias": ({"stream_maps": {"audit_logs": {"__alias__": "events"}}}, None),
    "two maps": (
        {
            "stream_maps": {
                "audit_logs": {},
                "deleted": {
                    "__source__": "audit_logs",
                    "__filter__": "action == 'deleted'",
                },
            }
        },
        None,
    ),
    "flattening": ({"flattening_enabled": True, "flattening_max_depth": 3}, None),
}


def run(
    sandbox: Sandbox, case: str, writer: MsgSpecWriter, capture: Any
) -> list[Message]:
    settings, catalog = CASES[case]
    tap = TapAkuity(
        config=config_for(sandbox, page_size=100, **settings),
        catalog=catalog,
        message_writer=writer,
    )
    capture.readouterr()
    tap.sync_all()
    return [json.loads(line) for line in capture.readouterr().out.splitlines()]


def without_times(messages: list[Message]) -> list[Message]:
    return [
        {name: value for name, value in message.items() if name != "time_extracted"}
        for message in messages
    ]


@pytest.mark.parametrize("case", CASES)
def test_both_ways_are_the_same(
    served: Sandbox, case: str, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    short = run(served, case, LineWriter(), capsysbinary)
    plain = run(served, case, MsgSpecWriter(), capsysbinary)
    pick = [m for m in without_times(plain) if m["type"] == "RECORD"]
    assert [m for m in without_times(short) if m["type"] == "RECORD"] == pick
    assert len(pick) > 50
    schemas = [m for m in plain if m["type"] == "SCHEMA"]
    assert [m for m in short if m["type"] == "SCHEMA"] == schemas
    assert last_state(short) == last_state(plain)
    for messages in (short, plain):
        times = [m["time_extracted"] for m in messages if m["type"] == "RECORD"]
        assert times == sorted(times)
        assert all(time.endswith("Z") for time in times)


@pytest.mark.parametrize("case", CASES)
def test_only_what_changes_nothing_goes_the_short_way(
    served: Sandbox,
    case: str,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    taken: list[str] = []
    write = LineWriter.write_records

    def spy(writer: LineWriter, stream: str, found: Any) -> None:
        taken.append(stream)
        write(writer, stream, found)

    monkeypatch.setattr(LineWriter, "write_records", spy)
    run(served, case, LineWriter(), capsysbinary)
    assert bool(taken) == case.startswith("all")


def test_every_line_is_one_message(
    served: Sandbox, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    run(served, "all", LineWriter(), capsysbinary)
    tap = TapAkuity(config=config_for(served), message_writer=LineWriter())
    tap.sync_all()
    out = capsysbinary.readouterr().out
    assert out.endswith(b"\n")
    types = [json.loads(line)["type"] for line in out.splitlines()]
    assert types[0] == "SCHEMA"
    assert types.count("RECORD") == len(DATA) + 1
    assert types[-1] == "STATE"


def test_a_catalog_that_knows_less_drops_what_it_does_not_know(
    served: Sandbox, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    catalog = catalog_without()
    schema = catalog["streams"][0]["schema"]
    schema.pop("additionalProperties")
    tap = TapAkuity(
        config=config_for(served), catalog=catalog, message_writer=LineWriter()
    )
    tap.sync_all()
    messages = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert not any("added" in record for record in records(messages))


def in_batches(folder: Path) -> dict[str, Any]:
    return {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": folder.as_uri()},
        "batch_size": 300,
    }


def batched(messages: list[Message]) -> list[dict[str, Any]]:
    """Read the records of all batches."""
    found = []
    for message in messages:
        if message["type"] == "BATCH":
            for url in message["manifest"]:
                with gzip.open(urlsplit(url).path, "rt", encoding="utf-8") as lines:
                    found += [json.loads(line) for line in lines]
    return found


@pytest.mark.parametrize("case", [one for one in CASES if one != "two maps"])
def test_batches_hold_what_records_would(
    served: Sandbox,
    case: str,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    plain = run(served, case, LineWriter(), capsysbinary)
    settings, catalog = CASES[case]
    config = config_for(served, batch_config=in_batches(tmp_path), **settings)
    messages = sync(config, catalog=catalog)
    assert batched(messages) == records(plain)
    (schema,) = (one for one in plain if one["type"] == "SCHEMA")
    assert messages[0] == schema
    assert {one["stream"] for one in messages if one["type"] == "BATCH"} == {
        schema["stream"]
    }
    assert last_state(messages) == last_state(plain)


def test_batches_of_two_maps_are_refused(served: Sandbox, tmp_path: Path) -> None:
    settings, _ = CASES["two maps"]
    config = config_for(served, batch_config=in_batches(tmp_path), **settings)
    with pytest.raises(ConfigurationError, match="`stream_maps` makes 2 streams"):
        sync(config)
    assert list(tmp_path.iterdir()) == []


def test_batches(
    served: Sandbox, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    tap = TapAkuity(
        config=config_for(served, batch_config=in_batches(tmp_path)),
        message_writer=LineWriter(),
    )
    tap.sync_all()
    messages = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    plain = records(run(served, "all", LineWriter(), capsysbinary))
    assert batched(messages) == plain
    assert bookmark(last_state(messages)) == plain[-1]["timestamp"]
    # No state runs ahead of the batches that it covers.
    assert messages[1]["type"] == "BATCH"
    emitted = 0
    for message in messages:
        if message["type"] == "BATCH":
            emitted += 300
        elif message["type"] == "STATE":
            covered = bookmark(message["value"]) or ""
            upto = sum(record["timestamp"] <= covered for record in plain)
            assert upto <= emitted
