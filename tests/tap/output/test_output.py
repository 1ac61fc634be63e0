"""What is written of an event, as messages and in batch files."""

import contextlib
import copy
import functools
import gc
import gzip
import json
import logging
import sys
import tracemalloc
from bisect import bisect_right
from decimal import Decimal
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.exceptions import ConfigurationError

from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.timestamps import from_record
from sandbox.truth import COLUMNS, TIMES, flattened, row
from tap_akuity import streams
from tap_akuity.output import flattening
from tap_akuity.output.conversion import decode
from tap_akuity.output.lines import CHUNK_BYTES, chunks
from tap_akuity.output.maps import StreamMapError
from tap_akuity.output.writer import LineWriter
from tap_akuity.reading.limits import Limits
from tap_akuity.records.event import RecordError
from tap_akuity.tap import TapAkuity
from tap_akuity.text.timestamps import parse
from tests.helpers.catalogs import catalog_without, convert, tap_of
from tests.helpers.events import WHEN, event_of, items
from tests.helpers.running import bookmark, config_for, last_state, records, sync


def canonical(record):
    """Tell apart what Python takes for equal: 1, 1.0 and True; 0.1 and 0.10."""
    value = json.loads(record, parse_float=lambda text: {"number": str(Decimal(text))})
    return json.dumps(value, sort_keys=True)


def expected(tap, event):
    """Have the SDK convert an event in its own way."""
    stream = tap.streams["audit_logs"]
    flat = {
        one.stream_alias: one.transformed_schema["properties"]
        for one in stream.stream_maps
        if one.flattening_enabled
    }
    event = json.loads(event, parse_float=Decimal)
    for message in stream._generate_record_messages(event):
        record = dict(message.record)
        if message.stream in flat:
            # Differ on purpose: a flattened record has all columns of its schema.
            columns = flat[message.stream]
            nullable = {n: None for n, one in columns.items() if "null" in one["type"]}
            record = nullable | {
                name: value
                for name, value in record.items()
                if value is not None or name in columns
            }
        yield message.stream, canonical(encoder.encode(record))


PATHS = """
    action actor actor.ip actor.team added added.type count details details.patch id
    labels.type object.id object.parentId.name organization_id timestamp
"""
BREADCRUMBS = [
    ["properties", *path.replace(".", ".properties.").split(".")]
    for path in PATHS.split()
]
PROPERTIES = {
    "added": {"type": ["boolean", "null"]},
    "a__b": {"type": "boolean"},
    "labels": {
        "type": ["array", "null"],
        "items": {"type": "object", "properties": {"type": {"type": "boolean"}}},
    },
    "team": {"type": ["array"], "items": {"type": "boolean"}},
    "_": {"type": ["object", "null"], "properties": {"ip": {"type": "string"}}},
    "any": {},
    "free": {"type": ["object", "null"]},
}


def catalog_of(deselected, added, *additional):
    catalog = catalog_without(*deselected)
    schema = catalog["streams"][0]["schema"]
    schema["properties"] |= {name: copy.deepcopy(PROPERTIES[name]) for name in added}
    objects = schema, schema["properties"]["actor"]
    for one, allowed in zip(objects, additional, strict=False):
        one["additionalProperties"] = allowed
    return catalog


catalogs = st.builds(
    catalog_of,
    st.lists(st.sampled_from(BREADCRUMBS), max_size=3),
    st.lists(st.sampled_from(sorted(PROPERTIES)), max_size=2),
    st.booleans(),
    st.booleans(),
)

