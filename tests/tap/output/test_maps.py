"""Stream maps that cannot work, and what is said of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from singer_sdk.exceptions import ConfigurationError

from sandbox.server import Sandbox
from tap_akuity.output.maps import StreamMapError
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG, RECORD, catalog_without, convert
from tests.helpers.running import config_for, records, sync

IP = "sha256(config['salt'] + actor['ip'])"
EVENT = {**RECORD, "action": "created", "actor": {"id": "secret person", "ip": None}}


def tap_with(maps: Any, settings: dict[str, Any] | None = None) -> TapAkuity:
    config = {**CONFIG, "stream_maps": maps, "stream_map_config": settings}
    return TapAkuity(config=config)


@pytest.mark.parametrize(
    ("maps", "named"),
    [
        ({"audit_logs": {"timestamp": None}}, "audit_logs` removes `timestamp"),
        ({"audit_logs": {"timestamp": "__NULL__"}}, "audit_logs` removes `timestamp"),
        ({"audit_logs": {"id": None}}, "audit_logs` removes `id"),
        (
            {"audit_logs": {"id": None, "__key_properties__": ["timestamp"]}},
            "audit_logs` removes `id",
        ),
        ({"audit_*": {"timestamp": None}}, r"audit_\*` removes `timestamp"),
        ({"audit_logs": {"__else__": None}}, "audit_logs` removes `id"),
        (
            {
                "audit_logs": {
                    "__else__": None,
                    "__key_properties__": [],
                    "timestamp": "timestamp",
                }
            },
            "audit_logs` removes `id",
        ),
        (
            {"audit_logs": {}, "b": {"__source__": "audit_logs", "timestamp": None}},
            "b` removes `timestamp",
        ),
        (
            {"b": {"__source__": "audit_logs", "__else__": None, "id": "id"}},
            "b` removes `timestamp",
        ),
    ],
)
def test_no_map_removes_what_nothing_can_be_loaded_without(
    maps: Any, named: str
) -> None:
    with pytest.raises(StreamMapError, match=f"^Stream map `{named}`, without which"):
        tap_with(maps)


def test_nothing_is_written_before_that_is_said(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    with Sandbox([]) as sandbox:
        maps = {"audit_logs": {"timestamp": None}}
        with pytest.raises(StreamMapError):
            sync(config_for(sandbox, stream_maps=maps))
        assert sandbox.state.stats.report()["requests"] == 0
    assert capsysbinary.readouterr().out == b""


@pytest.mark.parametrize(("key", "other"), [("id", "action"), ("timestamp", "count")])
def test_no_map_makes_null_of_them(key: str, other: str) -> None:
    tap = tap_with({"audit_logs": {key: f"_.get('{other}')"}})
    with pytest.raises(StreamMapError, match=f"`audit_logs` removes `{key}`"):
        convert(tap, json.dumps(RECORD).encode())


def test_what_is_of_another_stream_does_not_matter() -> None:
    maps = {"others": {"id": None, "wrong": "("}, "audit_logs": {"count": None}}
    assert convert(tap_with(maps), json.dumps(EVENT).encode())


def test_the_catalog_is_blamed_for_what_it_deselects() -> None:
    catalog = catalog_without()
    catalog["streams"][0]["schema"]["properties"].pop("timestamp")
    for maps in ({"audit_logs": {"count": None}}, {"audit_logs": {"timestamp": None}}):
        with pytest.raises(ConfigurationError, match="catalog deselects `timestamp`"):
            TapAkuity(config={**CONFIG, "stream_maps": maps}, catalog=catalog)


def test_the_catalog_is_blamed_when_nothing_is_selected() -> None:
    catalog = catalog_without([])
    for maps in ({}, {"audit_logs": None}):
        with pytest.raises(ConfigurationError, match="catalog does not select"):
            TapAkuity(config={**CONFIG, "stream_maps": maps}, catalog=catalog)


@pytest.mark.parametrize(
    "maps", [{"audit_logs": None}, {"audit_logs": "__NULL__"}, {"__else__": None}]
)
def test_maps_that_leave_no_stream(maps: dict[str, Any]) -> None:
    with pytest.raises(StreamMapError, match="`stream_maps` leaves no stream, so that"):
        TapAkuity(config={**CONFIG, "stream_maps": maps})


def test_keys_keep_their_names_when_names_are_cut() -> None:
    flat = {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "flattening_max_key_length": 9,
    }
    with pytest.raises(StreamMapError, match="`flattening_max_key_length` cuts `times"):
        TapAkuity(config={**CONFIG, **flat})


@pytest.mark.parametrize("expression", ["(", "", "a b", "x\0"])
@pytest.mark.parametrize("place", ["who", "__filter__"])
def test_an_expression_that_is_none_is_named(place: str, expression: str) -> None:
    with pytest.raises(
        StreamMapError,
        match=f"^Stream map `audit_logs` has an expression for `{place}`",
    ):
        tap_with({"audit_logs": {place: expression}})


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("acton", "'acton' is not defined"),
        ("_['acton']", "there is no 'acton'"),
        ("hash(action)", "Function 'hash' not defined"),
        ("action.nothing", "Attribute 'nothing' does not exist"),
        ("action + 1", 'can only concatenate str (not "int") to str'),
        ("int(actor['id'])", "ValueError"),
        ("[]()", "Lambda Functions not implemented"),
    ],
)
@pytest.mark.parametrize("place", ["who", "__filter__"])
def test_an_expression_that_fails_is_named(
    place: str, expression: str, reason: str
) -> None:
    maps = {
        "audit_logs": {"first": "action"},
        "other": {"__source__": "audit_logs", "action": "action", place: expression},
    }
    with pytest.raises(StreamMapError) as caught:
        convert(tap_with(maps), json.dumps(EVENT).encode())
    assert str(caught.value) == (
        f"Stream map `other` cannot compute `{place}` of the event of "
        f"{EVENT['timestamp']}: correct the expression ({reason})."
    )
    assert "secret person" not in str(caught.value)


@pytest.mark.parametrize("settings", [None, {}, {"salt": None}, {"other": "x"}])
def test_a_salt_that_is_not_set_is_named(settings: dict[str, Any] | None) -> None:
    tap = tap_with({"audit_logs": {"actor": IP}}, settings)
    with pytest.raises(StreamMapError) as caught:
        convert(tap, json.dumps({**EVENT, "actor": {"ip": "1.1.1.1"}}).encode())
    assert str(caught.value) == (
        "Stream map `audit_logs` computes `actor` with `salt`, which is not set: give "
        "`salt` a value in setting `stream_map_config`."
    )


def test_a_setting_that_is_set_is_not_blamed() -> None:
    tap = tap_with({"audit_logs": {"who": "config['prefix'] + 1"}}, {"prefix": "x"})
    with pytest.raises(StreamMapError, match="cannot compute `who` of the event"):
        convert(tap, json.dumps(EVENT).encode())


def test_no_hash_is_made_with_an_empty_salt() -> None:
    with pytest.raises(StreamMapError, match="with `salt`, which is not set"):
        tap_with({"audit_logs": {"actor": IP}}, {"salt": ""})
    # Elsewhere, an empty text is as good as another.
    tap = tap_with({"audit_logs": {"who": "config['prefix'] + action"}}, {"prefix": ""})
    ((_, record),) = convert(tap, json.dumps(EVENT).encode())
    assert json.loads(record)["who"] == "created"


def test_the_map_of_the_stream_is_named_when_two_are_alike() -> None:
    source = {"__source__": "audit_logs", "number": "int(action)"}
    maps = {"filtered": {**source, "__filter__": "False"}, "other": source}
    with pytest.raises(StreamMapError, match="map `other` cannot compute"):
        convert(tap_with(maps), json.dumps(EVENT).encode())


def test_a_map_that_fails_ends_the_sync_with_what_was_before() -> None:
    items = [
        {"timestamp": f"2026-01-0{day} 00:00:00 +0000 UTC", "action": action}
        for day, action in enumerate(["1", "2", "x"], 1)
    ]
    maps = {"audit_logs": {"number": "int(action)"}}
    with Sandbox(items) as sandbox:
        with pytest.raises(StreamMapError, match="`number` of the event of 2026-01-03"):
            sync(config_for(sandbox, stream_maps=maps))
        maps["audit_logs"]["__filter__"] = "action != 'x'"
        found = records(sync(config_for(sandbox, stream_maps=maps)))
    assert [record["number"] for record in found] == [1, 2]
