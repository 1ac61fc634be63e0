"""Stream maps that cannot work, and what is said of them."""

import json

import pytest
from singer_sdk.exceptions import ConfigurationError

from tap_akuity.output.maps import StreamMapError
from tests.helpers.catalogs import catalog_without, convert, tap_of
from tests.helpers.events import WHEN, event_of

ACTOR = {"id": "secret person", "ip": "1.1.1.1"}
EVENT = event_of(WHEN | {"action": "created", "actor": ACTOR}).json
SALTED = "sha256(config['salt'] + actor['ip'])"


def tap_with(maps, settings=None, catalog=None):
    return tap_of(catalog, stream_maps=maps, stream_map_config=settings)


def of_audit_logs(**properties):
    return {"__source__": "audit_logs", **properties}


@pytest.mark.parametrize(
    ("maps", "named"),
    [
        ({"audit_logs": {"timestamp": None}}, "audit_logs` removes `timestamp"),
        ({"audit_logs": {"id": "__NULL__"}}, "audit_logs` removes `id"),
        ({"audit_*": {"timestamp": None}}, r"audit_\*` removes `timestamp"),
        ({"audit_logs": {"__else__": None}}, "audit_logs` removes `id"),
        ({"audit_logs": {}, "b": of_audit_logs(id=None)}, "b` removes `id"),
        ({"b": of_audit_logs(__else__=None, id="id")}, "b` removes `timestamp"),
    ],
)
def test_no_map_removes_what_nothing_can_be_loaded_without(maps, named):
    needed = "without which nothing can be loaded safely: keep it.$"
    with pytest.raises(StreamMapError, match=f"^Stream map `{named}`, {needed}"):
        tap_with(maps)


@pytest.mark.parametrize(("key", "other"), [("id", "text"), ("timestamp", "count")])
def test_no_map_makes_null_of_them(key, other):
    tap = tap_with({"audit_logs": {key: f"_.get('{other}')"}})
    with pytest.raises(StreamMapError, match=f"`audit_logs` removes `{key}`"):
        convert(tap, EVENT)


def test_what_is_of_another_stream_does_not_matter():
    maps = {"others": {"id": None, "wrong": "("}, "audit_logs": {"count": None}}
    assert convert(tap_with(maps), EVENT)


def test_a_source_may_be_a_pattern():
    maps = {"audit_logs": None, "copy": {"__source__": "audit_*"}}
    ((name, record),) = convert(tap_with(maps), EVENT)
    assert (name, json.loads(record)) == ("copy", json.loads(EVENT))


def test_the_catalog_is_blamed_for_what_it_deselects():
    catalog = catalog_without()
    catalog["streams"][0]["schema"]["properties"].pop("timestamp")
    with pytest.raises(ConfigurationError, match="catalog deselects `timestamp`"):
        tap_with({"audit_logs": {"timestamp": None}}, catalog=catalog)


@pytest.mark.parametrize(
    "maps", [{"audit_logs": None}, {"audit_logs": "__NULL__"}, {"__else__": None}]
)
def test_maps_that_leave_no_stream(maps):
    with pytest.raises(StreamMapError, match="`stream_maps` leaves no stream, so that"):
        tap_with(maps)


def test_keys_keep_their_names_when_names_are_cut():
    flat = {"flattening_enabled": True, "flattening_max_depth": 1}
    with pytest.raises(StreamMapError) as caught:
        tap_of(**flat, flattening_max_key_length=9)
    assert str(caught.value) == (
        "Setting `flattening_max_key_length` cuts `timestamp` short, without which "
        "nothing can be loaded safely: give it a greater number."
    )


@pytest.mark.parametrize(
    ("place", "expression"), [("who", "("), ("who", "x\0"), ("__filter__", "")]
)
def test_an_expression_that_is_not_valid_is_named(place, expression):
    named = f"^Stream map `audit_logs` has an expression for `{place}` that is not "
    with pytest.raises(StreamMapError, match=named + "valid Python: correct it.$"):
        tap_with({"others": {}, "audit_logs": {place: expression}})


@pytest.mark.parametrize(
    ("place", "expression", "reason"),
    [
        ("who", "acton", "'acton' is not defined"),
        ("__filter__", "acton", "'acton' is not defined"),
        ("who", "_['acton']", "there is no 'acton'"),
        ("who", "hash(action)", "Function 'hash' not defined"),
        ("who", "action.nothing", "Attribute 'nothing' does not exist"),
        ("who", "config['set'] + 1", 'can only concatenate str (not "int") to str'),
        ("who", "int(actor['id'])", "ValueError"),
        ("who", "[]()", "Lambda Functions not implemented"),
    ],
)
def test_an_expression_that_fails_is_named(place, expression, reason):
    other = of_audit_logs(action="action", **{place: expression})
    maps = {"audit_logs": {"first": "action"}, "other": other}
    with pytest.raises(StreamMapError) as caught:
        convert(tap_with(maps, {"set": "x"}), EVENT)
    assert str(caught.value) == (
        f"Stream map `other` cannot compute `{place}` of the event of "
        f"2026-01-01T00:00:00.000000Z: correct the expression ({reason})."
    )


@pytest.mark.parametrize("settings", [None, {"salt": None}, {"other": "x"}])
def test_a_salt_that_is_not_set_is_named(settings):
    with pytest.raises(StreamMapError) as caught:
        convert(tap_with({"audit_logs": {"actor": SALTED}}, settings), EVENT)
    assert str(caught.value) == (
        "Stream map `audit_logs` computes `actor` with `salt`, which is not set: give "
        "`salt` a value in setting `stream_map_config`."
    )


def test_a_setting_that_is_not_needed_may_be_missing():
    maps = {"audit_logs": {"who": "config['x'] if 'x' in config else action"}}
    ((_, record),) = convert(tap_with(maps), EVENT)
    assert json.loads(record)["who"] == "created"


def test_no_hash_is_made_with_an_empty_salt():
    named = "^Stream map `audit_logs` computes `actor` with `salt`, which is not set"
    with pytest.raises(StreamMapError, match=named):
        tap_with({"audit_logs": {"actor": SALTED}}, {"salt": ""})
    # Elsewhere, an empty text is as good as another.
    tap = tap_with({"audit_logs": {"who": "config['prefix'] + action"}}, {"prefix": ""})
    ((_, record),) = convert(tap, EVENT)
    assert json.loads(record)["who"] == "created"


@pytest.mark.parametrize("place", ["number", "rank"])
def test_the_map_of_the_stream_is_named_when_two_are_alike(place):
    maps = {
        "filtered": of_audit_logs(number="int(action)", __filter__="False"),
        "other": of_audit_logs(**{place: "int(action)"}),
        "third": of_audit_logs(last="int(action)", __filter__="False"),
    }
    with pytest.raises(StreamMapError, match=f"map `other` cannot compute `{place}`"):
        convert(tap_with(maps), EVENT)


def test_the_map_is_named_where_its_stream_has_another_name():
    maps = {"audit_logs": {"__alias__": "events", "number": "int(action)"}}
    with pytest.raises(StreamMapError, match="map `audit_logs` cannot compute `number"):
        convert(tap_with(maps), EVENT)
