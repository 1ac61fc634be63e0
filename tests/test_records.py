from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_akuity.api.audit_log import KnownAuditLog
from tap_akuity.records.event import Event, RecordError, parse_event

LISTED = [
    ("action",),
    ("actor", "type"),
    ("actor", "id"),
    ("actor", "ip"),
    ("object", "type"),
    ("object", "id", "name"),
    ("object", "id", "kind"),
    ("object", "id", "group"),
    ("object", "parentId", "name"),
    ("object", "parentId", "parentName"),
    ("object", "parentId", "applicationName"),
    ("details", "message"),
    ("details", "patch"),
    ("details", "actionType"),
]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
members = st.none() | texts


def event_of(item: Any, organization_id: str = "org", **dump: Any) -> Event:
    """Parse it in both ways, if it has nothing that is not known."""
    raw = json.dumps(item, **dump).encode()
    event = parse_event(msgspec.Raw(raw), organization_id)
    try:
        known = msgspec.json.decode(raw, type=KnownAuditLog)
    except msgspec.ValidationError:
        return event
    same = parse_event(known, organization_id)
    assert same.record() == event.record()
    assert (same.id, same.timestamp) == (event.id, event.timestamp)
    assert same.last_occurred == event.last_occurred
    return same


def put(item: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(item)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return changed


def recipe(item: dict[str, Any], organization_id: str, timestamp: str) -> str:
    """Compute the id as the docstring tells users to."""

    def member(*path: str) -> str:
        value: Any = item
        for name in path:
            value = (value or {}).get(name)
        return value or ""

    values = [organization_id, timestamp, *(member(*path) for path in LISTED)]
    array = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(array.encode()).hexdigest()


def test_the_sample_record(sample: dict[str, Any]) -> None:
    assert event_of(sample).record() == {
        **sample,
        "id": "654b23c1ac30cdc23ffad384a2661a4f280140314b783c938640c53985e26ed0",
        "organization_id": "org",
        "timestamp": "2025-11-21T16:26:40.139210000Z",
        "lastOccurredTimestamp": "2025-11-21T16:26:40.139210000Z",
    }


@given(st.lists(members, min_size=len(LISTED), max_size=len(LISTED)), texts)
def test_the_id_can_be_recomputed(values: list[str | None], organization: str) -> None:
    item: dict[str, Any] = {
        "timestamp": "2025-11-21 16:26:40.5 +0000 UTC",
        "actor": {},
        "object": {"id": {}, "parentId": {}},
        "details": {},
    }
    for path, value in zip(LISTED, values, strict=True):
        item = put(item, path, value)
    event = event_of(item, organization)
    assert event.id == recipe(item, organization, "2025-11-21T16:26:40.500000000Z")


@pytest.mark.parametrize("path", LISTED)
def test_absent_null_and_empty_are_the_same(
    sample: dict[str, Any], path: tuple[str, ...]
) -> None:
    empty = put(sample, path, "")
    absent = copy.deepcopy(empty)
    inner: Any = absent
    for name in path[:-1]:
        inner = inner[name]
    del inner[path[-1]]
    ids = {event_of(i).id for i in (empty, absent, put(sample, path, None))}
    assert len(ids) == 1


@pytest.mark.parametrize("path", [("actor",), ("object", "id"), ("object",)])
def test_an_absent_object_is_one_of_empty_members(
    sample: dict[str, Any], path: tuple[str, ...]
) -> None:
    empty: dict[str, Any] = {}
    assert event_of(put(sample, path, None)).id == event_of(put(sample, path, empty)).id


@pytest.mark.parametrize("path", [*LISTED, ("timestamp",)])
def test_what_differs_on_the_list_differs_in_id(
    sample: dict[str, Any], path: tuple[str, ...]
) -> None:
    other = put(sample, path, "2025-11-21 16:26:40.139210001 +0000 UTC")
    assert event_of(other).id != event_of(sample).id
    assert event_of(sample, "other").id != event_of(sample).id


def test_values_do_not_run_into_each_other(sample: dict[str, Any]) -> None:
    one = put(put(sample, ("actor", "type"), 'a","b'), ("actor", "id"), "c")
    other = put(put(sample, ("actor", "type"), "a"), ("actor", "id"), 'b","c')
    assert event_of(one).id != event_of(other).id


def test_the_id_stays(sample: dict[str, Any]) -> None:
    same = [
        sample,
        dict(reversed(sample.items())),
        sample
        | {"count": 10, "lastOccurredTimestamp": "2026-01-01 00:00:00 +0000 UTC"},
        sample | {"added": {"by": "Akuity"}},
        put(sample, ("actor", "added"), 1),
        sample | {"timestamp": "2025-11-21T17:26:40.139210000+01:00"},
    ]
    ids = {event_of(item).id for item in same}
    ids.add(event_of(sample, indent=3, ensure_ascii=True).id)
    assert ids == {event_of(sample).id}


def test_what_akuity_adds_passes_at_any_depth(sample: dict[str, Any]) -> None:
    item = sample | {
        "added": {"list": [1, {"deep": None}]},
        "big": 12345678901234567890,
    }
    item = put(item, ("object", "parentId", "added"), [True])
    record = event_of(item).record()
    assert record["added"] == item["added"]
    assert record["big"] == item["big"]
    assert record["object"] == item["object"]


def test_numbers_keep_their_digits() -> None:
    raw = b'{"timestamp":"2025-01-01T00:00:00Z","cost":0.12345678901234567890}'
    record = parse_event(msgspec.Raw(raw), "org").record()
    assert str(record["cost"]) == "0.12345678901234567890"


def known_or_absent(names: dict[str, st.SearchStrategy[Any]]) -> Any:
    return st.none() | st.fixed_dictionaries({}, optional=names)


audit_logs = st.fixed_dictionaries(
    {"timestamp": st.just("2025-11-21 16:26:40.5 +0000 UTC")},
    optional={
        "action": members,
        "actor": known_or_absent({"type": members, "id": members, "ip": members}),
        "object": known_or_absent(
            {
                "type": members,
                "id": known_or_absent(
                    {"name": members, "kind": members, "group": members}
                ),
                "parentId": known_or_absent(
                    {
                        "name": members,
                        "parentName": members,
                        "applicationName": members,
                    }
                ),
            }
        ),
        "details": known_or_absent(
            {"message": members, "patch": members, "actionType": members}
        ),
        "count": st.none() | st.integers(),
        "lastOccurredTimestamp": st.sampled_from(
            [None, "", "2025-11-21 16:26:40.5 +0000 UTC", "2025-11-22T00:00:00Z"]
        ),
    },
)


@given(audit_logs)
def test_what_is_known_comes_out_as_it_came(item: dict[str, Any]) -> None:
    raw = json.dumps(item).encode()
    assert msgspec.json.decode(raw, type=KnownAuditLog)
    record = event_of(item).record()
    ours = ("id", "organization_id", "timestamp", "lastOccurredTimestamp")
    assert {name: record.pop(name, None) for name in ours}.keys() == set(ours)
    for name in ours:
        item.pop(name, None)
    assert record == item


@pytest.mark.parametrize(
    "path",
    [
        ("added",),
        ("actor", "added"),
        ("object", "added"),
        ("object", "id", "added"),
        ("object", "parentId", "added"),
        ("details", "added"),
    ],
)
def test_what_is_not_known_is_noticed_at_any_depth(
    sample: dict[str, Any], path: tuple[str, ...]
) -> None:
    raw = json.dumps(put(sample, path, 1)).encode()
    with pytest.raises(msgspec.ValidationError, match="unknown field `added`"):
        msgspec.json.decode(raw, type=KnownAuditLog)


def test_an_id_that_akuity_adds_is_kept_beside_ours(sample: dict[str, Any]) -> None:
    event = event_of(sample | {"id": "theirs", "organization_id": "theirs too"})
    record = event.record()
    assert record["id"] == event.id == event_of(sample).id
    assert record["organization_id"] == "org"
    assert record["akuity_id"] == "theirs"
    assert record["akuity_organization_id"] == "theirs too"


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_last_occurrence_is_null(sample: dict[str, Any], value: Any) -> None:
    event = event_of(sample | {"lastOccurredTimestamp": value})
    assert event.record()["lastOccurredTimestamp"] is None


def test_nulls_and_absences_pass(sample: dict[str, Any]) -> None:
    item = sample | {"object": None, "details": None}
    item = copy.deepcopy(item)
    del item["actor"]["ip"], item["action"]
    record = event_of(item).record()
    assert record["object"] is None
    assert record["details"] is None
    assert "ip" not in record["actor"]
    assert "action" not in record


@given(texts)
def test_any_patch_passes(patch: str) -> None:
    item = {"timestamp": "2025-01-01T00:00:00Z", "details": {"patch": patch}}
    assert event_of(item).record()["details"]["patch"] == patch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": None}, "Expected `str`, got `null` - at `$.timestamp`"),
        ({"timestamp": 5}, "Expected `str`, got `int` - at `$.timestamp`"),
        ({"timestamp": ""}, "'' is not a timestamp"),
        ({"timestamp": "soon"}, "'soon' is not a timestamp"),
        ({"lastOccurredTimestamp": "soon"}, "lastOccurredTimestamp: 'soon' is not"),
        ({"action": 1}, "Expected `str | null`, got `int` - at `$.action`"),
        ({"actor": "x"}, "Expected `object | null`, got `str` - at `$.actor`"),
        ({"actor": {"ip": []}}, "at `$.actor.ip`"),
        ({"object": {"parentId": {"name": 0}}}, "at `$.object.parentId.name`"),
        ({"count": "9"}, "Expected `int | null`, got `str` - at `$.count`"),
    ],
)
def test_what_cannot_be_right_is_refused(
    sample: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecordError) as caught:
        event_of(sample | change)
    assert message in str(caught.value)


def test_a_record_without_a_timestamp_is_refused() -> None:
    with pytest.raises(RecordError, match="missing required field `timestamp`"):
        event_of({"action": "created"})
