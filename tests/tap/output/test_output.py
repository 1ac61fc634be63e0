"""What is written of an event, as messages and in batch files."""

from __future__ import annotations

import contextlib
import copy
import gzip
import json
from bisect import bisect_right
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from singer_sdk.contrib.msgspec import MsgSpecWriter, encoder
from singer_sdk.exceptions import ConfigurationError

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity.output.maps import StreamMapError
from tap_akuity.output.writer import LineWriter
from tap_akuity.records import timestamps
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG, RECORD, catalog_without, convert
from tests.helpers.running import (
    bookmark,
    config_for,
    last_state,
    records,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.running import Message

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


def with_columns(record: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Differ from the SDK on purpose: a flattened record has its schema's columns."""
    columns = {
        name: None
        for name, one in schema["properties"].items()
        if "null" in one.get("type", ())
    }
    found = {
        name: value
        for name, value in record.items()
        if value is not None or name in schema["properties"]
    }
    return {**columns, **found}


def expected(tap: TapAkuity, event: bytes) -> list[tuple[str, str]]:
    """Have the SDK make messages of an event in its own way."""
    stream = tap.streams["audit_logs"]
    flat = {
        one.stream_alias: one.transformed_schema
        for one in stream.stream_maps
        if one.flattening_enabled
    }
    found = []
    for message in stream._generate_record_messages(_decode(event)):
        record = dict(message.record)
        if message.stream in flat:
            record = with_columns(record, flat[message.stream])
        found.append((message.stream, canonical(encoder.encode(record))))
    return found


def converted(tap: TapAkuity, event: bytes) -> list[tuple[str, str]]:
    return [(name, canonical(record)) for name, record in convert(tap, event)]


def _decode(event: bytes) -> Any:
    return json.loads(event, parse_float=Decimal)


def canonical(record: bytes) -> str:
    """Tell apart what Python takes for equal: 1, 1.0 and True; 0.1 and 0.10."""
    value = json.loads(record, parse_float=lambda text: {"number": str(Decimal(text))})
    return json.dumps(value, sort_keys=True)


names = st.sampled_from(
    ["action", "added", "labels", "team", "a__b", "_", "type", "ip", "self", "é"]
)
numbers = st.integers(-(2**70), 2**70) | st.decimals(
    allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=3
)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=5)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=5,
)
texts = st.none() | st.sampled_from(["", "created", "a\u2028b", "é"])


@st.composite
def objects(draw: st.DrawFn, /, *known: str, **more: Any) -> Any:
    """Make null, or an object with what is known, and what is not."""
    if draw(st.integers(0, 5)) == 0:
        return None
    unknown = draw(st.dictionaries(names, values, max_size=2))
    fields = dict.fromkeys(known, texts) | more
    return unknown | draw(st.fixed_dictionaries({}, optional=fields))


events = st.builds(
    lambda known, unknown: encoder.encode({**unknown, **known}),
    st.fixed_dictionaries(
        {
            "id": st.just("0" * 64),
            "organization_id": st.just("o"),
            "timestamp": st.just("2026-01-01T00:00:00.000000000Z"),
            "lastOccurredTimestamp": st.none() | st.just("2026-01-01T00:00:01Z"),
        },
        optional={
            "action": texts,
            "count": st.none() | st.integers(0, 9),
            "actor": objects("id", "ip", "type"),
            "details": objects("actionType", "message", "patch"),
            "object": objects(
                "type",
                id=objects("group", "kind", "name"),
                parentId=objects("applicationName", "name", "parentName"),
            ),
        },
    ),
    st.dictionaries(names, values, max_size=3),
)