HASHED = "_.get('actor') and {**actor, 'ip': sha256(config['salt'] + str(actor))}"
FEW = {"__else__": None, "timestamp": "timestamp", "id": "id"}
SOURCE = {"__source__": "audit_logs"}
MAPS = [
    {},
    {"audit_logs": {"count": None, "actor": HASHED, "id": "md5(id)"}},
    {"audit_*": {"actor": None, "timestamp": "self", "__alias__": "events"}},
    {"audit_logs": {"actor": "str(_.get('actor'))", "__filter__": "_.get('count')"}},
    {"audit_logs": {"added": "{'a': {'b': [None]}}", "number": "float('1.5')"}},
    {"audit_logs": {"when": "datetime.datetime(2020, 1, 2)", "who": "actor"}},
    {"audit_logs": None, "second": SOURCE | FEW | {"who": "_.get('actor')"}},
    {
        "audit_logs": {"details": None, "added": "None", "__filter__": "'actor' in _"},
        "second": SOURCE | {"text": "json.dumps(_.get('details'))", "object": None},
    },
]
flattenings = st.fixed_dictionaries(
    {"flattening_enabled": st.booleans()},
    optional={
        "flattening_max_depth": st.integers(0, 4),
        "flattening_separator": st.sampled_from(["__", "_", " - "]),
        "flattening_max_key_length": st.sampled_from([25, 12]),
    },
)
FLAT = {"flattening_enabled": True, "flattening_max_depth": 1}
ARRAYS = {
    "labels": [{"type": 1, "new": 2}, None, 3],
    "team": [0, 2, None, [1], 0.0],
    "added": "x",
    "a__b": {"x": 1},
    "_": {"ip": 1, "new": 1},
    "free": {"x": 1},
}
NESTED = {
    "actor": {"id": "a", "ip": "b"},
    "object": {"id": {}, "parentId": {"name": "c"}},
}
# Meltano deselects what its `select` does not name, keys included; they stay.
KEYS = [["properties", "id"], ["properties", "timestamp"]]
CLASHES = {"a__b": 1, "a": {"b": None}, "object": {"id": {"a": {"b": 1}}}}


@example(catalog_of([], PROPERTIES), {}, [WHEN | ARRAYS])
@example(catalog_of([one for one in BREADCRUMBS if one[2:]], []), {}, [WHEN | NESTED])
@example(None, FLAT, [WHEN | CLASHES])
@example(catalog_of(KEYS, []), {}, [WHEN])
@given(st.none() | catalogs, flattenings, st.lists(items, min_size=3, max_size=4))
@settings(max_examples=30)
def test_records_are_what_the_sdk_makes_of_them(catalog, flat, items):
    for maps in MAPS:
        more = flat | {"stream_map_config": {"salt": "s"}}
        try:
            tap = tap_of(catalog, stream_maps=maps, **more)
        except ValueError as error:
            # The SDK's own word for names that are the same when they are cut.
            assert "Duplicate column name" in str(error)  # noqa: PT017
            continue
        for item in items:
            event = event_of(item, "o").json
            wanted = None
            with contextlib.suppress(Exception):
                wanted = list(expected(tap, event))
            if wanted is None:
                with pytest.raises(StreamMapError, match="cannot compute"):
                    convert(tap, event)
            else:
                made = [(n, canonical(record)) for n, record in convert(tap, event)]
                assert made == wanted, maps


@pytest.fixture(scope="module")
def flat_tap():
    return tap_of(flattening_enabled=True)


@given(item=items)
def test_a_flattened_record_has_what_the_schema_names(flat_tap, item):
    (schema,) = flat_tap.streams["audit_logs"]._generate_schema_messages()
    columns = schema.schema["properties"]
    nothing = dict.fromkeys(COLUMNS)
    assert columns.keys() == flattened(nothing).keys()
    ((_, record),) = convert(flat_tap, event_of(item, "o").json)
    record = json.loads(record)
    for name in TIMES:
        record[name] = record[name] and from_record(record[name])
    expected = flattened(nothing | row(item, "o"))
    assert [record[name] for name in columns] == [expected[name] for name in columns]


def test_flattening_keeps_no_names_that_never_come_again(flat_tap, monkeypatch):
    monkeypatch.setattr(flattening, "MAX_KEPT_NAMES", 30)
    (stream_map,) = flat_tap.streams["audit_logs"].stream_maps
    flatten = flattening.flattening(stream_map)
    tracemalloc.start()
    kept = []
    for number in range(300):
        labels = {f"of-{number % 20}": {f"n-{number}": {"deep": number}}}
        found = flatten({"actor": {"id": "a"}, "labels": labels})
        assert found[f"labels__of-{number % 20}__n-{number}__deep"] == number
        assert found["actor__id"] == "a"
        if number in {100, 299}:
            gc.collect()
            kept.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert kept[1] - kept[0] < 20_000


