from __future__ import annotations

import gc
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.server import Sandbox
from tap_akuity.output import flattening
from tap_akuity.output.maps import StreamMapError
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import catalog_without
from tests.helpers.events import event_of, members
from tests.helpers.running import config_for, records, sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

WHEN = "2026-01-01 00:00:00 +0000 UTC"
SCHEMA: dict[str, Any] = catalog_without()["streams"][0]["schema"]


def objects(*names: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make null, or an object in which each member may be absent or null."""
    fields = dict.fromkeys(names, members) | more
    return st.none() | st.fixed_dictionaries({}, optional=fields)


ITEMS = st.fixed_dictionaries(
    {"timestamp": st.just(WHEN)},
    optional={
        "action": members,
        "count": st.none() | st.integers(0, 9),
        "actor": objects("id", "ip", "type"),
        "details": objects("actionType", "message", "patch"),
        "object": objects(
            "type",
            id=objects("group", "kind", "name"),
            parentId=objects("applicationName", "name", "parentName"),
        ),
    },
)


def flattened(
    item: dict[str, Any], catalog: dict[str, Any] | None = None, **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the record that an item becomes, and the properties of its schema."""
    config = {"organization_id": "o", "api_key_id": "k", "api_key_secret": "s"}
    flat = {"flattening_enabled": True, "flattening_max_depth": 3, **more}
    stream = TapAkuity(config=config | flat, catalog=catalog).streams["audit_logs"]
    (schema,) = stream._generate_schema_messages()
    assert isinstance(stream, AuditLogsStream)
    ((_, convert),) = stream.converters
    record = json.loads(convert(event_of(item, "o").json) or b"")
    return record, schema.schema["properties"]


def columns(
    value: Any, schema: dict[str, Any], depth: int, *path: str
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Follow the schema to what a flattened record has a name of its own for."""
    if "properties" not in schema or not depth:
        yield path, value
        return
    for name, one in schema["properties"].items():
        yield from columns((value or {}).get(name), one, depth - 1, *path, name)


def unpacked(name: str, value: Any, expected: Any) -> Any:
    """Read what is below the depth, which comes as text."""
    return json.loads(value) if isinstance(expected[name], dict) else value


@given(
    item=ITEMS,
    depth=st.integers(1, 4),
    separator=st.sampled_from(["__", ".", "_", " - "]),
)
def test_a_record_has_what_the_schema_names(
    item: dict[str, Any], depth: int, separator: str
) -> None:
    plain = json.loads(event_of(item, "o").json)
    expected = {
        separator.join(path): value for path, value in columns(plain, SCHEMA, depth + 1)
    }
    record, properties = flattened(
        item, flattening_max_depth=depth, flattening_separator=separator
    )
    assert record.keys() == properties.keys()
    assert expected == {
        name: unpacked(name, value, expected) for name, value in record.items()
    }


@given(item=ITEMS, length=st.integers(1, 40))
def test_so_it_is_with_names_cut_short(item: dict[str, Any], length: int) -> None:
    try:
        record, properties = flattened(item, flattening_max_key_length=length)
    except ValueError as error:
        # The SDK's own word for names that are the same when they are cut.
        assert "Duplicate column name" in str(error)  # noqa: PT017
        return
    except StreamMapError as error:
        # As the SDK cuts a name that is not shorter than this.
        assert length <= len("timestamp")
        assert "`flattening_max_key_length`" in str(error)  # noqa: PT017
        return
    assert record.keys() == properties.keys()


def test_without_a_depth_all_that_is_known_is_flattened() -> None:
    config = {"organization_id": "o", "api_key_id": "k", "api_key_secret": "s"}
    tap = TapAkuity(config={**config, "flattening_enabled": True})
    (schema,) = tap.streams["audit_logs"]._generate_schema_messages()
    known = {"__".join(path) for path, _ in columns({}, SCHEMA, 9)}
    assert schema.schema["properties"].keys() == known
    assert {"object__parentId__applicationName", "details__patch"} < known


@given(item=ITEMS)
def test_what_is_deselected_stays_away(item: dict[str, Any]) -> None:
    catalog = catalog_without(
        ["properties", "details"],
        ["properties", "actor", "properties", "ip"],
        ["properties", "object", "properties", "parentId"],
    )
    record, properties = flattened(item, catalog)
    assert record.keys() == properties.keys()
    assert not {"actor__ip", "details", "details__patch", "object__parentId"} & {
        *record
    }


@given(item=ITEMS)
def test_expressions_see_objects_that_are_null(item: dict[str, Any]) -> None:
    # What is in one word the name of an object has the object's schema.
    maps = {"nobody": "str(actor is None)", "who": "actor", "count": None}
    item = {"actor": None, **item}
    record, properties = flattened(item, stream_maps={"audit_logs": maps})
    assert record["nobody"] == str(item["actor"] is None)
    assert record.keys() == properties.keys()
    assert {"who__id", "actor__id"} <= set(record)
    assert "count" not in record


def test_two_maps_have_each_their_own_columns() -> None:
    maps = {
        "audit_logs": {"count": None},
        "who": {
            "__source__": "audit_logs",
            "__else__": None,
            "id": "id",
            "timestamp": "timestamp",
            "actor": "actor",
        },
    }
    flat = {"flattening_enabled": True, "flattening_max_depth": 1}
    items: list[dict[str, Any]] = [
        {"timestamp": WHEN, "action": "a", "actor": None},
        {"timestamp": WHEN, "action": "b", "actor": {"id": "c"}},
    ]
    with Sandbox(items) as sandbox:
        messages = sync(config_for(sandbox, stream_maps=maps, **flat))
    of = {
        one["stream"]: set(one["schema"]["properties"])
        for one in messages
        if one["type"] == "SCHEMA"
    }
    assert "count" not in of["audit_logs"]
    columns = {"actor__id", "actor__ip", "actor__origin", "actor__type"}
    assert of["who"] == {"id", "timestamp", *columns}
    found = [one for one in messages if one["type"] == "RECORD"]
    assert [set(one["record"]) for one in found] == [of[one["stream"]] for one in found]
    assert len(found) == 4


def test_what_akuity_adds_passes_unless_it_is_null() -> None:
    added = {"reason": {"ticket": 1, "by": None}, "note": None}
    actor = {"id": "i", "team": "t", "role": None}
    record, properties = flattened({"timestamp": WHEN, "actor": actor, **added})
    more = {name: value for name, value in record.items() if name not in properties}
    assert more == {"reason__ticket": 1, "actor__team": "t"}


def test_without_flattening_nothing_is_added() -> None:
    with Sandbox([{"timestamp": WHEN, "actor": None}]) as sandbox:
        for flat in ({}, {"flattening_enabled": True, "flattening_max_depth": 0}):
            (record,) = records(sync(config_for(sandbox, **flat)))
            assert record["actor"] is None
            assert "object" not in record


def test_names_that_never_come_again_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(flattening, "MAX_KEPT_NAMES", 30)
    config = {"organization_id": "o", "api_key_id": "k", "api_key_secret": "s"}
    flat = {"flattening_enabled": True, "flattening_max_depth": 3}
    stream = TapAkuity(config=config | flat).streams["audit_logs"]
    (stream_map,) = stream.stream_maps
    flatten = flattening.flattening(stream_map)
    tracemalloc.start()
    for number in range(300):
        added = {f"label-{number}": {"deep": {"deeper": number}}}
        flat_one = flatten({"id": "i", "actor": {"id": "a"}, "labels": added})
        assert flat_one[f"labels__label-{number}__deep__deeper"] == number
        assert flat_one["actor__id"] == "a"
        if number == 100:
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000