BREADCRUMBS = [
    entry["breadcrumb"]
    for entry in catalog_without()["streams"][0]["metadata"]
    if entry["breadcrumb"]
    not in ([], ["properties", "id"], ["properties", "timestamp"])
] + [
    ["properties", "added"],
    ["properties", "actor", "properties", "team"],
    ["properties", "added", "properties", "type"],
    ["properties", "labels", "properties", "type"],
]
PROPERTIES: dict[str, Any] = {
    "added": {"type": ["boolean", "null"]},
    "a__b": {"type": "boolean"},
    "labels": {
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": {"type": {"type": "boolean"}},
        },
    },
    "team": {"type": ["array"], "items": {"type": "boolean"}},
    "_": {"type": ["object", "null"], "properties": {"ip": {"type": "string"}}},
}


@st.composite
def catalogs(draw: st.DrawFn) -> dict[str, Any]:
    catalog = catalog_without()
    (stream,) = catalog["streams"]
    for breadcrumb in draw(st.lists(st.sampled_from(BREADCRUMBS), max_size=3)):
        metadata = {"selected": False, "inclusion": "available"}
        stream["metadata"] = [
            *(one for one in stream["metadata"] if one["breadcrumb"] != breadcrumb),
            {"breadcrumb": breadcrumb, "metadata": metadata},
        ]
    schema = stream["schema"]
    for name in draw(st.lists(st.sampled_from(sorted(PROPERTIES)), max_size=2)):
        schema["properties"][name] = copy.deepcopy(PROPERTIES[name])
    schema["additionalProperties"] = draw(st.booleans())
    actor = schema["properties"]["actor"]
    actor["additionalProperties"] = draw(st.booleans())
    return catalog


EXPRESSIONS: dict[str, list[str | None]] = {
    "count": [None, "count", "str(_.get('count'))"],
    "actor": [
        None,
        "_.get('actor') and {**actor, 'ip': sha256(config['salt'] + str(actor))}",
        "str(_.get('actor'))",
    ],
    "who": ["actor", "_.get('actor')", "(_.get('actor') or {}).get('id')"],
    "when": ["datetime.datetime(2020, 1, 2)", "timestamp[:10]"],
    "number": ["float('1.5')", "int('3')", "bool(_.get('count'))"],
    "added": ["self", "str(record.get('added'))", "{'a': {'b': [None]}}", "None"],
    "id": ["self", "md5(id)"],
    "text": ["json.dumps(_.get('details'))", "__stream_name__", "'é'"],
}


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(sorted(EXPRESSIONS)), max_size=3))
    found: dict[str, Any] = {
        name: draw(st.sampled_from(EXPRESSIONS[name])) for name in chosen
    }
    if draw(st.booleans()):
        found["__filter__"] = draw(
            st.sampled_from(["_.get('count')", "action != 'created'", "True", "''"])
        )
    if draw(st.booleans()):
        found |= {"__else__": None, "timestamp": "timestamp", "id": "id"}
    if draw(st.booleans()):
        found["__key_properties__"] = draw(
            st.sampled_from([["id"], ["timestamp", "id"], []])
        )
    return found


