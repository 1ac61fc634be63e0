"""An item of the API becomes an event."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.truth import LEAVES, TIMES, find, row
from tap_akuity.api.audit_log import AuditLog
from tap_akuity.records.event import RecordError
from tap_akuity.records.members import (
    MAX_KINDS,
    MAX_NAMES,
    UnknownMembers,
    _members,
)
from tap_akuity.text.timestamps import PRECISIONS, to_text
from tests.helpers.events import event_of, events_of, items, texts

GOOD = {"timestamp": "2025-01-01T00:00:00Z"}
WRITTEN = "2025-01-01T00:00:00.000000Z"
KNOWN = {*TIMES, "action", "count", *map(".".join, LEAVES.values())}
OBJECTS = {path.rpartition(".")[0] for path in KNOWN} | {"object"}


def unknown_paths(item, path=""):
    """Return what an item has beyond what is documented, as dotted paths."""
    found = set()
    for name, value in item.items():
        if path + name in OBJECTS:
            found |= unknown_paths(value or {}, f"{path}{name}.")
        elif path + name not in KNOWN:
            found.add(path + name)
    return found


def test_what_is_documented_is_known():
    known = _members(AuditLog)
    assert unknown_paths(known) == set()
    assert all(find(known, path.split(".")) == {} for path in KNOWN)


def test_the_id_stays(sample):
    assert json.loads(event_of(sample).json) == {
        **sample,
        "id": "01691f4967ed038c6b548d5963b3b70890c85a49634c7f0aeb4700de1282b467",
        "organization_id": "org",
        "timestamp": "2025-11-21T16:26:40.139210Z",
        "lastOccurredTimestamp": "2025-11-21T16:26:40.139210Z",
    }


@given(
    item=items,
    organization=texts,
    precision=st.sampled_from(sorted(PRECISIONS)),
    dump=st.sampled_from(
        [{}, {"ensure_ascii": False}, {"sort_keys": True, "separators": (" ,", " : ")}]
    ),
)
def test_only_an_id_and_the_form_of_timestamps_are_new(
    item, organization, precision, dump
):
    unknown, raw = UnknownMembers(), json.dumps([item], **dump).encode()
    (event,) = events_of(raw, organization, unknown=unknown, precision=precision)
    expected = row(item, organization)
    last = expected["lastOccurredTimestamp"]
    assert event.id == expected["id"]
    assert event.timestamp == to_text(expected["timestamp"])
    assert event.last_occurred == ("" if last is None else to_text(last))
    emitted = PRECISIONS[precision]
    assert json.loads(event.json) == expected | {
        "timestamp": emitted(event.timestamp),
        "lastOccurredTimestamp": last and emitted(event.last_occurred),
    }
    assert unknown.names == unknown_paths(item)


@pytest.mark.parametrize(
    ("item", "record"),
    [
        (b'"\\u0069d":1', {"akuity_id": 1}),
        (b'"organization\\u005fid":1', {"akuity_organization_id": 1}),
        (b'"a":1,"\\u0061":2', {"a": 2}),
        (b'"timestamp":"soon"', {}),
        (b'"\\u0074imestamp" : "soon"', {}),
        (b'"a":{"timestamp":"soon","id":1}', {"a": {"timestamp": "soon", "id": 1}}),
        (rb'"a":"\",\"timestamp\":\"soon"', {"a": '","timestamp":"soon'}),
    ],
)
@pytest.mark.parametrize("space", [b"", b" \t"])
def test_each_name_is_there_once_however_it_is_written(item, record, space):
    good = b'"timestamp"%b:%b"2025-01-01T00:00:00Z"' % (space, space)
    (event,) = events_of(b"[{%b%b,%b%b}]" % (space, item, good, space))
    pairs = json.loads(event.json, object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs)
    expected = {"id": event.id, "organization_id": "org", "timestamp": WRITTEN}
    assert json.loads(event.json) == record | expected | {"lastOccurredTimestamp": None}


@pytest.mark.parametrize("number", ["0.12345678901234567890", "1e400", "-0.0"])
def test_numbers_keep_their_digits(number):
    raw = f'[{{"timestamp":"2025-01-01T00:00:00Z","cost":{number}}}]'
    (event,) = events_of(raw.encode())
    assert f'"cost":{number}' in event.json.decode()


@pytest.mark.parametrize("count", [9, "9", "9\n", 2**64, str(2**64)])
def test_a_count_may_be_text(count):
    (event,) = events_of(json.dumps([GOOD | {"count": count}]).encode())
    assert b"\n" not in event.json
    assert json.loads(event.json)["count"] == int(count)


def test_one_item_of_each_kind_is_examined_and_so_many_kinds(sample):
    unknown = UnknownMembers()
    items = [
        sample | {"a": 1},
        sample | {"not again": 1},
        sample | {"action": "other", "b": 1},
        sample | {"actor": {"type": "other"}, "c": 1},
        sample | {"object": {"type": "other"}, "d": 1},
    ]
    events_of(json.dumps(items).encode(), unknown=unknown)
    assert unknown.names == {"a", "b", "c", "d"}
    items = [sample | {"action": f"{n}"} for n in range(MAX_KINDS)]
    items.append(sample | {"action": "one too many", "e": 1})
    events_of(json.dumps(items).encode(), most=len(items), unknown=unknown)
    assert unknown.names == {"a", "b", "c", "d"}


def test_names_and_kinds_take_little_memory():
    unknown, size = UnknownMembers(), 1 << 18

    def examine(n):
        long = {f"{n}-{m}-{'x' * size}": 1 for m in range(2)}
        short = {f"{n}-{m}": 1 for m in range(1_000)}
        items = [{"action": f"{n}{'x' * size}", **long}, {"action": f"{n}", **short}]
        events_of(json.dumps([GOOD | one for one in items]).encode(), unknown=unknown)

    tracemalloc.start()
    for n in range(4):
        examine(n)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(unknown.names) == MAX_NAMES
    assert kept < size


def test_an_id_that_akuity_adds_is_kept_beside_ours(sample):
    theirs = {"id": "one", "akuity_id": "two", "organization_id": "three"}
    event = event_of(sample | theirs)
    assert event.id == event_of(sample).id
    record = json.loads(event.json)
    assert (record["id"], record["organization_id"]) == (event.id, "org")
    assert record["akuity_akuity_id"] == "one"
    assert record["akuity_id"] == "two"
    assert record["akuity_organization_id"] == "three"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([{"action": "a"}], "missing required field `timestamp`"),
        ([{"timestamp": 5}], "Expected `str`, got `int` - at `$.timestamp`"),
        ([{"timestamp": ""}], "'' is not a timestamp - in item 0 of the page"),
        ([GOOD | {"lastOccurredTimestamp": "soon"}], "lastOccurredTimestamp: 'soon'"),
        ([GOOD, GOOD | {"action": 1}], "got `int` - at `$.action` - in item 1 of the"),
        ([GOOD | {"actor": "x"}], "Expected `object | null`, got `str` - at `$.actor`"),
        ([GOOD | {"object": {"parentId": {"name": 0}}}], "at `$.object.parentId.name`"),
        ([GOOD | {"count": "x"}], "(byte 0) - at `$.count` - in item 0 of the page"),
        ([GOOD | {"count": "1.5"}], "Expected `int`, got `float` - at `$.count`"),
        ([GOOD | {"count": 1.5}], "Expected `int | str | null`, got `float` - at `$.c"),
        ([1], "Expected `object`, got `int`"),
        (None, "Expected `array`, got `null`"),
        ([GOOD] * 11, "11 items where at most 10 may be"),
    ],
)
def test_what_cannot_be_right_is_refused(items, message):
    with pytest.raises(RecordError) as caught:
        events_of(json.dumps(items).encode())
    assert message in str(caught.value)


def test_known_members_that_are_not_utf_8_are_refused():
    with pytest.raises(RecordError, match=r"(?i)utf-8"):
        events_of(b'[{"timestamp":"2025-01-01T00:00:00Z","action":"\xff"}]')


def test_a_large_page_is_counted_before_it_is_decoded(sample):
    large = sample | {"details": {"patch": "x" * 1_100_000}}
    assert len(events_of(json.dumps([large]).encode(), most=1)) == 1
    with pytest.raises(RecordError, match="100001 items where at most 10 may be"):
        events_of(b'[{"timestamp":""}' + b',{"timestamp":""}' * 100_000 + b"]")


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        ("", None),
        ("0001-01-01 00:00:00 +0000 UTC", None),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:01Z", "0001-01-01T00:00:01.000000Z"),
    ],
)
def test_the_zero_time_of_go_means_not_set(sent, last):
    event = event_of(GOOD | {"lastOccurredTimestamp": sent})
    assert json.loads(event.json)["lastOccurredTimestamp"] == last
    assert bool(event.last_occurred) == bool(last)
