"""What is written of an event, as messages and in batch files."""

import contextlib
import copy
import gzip
import json
from bisect import bisect_right
from decimal import Decimal
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.exceptions import ConfigurationError

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity.output.maps import StreamMapError
from tap_akuity.records.timestamps import parse
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG, RECORD, catalog_without, convert
from tests.helpers.events import event_of, items
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


def converted(tap, event):
    return [(name, canonical(record)) for name, record in convert(tap, event)]


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
PROPERTIES = {
    "added": {"type": ["boolean", "null"]},
    "a__b": {"type": "boolean"},
    "labels": {
        "type": ["array", "null"],
        "items": {"type": "object", "properties": {"type": {"type": "boolean"}}},
    },
    "team": {"type": ["array"], "items": {"type": "boolean"}},
    "_": {"type": ["object", "null"], "properties": {"ip": {"type": "string"}}},
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

EXPRESSIONS = {
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
    "__filter__": ["_.get('count')", "action != 'created'", "True", "''"],
    "__key_properties__": [["id"], ["timestamp", "id"], []],
}
FEW = {"__else__": None, "timestamp": "timestamp", "id": "id"}


definitions = st.builds(
    dict.__or__,
    st.lists(st.sampled_from(sorted(EXPRESSIONS)), max_size=4).flatmap(
        lambda names: st.fixed_dictionaries(
            {name: st.sampled_from(EXPRESSIONS[name]) for name in names}
        )
    ),
    st.sampled_from([{}, FEW]),
)


def maps(source, first, alias, second):
    """Return maps that make one stream, two, or only the second."""
    first, second = first | alias, {"__source__": "audit_logs"} | second
    return st.sampled_from(
        [
            {source: first},
            {source: first, "second": second},
            {"audit_logs": None, "second": second},
        ]
    )


settings = st.fixed_dictionaries(
    {"stream_map_config": st.just({"salt": "pepper"})},
    optional={
        "stream_maps": st.builds(
            maps,
            st.sampled_from(["audit_logs", "audit_*"]),
            definitions,
            st.sampled_from([{}, {"__alias__": "events"}]),
            definitions,
        ).flatmap(lambda found: found),
        "flattening_enabled": st.sampled_from([True]),
        "flattening_max_depth": st.integers(0, 4),
        "flattening_separator": st.sampled_from(["__", "_", " - "]),
        "flattening_max_key_length": st.sampled_from([20, 12]),
    },
)


WHEN = {"timestamp": "2026-01-01 00:00:00 +0000 UTC"}
ARRAYS = {
    "labels": [{"type": 1, "new": 2}, None, 3],
    "team": [0, 2, None, [1], 0.0],
    "added": "x",
    "a__b": {"x": 1},
    "_": {"ip": 1, "new": 1},
}
CLASH = {"a__b": 1, "a": {"b": None}}
FLAT = {"flattening_enabled": True, "flattening_max_depth": 1}
UNCOUNTED = {"stream_maps": {"audit_logs": {"count": None}}}


@example(catalog_of([], PROPERTIES), {}, [WHEN | ARRAYS])
@example(None, FLAT, [WHEN | CLASH])
@example(None, FLAT | UNCOUNTED, [WHEN | {"object": {"id": {"a": {"b": 1}}}}])
@given(st.none() | catalogs, settings, st.lists(items, min_size=3, max_size=4))
def test_records_are_what_the_sdk_makes_of_them(catalog, settings, items):
    try:
        tap = TapAkuity(config={**CONFIG, **settings}, catalog=catalog)
    except ValueError as error:
        # The SDK's own word for names that are the same when they are cut.
        assert "Duplicate column name" in str(error)  # noqa: PT017
        return
    for item in items:
        event = event_of(item, "o").json
        wanted = None
        with contextlib.suppress(Exception):
            wanted = list(expected(tap, event))
        if wanted is None:
            with pytest.raises(StreamMapError, match="cannot compute"):
                converted(tap, event)
        else:
            assert converted(tap, event) == wanted


def test_what_nothing_is_done_to_stays_as_it_is():
    event = b'{ "any": bytes'
    tap = TapAkuity(config=CONFIG, catalog=catalog_without())
    assert convert(tap, event) == [("audit_logs", event)]


@pytest.mark.parametrize("number", ["1e400", "0.10", "12345678901234567890123", "1E-9"])
def test_every_digit_stays(number):
    # The SDK would make null of what no float can hold.
    catalog = catalog_without(["properties", "actor"])
    catalog["streams"][0]["schema"]["properties"]["amount"] = {"type": "number"}
    event = json.dumps({**RECORD, "actor": None}).encode()
    event = event[:-1] + f', "amount": {number}}}'.encode()
    tap = TapAkuity(config=CONFIG, catalog=catalog)
    ((_, record),) = convert(tap, event)
    assert Decimal(json.loads(record, parse_float=str)["amount"]) == Decimal(number)


def test_what_the_catalog_does_not_know_is_named_once(caplog):
    catalog = catalog_without()
    catalog["streams"][0]["schema"]["properties"]["actor"].pop("additionalProperties")
    tap = TapAkuity(config=CONFIG, catalog=catalog)
    event = json.dumps({**RECORD, "actor": {"id": "a", "new": 1}}).encode()
    for _ in range(2):
        ((_, record),) = convert(tap, event)
        assert json.loads(record)["actor"] == {"id": "a"}
    (message,) = [one for one in caplog.messages if "left out" in one]
    assert "`actor.new`" in message


DELETED = {"__source__": "audit_logs", "__filter__": "action == 'deleted'"}
CASES = {
    "all": ({}, None),
    "narrowed": (
        FLAT
        | {
            "stream_maps": {
                "audit_logs": {
                    "__filter__": "action != 'deleted'",
                    "__alias__": "events",
                    "who": "md5(str(actor))",
                    "count": None,
                }
            }
        },
        catalog_without(
            ["properties", "details"], ["properties", "actor", "properties", "ip"]
        ),
    ),
    "two maps": ({"stream_maps": {"audit_logs": {}, "deleted": DELETED}}, None),
}


@pytest.fixture(scope="module")
def served():
    added = {"action": "deleted", "added": {"deep": [1, None, {"x": 0.1}]}}
    with Sandbox([*Dataset(records=250), WHEN | added]) as sandbox:
        yield sandbox


def run(sandbox, case, **more):
    settings, catalog = CASES[case]
    return sync(config_for(sandbox, page_size=100, **settings, **more), catalog=catalog)


@pytest.mark.parametrize("case", CASES)
def test_messages_hold_what_is_converted(served, case):
    messages, plain = run(served, case), run(served, "all")
    settings, catalog = CASES[case]
    tap = TapAkuity(config=config_for(served, **settings), catalog=catalog)
    events = [encoder.encode(record) for record in records(plain)]
    wanted = [one for event in events for one in expected(tap, event)]
    found = [one for one in messages if one["type"] == "RECORD"]
    # In the order of time, stream by stream.
    assert [
        (one["stream"], canonical(encoder.encode(one["record"]))) for one in found
    ] == sorted(wanted, key=lambda one: one[0])
    assert len(wanted) > 50
    assert [one for one in messages if one["type"] == "SCHEMA"] == [
        json.loads(encoder.encode(one.to_dict()))
        for one in tap.streams["audit_logs"]._generate_schema_messages()
    ]
    assert last_state(messages) == last_state(plain)
    assert all(one["time_extracted"].endswith("Z") for one in found)


@pytest.mark.parametrize(
    ("settings", "stream"),
    [
        ({}, "audit_logs"),
        ({"stream_maps": {"audit_logs": {"__alias__": "'a\u2028b'"}}}, "a\u2028b"),
        ({"flattening_enabled": True}, "audit_logs"),
    ],
)
def test_each_line_is_one_message_for_every_reader(settings, stream, capsysbinary):
    text = "a\u2028b\u2029c\x85d\u2014é"
    with Sandbox([WHEN | {"action": text}]) as sandbox:
        TapAkuity(config=config_for(sandbox, **settings)).sync_all()
    out = capsysbinary.readouterr().out.decode()
    assert out.endswith("\n")
    messages = [json.loads(line) for line in out.splitlines()]
    types = ["SCHEMA", "RECORD", "STATE", "STATE"]
    assert [one["type"] for one in messages] == types
    assert messages[1]["record"]["action"] == text
    assert {one["stream"] for one in messages[:2]} == {stream}


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


@pytest.mark.parametrize("case", ["all", "narrowed"])
def test_batches_hold_what_records_would(served, case, tmp_path):
    plain = run(served, case)
    messages = run(served, case, batch_config=in_batches(tmp_path, 100))
    assert list(chain(*batched(messages))) == records(plain)
    assert messages[0] == plain[0]
    batches = [one for one in messages if one["type"] == "BATCH"]
    assert {one["stream"] for one in batches} == {plain[0]["stream"]}
    assert last_state(messages) == last_state(plain)


def test_batches_of_two_maps_are_refused(served, tmp_path):
    with pytest.raises(ConfigurationError, match="`stream_maps` makes 2 streams"):
        run(served, "two maps", batch_config=in_batches(tmp_path, 100))
    assert list(tmp_path.iterdir()) == []


def test_state_follows_the_batches(tmp_path):
    with Sandbox(Dataset(records=15_000)) as sandbox:
        batch_config = in_batches(tmp_path, 4_000)
        config = config_for(sandbox, page_size=1000, batch_config=batch_config)
        messages = sync(config)
    files = batched(messages)
    times = [parse(record["timestamp"]) for lines in files for record in lines]
    assert len(times) == 15_000
    assert parse(bookmark(last_state(messages))) == times[-1]
    assert messages[1]["type"] == "BATCH"
    # No state runs ahead of the batches that it covers.
    written, bookmarks = 0, set()
    for message in messages:
        if message["type"] == "BATCH":
            written += len(files.pop(0))
        elif message["type"] == "STATE" and (covered := bookmark(message["value"])):
            bookmarks.add(covered)
            assert bisect_right(times, parse(covered)) <= written
    assert len(bookmarks) > 1