HUGE = "1e9999999999999999999"  # too large for a Decimal


@pytest.mark.parametrize(
    "number", ["1e400", "0.10", "12345678901234567890123", "1E-9", HUGE]
)
def test_every_digit_stays(number):
    # The SDK would make null of what no float can hold.
    catalog = catalog_without(["properties", "actor"])
    catalog["streams"][0]["schema"]["properties"]["amount"] = {"type": "number"}
    event = event_of(WHEN | {"actor": None, "amount": 0}).json
    event = event.replace(b'"amount":0', b'"amount":' + number.encode())
    ((_, record),) = convert(tap_of(catalog), event)
    found = json.loads(record, parse_float=str)["amount"]
    assert found == number or Decimal(found) == Decimal(number)


def test_what_python_cannot_represent_is_refused():
    sentence = "^An event cannot be read, so the sync stops before it: .+$"
    with pytest.raises(RecordError, match=sentence):
        decode(rb'{"action": "\ud800"}')


def test_chunks_are_as_large_as_a_pipe():
    large, last = b"x" * (CHUNK_BYTES - 1), b"y"
    records = [large, last, large, last, last]
    assert [len(chunk) for chunk in chunks(records)] == [2, 2, 1]


def test_what_the_catalog_does_not_know_is_named_once(caplog):
    catalog = catalog_without()
    members = catalog["streams"][0]["schema"]["properties"]["object"]["properties"]
    members["id"].pop("additionalProperties")
    tap = tap_of(catalog)
    event = event_of(WHEN | {"object": {"id": {"name": "a", "new": 1}}}).json
    for _ in range(2):
        ((_, record),) = convert(tap, event)
        assert json.loads(record)["object"] == {"id": {"name": "a"}}
    (message,) = [one for one in caplog.messages if "left out" in one]
    assert "`object.id.new`" in message


@pytest.fixture(scope="module")
def served():
    added = {"action": "deleted", "added": {"deep": [1, None, {"x": 0.1}]}}
    with Sandbox([*Dataset(records=250), WHEN | added]) as sandbox:
        yield sandbox


OTHERS = {"__filter__": "action != 'deleted'", "count": None}
DELETED = SOURCE | FEW | {"__filter__": "action == 'deleted'"}
TWO = {"audit_logs": OTHERS, "deleted": DELETED}


def test_messages_hold_what_the_maps_make(served):
    plain = sync(config_for(served))
    maps = copy.deepcopy(TWO)
    messages = sync(config_for(served, page_size=100, stream_maps=maps))
    others, deleted = [], []
    for one in records(plain):
        if one["action"] == "deleted":
            deleted.append({"id": one["id"], "timestamp": one["timestamp"]})
        else:
            others.append({name: one[name] for name in one if name != "count"})
    found = [one for one in messages if one["type"] == "RECORD"]
    # In the order of time, stream by stream.
    assert [one["record"] for one in found] == others + deleted
    names = ["audit_logs"] * len(others) + ["deleted"] * len(deleted)
    assert [one["stream"] for one in found] == names
    assert all(one["time_extracted"].endswith("Z") for one in found)
    assert bookmark(last_state(messages)) == bookmark(last_state(plain))


def test_each_line_is_one_message_for_every_reader(capsysbinary):
    # Others that begin with the same bytes come first.
    text = "\u2014\xa0a\u2028b\u2029c\x85dé"
    maps = {"audit_logs": {"__alias__": "'a\u2028b'"}}
    with Sandbox([WHEN | {"action": text}]) as sandbox:
        TapAkuity(config=config_for(sandbox, stream_maps=maps)).sync_all()
    out = capsysbinary.readouterr().out.decode()
    assert out.endswith("\n")
    schema, record, *_, state = map(json.loads, out.splitlines())
    assert record["record"]["action"] == text
    assert schema["stream"] == record["stream"] == "a\u2028b"
    assert state["type"] == "STATE"