@st.composite
def settings(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {"stream_map_config": {"salt": "pepper"}}
    if draw(st.booleans()):
        first = draw(definitions())
        if draw(st.booleans()):
            first["__alias__"] = draw(st.sampled_from(["events", "__stream_name__"]))
        maps = {draw(st.sampled_from(["audit_logs", "audit_*"])): first}
        if draw(st.booleans()):
            maps["second"] = {"__source__": "audit_logs", **draw(definitions())}
        fewer = {**maps, "audit_logs": None} if "second" in maps else maps
        found["stream_maps"] = draw(st.sampled_from([maps, fewer, {}]))
    if draw(st.booleans()):
        found["flattening_enabled"] = True
        found["flattening_max_depth"] = draw(st.integers(0, 4))
        found["flattening_separator"] = draw(st.sampled_from(["__", "_", " - "]))
        found["flattening_max_key_length"] = draw(st.sampled_from([255, 20, 12]))
    return found


def catalog_of_more() -> dict[str, Any]:
    catalog = catalog_without()
    catalog["streams"][0]["schema"]["properties"] |= copy.deepcopy(PROPERTIES)
    return catalog


ARRAYS = {
    "labels": [{"type": 1, "new": 2}, None, 3],
    "team": [0, 2, None, [1]],
    "added": "x",
    "a__b": {"x": 1},
    "_": {"ip": 1, "new": 1},
}
CLASH = {"a__b": 1, "a": {"b": None}}
FLAT = {"flattening_enabled": True, "flattening_max_depth": 1}


@trying(max_examples=200)
@example(catalog_of_more(), {}, [encoder.encode({**RECORD, **ARRAYS})])
@example(catalog_of_more(), {}, [encoder.encode({**RECORD, "team": [Decimal("0.0")]})])
@example(None, FLAT, [encoder.encode({**RECORD, **CLASH})])
@example(
    None,
    {**FLAT, "stream_maps": {"audit_logs": {"count": None}}},
    [encoder.encode({**RECORD, "object": {"id": {"a": {"b": 1}}}})],
)
@given(
    catalog=st.none() | catalogs(),
    settings=settings(),
    found=st.lists(events, min_size=1, max_size=4),
)
def test_records_are_what_the_sdk_makes_of_them(
    catalog: dict[str, Any] | None, settings: dict[str, Any], found: list[bytes]
) -> None:
    try:
        tap = TapAkuity(config={**CONFIG, **settings}, catalog=catalog)
    except ValueError as error:
        # The SDK's own word for names that are the same when they are cut.
        assert "Duplicate column name" in str(error)  # noqa: PT017
        return
    for event in found:
        wanted = None
        with contextlib.suppress(Exception):
            wanted = expected(tap, event)
        if wanted is None:
            with pytest.raises(StreamMapError, match="cannot compute"):
                converted(tap, event)
        else:
            assert converted(tap, event) == wanted


def test_what_nothing_is_done_to_stays_as_it_is() -> None:
    event = b'{ "any": bytes'
    tap = TapAkuity(config=CONFIG, catalog=catalog_without())
    assert convert(tap, event) == [("audit_logs", event)]


@pytest.mark.parametrize("number", ["1e400", "0.10", "12345678901234567890123", "1E-9"])
def test_every_digit_stays(number: str) -> None:
    # The SDK would make null of what no float can hold.
    catalog = catalog_without(["properties", "actor"])
    catalog["streams"][0]["schema"]["properties"]["amount"] = {"type": "number"}
    event = json.dumps({**RECORD, "actor": None}).encode()
    event = event[:-1] + f', "amount": {number}}}'.encode()
    tap = TapAkuity(config=CONFIG, catalog=catalog)
    ((_, record),) = convert(tap, event)
    assert Decimal(json.loads(record, parse_float=str)["amount"]) == Decimal(number)


def test_what_the_catalog_does_not_know_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    catalog = catalog_without()
    catalog["streams"][0]["schema"]["properties"]["actor"].pop("additionalProperties")
    tap = TapAkuity(config=CONFIG, catalog=catalog)
    event = json.dumps({**RECORD, "actor": {"id": "a", "new": 1}}).encode()
    for _ in range(2):
        ((_, record),) = convert(tap, event)
        assert json.loads(record)["actor"] == {"id": "a"}
    (message,) = [one for one in caplog.messages if "left out" in one]
    assert "`actor.new`" in message


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


def run(sandbox: Sandbox, case: str, **more: Any) -> list[Message]:
    settings, catalog = CASES[case]
    return sync(config_for(sandbox, page_size=100, **settings, **more), catalog=catalog)


@pytest.mark.parametrize("case", CASES)
def test_messages_hold_what_is_converted(served: Sandbox, case: str) -> None:
    messages = run(served, case)
    events = [encoder.encode(record) for record in records(run(served, "all"))]
    settings, catalog = CASES[case]
    tap = TapAkuity(config=config_for(served, **settings), catalog=catalog)
    wanted = [one for event in events for one in expected(tap, event)]
    found = [
        (one["stream"], canonical(encoder.encode(one["record"])))
        for one in messages
        if one["type"] == "RECORD"
    ]
    # In the order of time, stream by stream.
    assert found == sorted(wanted, key=lambda one: one[0])
    assert len(wanted) > 50
    assert [one for one in messages if one["type"] == "SCHEMA"] == [
        json.loads(encoder.encode(one.to_dict()))
        for one in tap.streams["audit_logs"]._generate_schema_messages()
    ]
    assert last_state(messages) == last_state(run(served, "all"))
    times = [one["time_extracted"] for one in messages if one["type"] == "RECORD"]
    assert times == sorted(times)
    assert all(time.endswith("Z") for time in times)


def test_no_other_writer_is_taken(served: Sandbox) -> None:
    tap = TapAkuity(config=config_for(served), message_writer=MsgSpecWriter())
    with pytest.raises(TypeError, match="LineWriter"):
        tap.sync_all()


def test_every_line_is_one_message(
    served: Sandbox, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    tap = TapAkuity(config=config_for(served), message_writer=LineWriter())
    tap.sync_all()
    out = capsysbinary.readouterr().out
    assert out.endswith(b"\n")
    types = [json.loads(line)["type"] for line in out.splitlines()]
    assert types[0] == "SCHEMA"
    assert types.count("RECORD") == len(DATA) + 1
    assert types[-1] == "STATE"


def test_a_line_is_one_for_every_reader(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    text = "a\u2028b\u2029c\x85d\u2014é"
    item = {"timestamp": "2026-01-01 00:00:00 +0000 UTC", "action": text}
    maps = {"audit_logs": {"__alias__": "'a\u2028b'"}}
    for more in ({}, {"stream_maps": maps}, {"flattening_enabled": True}):
        with Sandbox([item]) as sandbox:
            TapAkuity(config=config_for(sandbox, **more)).sync_all()
        lines = capsysbinary.readouterr().out.decode().splitlines()
        messages = [json.loads(line) for line in lines]
        (message,) = [one for one in messages if one["type"] == "RECORD"]
        assert message["record"]["action"] == text
        assert message["stream"] == (
            "a\u2028b" if "stream_maps" in more else "audit_logs"
        )


def test_a_catalog_that_knows_less_drops_what_it_does_not_know(
    served: Sandbox,
) -> None:
    catalog = catalog_without()
    schema = catalog["streams"][0]["schema"]
    schema.pop("additionalProperties")
    messages = sync(config_for(served), catalog=catalog)
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
    served: Sandbox, case: str, tmp_path: Path
) -> None:
    plain = run(served, case)
    messages = run(served, case, batch_config=in_batches(tmp_path))
    assert batched(messages) == records(plain)
    (schema,) = (one for one in plain if one["type"] == "SCHEMA")
    assert messages[0] == schema
    assert {one["stream"] for one in messages if one["type"] == "BATCH"} == {
        schema["stream"]
    }
    assert last_state(messages) == last_state(plain)


def test_batches_of_two_maps_are_refused(served: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="`stream_maps` makes 2 streams"):
        run(served, "two maps", batch_config=in_batches(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_state_follows_the_batches(tmp_path: Path) -> None:
    batch_config = in_batches(tmp_path) | {"batch_size": 4_000}
    with Sandbox(Dataset(records=15_000)) as sandbox:
        settings = {"page_size": 1000, "batch_config": batch_config}
        messages = sync(config_for(sandbox, **settings))
    times = [timestamps.parse(record["timestamp"]) for record in batched(messages)]
    assert len(times) == 15_000
    assert timestamps.parse(bookmark(last_state(messages)) or "") == times[-1]
    assert messages[1]["type"] == "BATCH"
    # No state runs ahead of the batches that it covers.
    emitted = 0
    bookmarks = set()
    for message in messages:
        if message["type"] == "BATCH":
            emitted += 4_000
        elif message["type"] == "STATE":
            covered = bookmark(message["value"])
            bookmarks.add(covered)
            reached = timestamps.parse(covered) if covered else 0
            assert bisect_right(times, reached) <= emitted
    assert len(bookmarks) > 2
