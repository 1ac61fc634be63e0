"""What the sandbox makes up: instants and events."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from datetime import datetime, timezone
from itertools import pairwise
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.data import TWIN_PLACES, Dataset, older
from sandbox.instants import SHAPES, Distribution, instants
from sandbox.timestamps import (
    DAY,
    SECOND,
    from_record,
    from_rfc3339,
    months_before,
    to_go,
)
from tests.helpers.sandbox import UNTIL, UNTIL_NS, generate, instant, reach


@given(st.integers(-(10**18), 4 * 10**18))
def test_go_text_is_exact_without_trailing_zeros(ns):
    text = to_go(ns)
    assert from_record(text) == ns
    digits = text.split()[1].partition(".")[2]
    assert len(digits) <= 9
    assert not digits.endswith("0")


def test_a_record_may_name_another_zone():
    for hour, zone in ((18, "+0200 CEST"), (11, "-0500 -0500"), (16, "+0000")):
        text = f"2025-11-21 {hour}:26:40.5 {zone}"
        assert to_go(from_record(text)) == "2025-11-21 16:26:40.5 +0000 UTC"
    assert from_record("2025-11-21T18:26:40.500+02:00") == from_record(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2025-11-21", "2025-11-21T16:26:40", "2025-11-21 16:26:40Z"),
        *("2025-11-21T16:26:40 00:00", "2025-11-21T16:26:40+0000"),
        *("2025-11-21t16:26:40z", "2025-11-21T16:26Z", "2025-11-21T16:26:40.Z"),
        *("2025-11-21T24:00:00Z", "2025-11-21T16:26:60Z", "2025-02-29T16:26:40Z"),
        *("2025-11-21T16:26:40Z\n", "٢٠٢٥-11-21T16:26:40Z"),
    ],
)
def test_rfc3339_is_strict(text):
    with pytest.raises(ValueError, match=r"is not a timestamp|day is out"):
        from_rfc3339(text)


@pytest.mark.parametrize(
    ("months", "day"), [(0, "2026-03-28"), (1, "2026-02-28"), (13, "2025-02-28")]
)
def test_months_end_at_the_28th(months, day):
    at = from_rfc3339("2026-03-31T08:30:00Z") + 1
    assert months_before(at, months) == from_rfc3339(f"{day}T08:30:00Z") + 1


@pytest.mark.parametrize(
    ("distribution", "digest"),
    [
        ("organization", "af1dd5409123e5f2"),
        ("even", "238a7742bdba80bd"),
        ("clustered", "77b279064f59a566"),
    ],
)
def test_a_seed_gives_the_same_bytes_everywhere(distribution, digest):
    items = generate(3000, 7, UNTIL, None, distribution)
    # What came later changed no history.
    text = json.dumps([older(item) for item in items], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest
    assert items == generate(3000, 7, UNTIL, None, distribution)
    assert items != generate(3000, 8, UNTIL, None, distribution)


@pytest.mark.parametrize("distribution", get_args(Distribution))
@pytest.mark.parametrize(("records", "days"), [(0, None), (1, 1), (3000, None)])
def test_events_are_in_the_days_in_order_and_different(distribution, records, days):
    items = generate(records, 3, UNTIL, days, distribution)
    found = [instant(item) for item in items]
    start = UNTIL_NS - (days or (1826 if distribution == "clustered" else 90)) * DAY
    assert len(items) == records
    assert found == sorted(found)
    assert all(start <= ns < UNTIL_NS for ns in found)
    keys = ("timestamp", "action", "actor", "object", "details")
    # An older server sends less, and has no two that are the same either.
    events = {json.dumps([older(item)[key] for key in keys]) for item in items}
    assert len(events) == records


def test_items_have_the_shape_of_the_api():
    members = {
        (): "timestamp action actor object details count lastOccurredTimestamp",
        ("object",): "type id parentId",
        ("object", "id"): "name kind group namespace",
        ("object", "parentId"): "name parentName applicationName projectName",
        ("details",): "message patch actionType",
    }
    for item in generate(5000, 2, UNTIL):
        for path, expected in members.items():
            part = reach(item, path)
            assert part is None or list(part) == expected.split()
        actor = item["actor"] or {"type": "", "id": ""}
        assert {"type", "id"} <= actor.keys() <= {"type", "id", "ip", "origin"}
        # Absent when unset, not empty.
        assert all(actor[name] for name in ("ip", "origin") if name in actor)
        assert to_go(instant(item)) == item["timestamp"]
        last = item["lastOccurredTimestamp"]
        if last and item["count"] > 1:
            assert instant(item) < from_record(last) < UNTIL_NS
        elif last:
            assert (item["count"], last) == (1, item["timestamp"])


@pytest.mark.parametrize("seed", [0, 1])
def test_every_trap_is_in_the_default_data(seed):
    items = generate(2000, seed, UNTIL)
    objects = [item["object"] for item in items if item["object"]]
    actors = [item["actor"] for item in items if item["actor"]]
    patches = [(item["details"] or {}).get("patch", "") for item in items]
    text = "".join(patches)
    assert all(None in [one[key] for one in items] for key in ("actor", "details"))
    assert len(objects) < len(items)
    assert all(None in [one[key] for one in objects] for key in ("id", "parentId"))
    assert 0 < sum("ip" not in actor for actor in actors) < len(actors)
    assert 0 < sum(actor.get("origin") == "mcp" for actor in actors) < len(actors) / 10
    for owner, member in (("id", "namespace"), ("parentId", "projectName")):
        found = {one[owner][member] for one in objects if one[owner]}
        assert "" in found
        assert len(found) > 1
    assert any(item["count"] > 1 for item in items)
    assert any(item["lastOccurredTimestamp"] == "" for item in items)
    assert 0 < sum(map(bool, patches)) < len(items) / 5
    assert max(map(len, patches)) > 3000
    assert all(trap in text for trap in ('\\"', "\\n", "\n", "🚀", "تمت", "ß"))
    assert all(isinstance(json.loads(patch), dict) for patch in patches if patch)
    fractions = {len(item["timestamp"].split()[1].partition(".")[2]) for item in items}
    assert fractions == set(range(10))
    assert Counter(item["timestamp"] for item in items).most_common(1)[0][1] > 5


def test_an_organization_works_by_day_and_rests_at_weekends():
    found = [instant(item) for item in generate(5000, 4, UNTIL)]
    moments = [datetime.fromtimestamp(ns // SECOND, timezone.utc) for ns in found]
    assert sum(moment.weekday() >= 5 for moment in moments) < len(moments) / 10
    assert sum(not 7 <= moment.hour < 21 for moment in moments) < len(moments) / 20
    assert Counter(ns // (60 * SECOND) for ns in found).most_common(1)[0][1] > 100


def test_distributions_are_what_their_names_say():
    start, end = UNTIL_NS - 2192 * DAY, UNTIL_NS
    made = {one: instants(one, 20_000, Random(1), start, end) for one in SHAPES}

    def share(distribution, since, until):
        first, last = (start + int(part * (end - start)) for part in (since, until))
        return sum(first <= one < last for one in made[distribution]) / 20_000

    gaps = [after - before for before, after in pairwise(made["even"])]
    assert max(gaps) - min(gaps) <= 1
    assert share("growth", 0.875, 1) == pytest.approx(0.5, abs=0.02)
    assert share("crowded", 0.6, 0.62) == pytest.approx(0.51, abs=0.02)
    assert share("early-start", 0, 0.95) == 0
    weekend = [one for one in made["nights-and-weekends"] if (one // DAY + 3) % 7 >= 5]
    assert len(weekend) / 20_000 < 0.03
    near = [after - before < SECOND for before, after in pairwise(made["bursts"])]
    assert sum(near) / 20_000 > 0.9


def test_clustered_is_silence_and_bursts():
    found = instants("clustered", 120_000, Random(1), UNTIL_NS - 1826 * DAY, UNTIL_NS)
    assert Counter(ns // SECOND for ns in found).most_common(1)[0][1] >= 50_000
    assert len({ns // DAY for ns in found}) < 1000
    assert found[-1] - found[0] > 1700 * DAY


def test_twins_differ_in_an_unknown_member_only():
    plain = generate(200, 1, UNTIL)
    items = list(Dataset(200, 1, UNTIL, twins=30))
    numbers: Counter[int] = Counter()
    planted = set()
    for item in items:
        for path in TWIN_PLACES:
            if found := (reach(item, path) or {}).pop("revision", None):
                planted.add(path)
                numbers[found["number"]] += 1
    assert planted == set(TWIN_PLACES)
    assert numbers == {1: 15, 2: 30}
    twins = [item for item, after in pairwise(items) if item == after]
    assert len(twins) == 30
    assert [item for n, item in enumerate(items) if n == items.index(item)] == plain


def test_every_event_may_have_members_that_nobody_knows():
    items = list(Dataset(50, 1, UNTIL, unknown_members=True))
    assert len({item["requestId"] for item in items}) == 50
    assert all("labels" in (item["object"] or item) for item in items)


def test_every_patch_may_have_a_size():
    items = list(Dataset(50, 1, UNTIL, patch_bytes=2000))
    assert {len(item["details"]["patch"]) for item in items} == {2000}
