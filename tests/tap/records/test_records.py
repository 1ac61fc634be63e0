from __future__ import annotations

import copy
import functools
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_akuity.api.audit_log import AuditLog
from tap_akuity.records.event import Event, RecordError
from tap_akuity.records.members import MAX_KINDS, UnknownMembers, _members
from tap_akuity.records.rows import tell_apart
from tests.helpers.events import (
    event_of,
    events_of,
    members,
    texts,
)

LISTED = [
    ("action",),
    ("actor", "type"),
    ("actor", "id"),
    ("actor", "ip"),
    ("actor", "origin"),
    ("object", "type"),
    ("object", "id", "name"),
    ("object", "id", "kind"),
    ("object", "id", "group"),
    ("object", "id", "namespace"),
    ("object", "parentId", "name"),
    ("object", "parentId", "parentName"),
    ("object", "parentId", "applicationName"),
    ("object", "parentId", "projectName"),
    ("details", "message"),
    ("details", "patch"),
    ("details", "actionType"),
]


def record_of(item: Any) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(event_of(item).json)
    return record


def put(item: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(item)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return changed


def recipe(
    item: dict[str, Any], organization_id: str, timestamp: str, *more: str
) -> str:
    """Compute the id as the docstring tells users to."""

    def member(*path: str) -> str:
        value: Any = item
        for name in path:
            value = (value or {}).get(name)
        return value or ""

    values = [organization_id, timestamp, *(member(*path) for path in LISTED), *more]
    array = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(array.encode()).hexdigest()


def test_the_sample_record(sample: dict[str, Any]) -> None:
    assert record_of(sample) == {
        **sample,
        "id": "01691f4967ed038c6b548d5963b3b70890c85a49634c7f0aeb4700de1282b467",
        "organization_id": "org",
        "timestamp": "2025-11-21T16:26:40.139210Z",
        "lastOccurredTimestamp": "2025-11-21T16:26:40.139210Z",
    }


FINE = "2025-11-21T16:26:40.000000001Z"


@pytest.mark.parametrize(
    ("precision", "digits"),
    [
        ("auto", ["139210", "000000001"]),
        ("microseconds", ["139210", "000000"]),
        ("nanoseconds", ["139210000", "000000001"]),
    ],
)
def test_the_precision_is_one_of_the_record_alone(
    sample: dict[str, Any], precision: str, digits: list[str]
) -> None:
    twice = [sample | {"lastOccurredTimestamp": FINE}, sample | {"timestamp": FINE}]
    one, other = events_of(json.dumps(twice).encode(), precision=precision)
    whole = "2025-11-21T16:26:40.139210000Z"
    assert (one.timestamp, one.last_occurred) == (whole, FINE)
    assert (other.timestamp, other.last_occurred) == (FINE, whole)
    assert one.id == recipe(sample, "org", whole)
    assert other.id == recipe(sample, "org", FINE)
    texts = [f"2025-11-21T16:26:40.{one}Z" for one in digits]
    records = json.loads(one.json), json.loads(other.json)
    assert [record["timestamp"] for record in records] == texts
    assert [record["lastOccurredTimestamp"] for record in records] == texts[::-1]


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


def test_the_id_of_a_twin_can_be_recomputed(sample: dict[str, Any]) -> None:
    # Without a count, as an item may be.
    sample = {name: value for name, value in sample.items() if name != "count"}
    twins = [sample | {"a": {"b/c~d": n, "e": {}}} for n in (1, 2.50)]
    (first, second, third), _ = tell_apart(
        [event_of(one, "of-mine") for one in (*twins, sample)]
    )
    id_of = functools.partial(recipe, sample, "of-mine", first.timestamp)
    assert first.id == id_of()
    assert second.id == id_of("/a/b~1c~0d", "2.5", "/a/e", "{}")
    assert third.id == id_of("/a/b~1c~0d", "", "/a/e", "")
    for one in (second, third):
        assert json.loads(one.json)["id"] == one.id


def test_twins_that_cannot_be_read_are_refused() -> None:
    twins = [Event("2025-11-21", "", "one", b"["), Event("2025-11-21", "", "one", b"")]
    with pytest.raises(RecordError, match="an event of 2025-11-21: "):
        tell_apart(twins)


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
    ids.add(event_of(sample, separators=(" ,", " : "), ensure_ascii=True).id)
    assert ids == {event_of(sample).id}


def test_what_akuity_adds_passes_at_any_depth(sample: dict[str, Any]) -> None:
    item = sample | {
        "added": {"list": [1, {"deep": None}]},
        "big": 12345678901234567890,
    }
    item = put(item, ("object", "parentId", "added"), [True])
    record = record_of(item)
    assert record["added"] == item["added"]
    assert record["big"] == item["big"]
    assert record["object"] == item["object"]


@pytest.mark.parametrize("number", ["0.12345678901234567890", "1e400", "-0.0"])
def test_numbers_keep_their_digits(number: str) -> None:
    raw = '[{"timestamp":"2025-01-01T00:00:00Z","cost":%s}]' % number  # noqa: UP031
    (event,) = events_of(raw.encode())
    assert f'"cost":{number}'.encode() in event.json


def known_or_absent(names: dict[str, st.SearchStrategy[Any]]) -> Any:
    return st.none() | st.fixed_dictionaries({}, optional=names)


audit_logs = st.fixed_dictionaries(
    {"timestamp": st.just("2025-11-21 16:26:40.5 +0000 UTC")},
    optional={
        "action": members,
        "actor": known_or_absent(
            {"type": members, "id": members, "ip": members, "origin": members}
        ),
        "object": known_or_absent(
            {
                "type": members,
                "id": known_or_absent(
                    {
                        "name": members,
                        "kind": members,
                        "group": members,
                        "namespace": members,
                    }
                ),
                "parentId": known_or_absent(
                    {
                        "name": members,
                        "parentName": members,
                        "applicationName": members,
                        "projectName": members,
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
    unknown = UnknownMembers()
    (event,) = events_of(json.dumps([item]).encode(), unknown=unknown)
    assert not unknown.names
    record = json.loads(event.json)
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
    unknown = UnknownMembers()
    items = [sample, put(sample | {"action": "other"}, path, {"deep": 1})]
    events_of(json.dumps(items).encode(), unknown=unknown)
    assert unknown.names == {".".join(path)}


def test_what_is_known() -> None:
    paths = {*LISTED, ("timestamp",), ("count",), ("lastOccurredTimestamp",)}
    known: dict[str, Any] = {}
    for path in paths:
        inner = known
        for name in path:
            inner = inner.setdefault(name, {})
    assert _members(AuditLog) == known


def test_so_many_kinds_are_examined_and_no_more(sample: dict[str, Any]) -> None:
    unknown = UnknownMembers()
    items = [sample | {"action": f"{n}", f"m{n}": 1} for n in range(MAX_KINDS + 9)]
    events_of(json.dumps(items).encode(), most=len(items), unknown=unknown)
    assert len(unknown.names) == MAX_KINDS


def test_an_id_that_akuity_adds_is_kept_beside_ours(sample: dict[str, Any]) -> None:
    event = event_of(sample | {"id": "theirs", "organization_id": "theirs too"})
    record = json.loads(event.json)
    assert record["id"] == event.id == event_of(sample).id
    assert record["organization_id"] == "org"
    assert record["akuity_id"] == "theirs"
    assert record["akuity_organization_id"] == "theirs too"


def test_no_member_takes_the_place_of_another(sample: dict[str, Any]) -> None:
    record = record_of(sample | {"id": "one", "akuity_id": "two"})
    assert record["akuity_id"] == "two"
    assert record["akuity_akuity_id"] == "one"


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_last_occurrence_is_null(sample: dict[str, Any], value: Any) -> None:
    item = sample | {"lastOccurredTimestamp": value}
    assert record_of(item)["lastOccurredTimestamp"] is None
    assert event_of(item).last_occurred == ""


def test_nulls_and_absences_pass(sample: dict[str, Any]) -> None:
    item = sample | {"object": None, "details": None}
    item = copy.deepcopy(item)
    del item["actor"]["ip"], item["action"]
    record = record_of(item)
    assert record["object"] is None
    assert record["details"] is None
    assert "ip" not in record["actor"]
    assert "action" not in record


@given(texts)
def test_any_patch_passes(patch: str) -> None:
    item = {"timestamp": "2025-01-01T00:00:00Z", "details": {"patch": patch}}
    assert record_of(item)["details"]["patch"] == patch


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"timestamp": None}, "Expected `str`, got `null` - at `$.timestamp`"),
        ({"timestamp": 5}, "Expected `str`, got `int` - at `$.timestamp`"),
        ({"timestamp": ""}, "'' is not a timestamp - in item 0 of the page"),
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


def test_more_items_than_may_be_are_refused(sample: dict[str, Any]) -> None:
    raw = json.dumps([sample] * 11).encode()
    with pytest.raises(RecordError, match="11 items where at most 10 may be"):
        events_of(raw)


def test_a_large_page_is_counted_before_it_is_decoded(sample: dict[str, Any]) -> None:
    large = sample | {"details": {"patch": "x" * 1_100_000}}
    assert len(events_of(json.dumps([large]).encode(), most=1)) == 1
    with pytest.raises(RecordError, match="100001 items where at most 10 may be"):
        events_of(b'[{"timestamp":""}' + b',{"timestamp":""}' * 100_000 + b"]")


@pytest.mark.parametrize("raw", [b"[1]", b"{}", b"[[]]", b"null"])
def test_items_that_are_none_are_refused(raw: bytes) -> None:
    with pytest.raises(RecordError):
        events_of(raw)