def test_what_a_write_leaves_is_written(monkeypatch):
    """As a signal may interrupt a write with PYTHONUNBUFFERED."""
    written = []

    def write(data):
        written.append(data[:4])
        return len(data[:4])

    buffer = SimpleNamespace(write=write, flush=lambda: None)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=buffer))
    LineWriter().write_lines(b"0123456789\n")
    assert b"".join(written) == b"0123456789\n"


def in_batches(folder, size):
    return {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": folder.as_uri()},
        "batch_size": size,
    }


def batched(messages):
    """Return the records of each batch."""
    urls = [m["manifest"][0] for m in messages if m["type"] == "BATCH"]
    files = [gzip.decompress(Path(urlsplit(url).path).read_bytes()) for url in urls]
    return [[json.loads(line) for line in file.splitlines()] for file in files]


NARROW = {"audit_logs": OTHERS | {"__alias__": "narrow", "who": "md5(id)"}}


@pytest.mark.parametrize("more", [{}, FLAT | {"stream_maps": NARROW}])
def test_batches_hold_what_records_would(served, more, tmp_path):
    catalog = catalog_without(["properties", "actor", "properties", "ip"])
    config = config_for(served, page_size=100, **more)
    plain = sync(copy.deepcopy(config), catalog=catalog)
    config["batch_config"] = in_batches(tmp_path, 100)
    messages = sync(copy.deepcopy(config), catalog=catalog)
    assert list(chain(*batched(messages))) == records(plain)
    assert len(records(plain)) > 100
    assert messages[0] == plain[0]
    assert messages[1]["stream"] == plain[0]["stream"]
    assert bookmark(last_state(messages)) == bookmark(last_state(plain))


SOME = {"audit_logs": {"__filter__": "action == 'created'"}}


@pytest.mark.parametrize(
    ("maps", "is_batched"),
    [({}, False), (SOME, False), (TWO, False), ({}, True), (SOME, True)],
)
def test_what_is_counted_is_what_is_written(served, tmp_path, caplog, maps, is_batched):
    caplog.set_level(logging.INFO)
    config = config_for(served, page_size=100, stream_maps=maps)
    if is_batched:
        config["batch_config"] = in_batches(tmp_path, 100)
    messages = sync(config)
    written = len(records(messages)) + sum(map(len, batched(messages)))
    (line,) = [m for m in caplog.messages if m.startswith("Sync completed: ")]
    assert f" emitted={written} " in line
    (metric,) = [m for m in caplog.messages if '"record_count"' in m]
    assert json.loads(metric.removeprefix("METRIC: "))["value"] == written
    read = int(line.split(" read=")[1].split()[0])
    assert (written < read) is (maps == SOME)


def test_batches_of_two_maps_are_refused(served, tmp_path):
    batch_config = in_batches(tmp_path, 100)
    config = config_for(served, stream_maps=TWO, batch_config=batch_config)
    with pytest.raises(ConfigurationError, match="`stream_maps` makes 2 streams"):
        sync(copy.deepcopy(config))
    assert list(tmp_path.iterdir()) == []


def test_state_follows_the_batches(tmp_path, monkeypatch):
    # Windows of 300 events.
    small = functools.partial(Limits, max_events=400, slack=0)
    monkeypatch.setattr(streams, "Limits", small)
    with Sandbox(Dataset(records=1_000)) as sandbox:
        batch_config = in_batches(tmp_path, 250)
        config = config_for(sandbox, page_size=100, batch_config=batch_config)
        messages = sync(config)
    files = batched(messages)
    times = [parse(record["timestamp"]) for lines in files for record in lines]
    assert len(times) == 1_000
    assert parse(bookmark(last_state(messages)) or "") == times[-1]
    assert messages[1]["type"] == "BATCH"
    # No state runs ahead of the batches that it covers.
    written, bookmarks = 0, set()
    for message in messages:
        if message["type"] == "BATCH":
            written += len(files.pop(0))
        elif message["type"] == "STATE" and (covered := bookmark(message["value"])):
            bookmarks.add(covered)
            assert bisect_right(times, parse(covered)) <= written
    assert len(bookmarks) > 2
