"""The demo: is its check of the rows one that would notice?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from demo import comparison, warehouse
from demo.__main__ import rows_loaded, table

if TYPE_CHECKING:
    from pathlib import Path

ITEM: dict[str, Any] = {
    "timestamp": "2025-11-21 16:26:40.123456789 +0000 UTC",
    "action": "deleted",
    "actor": {"id": "sarah@example.com", "ip": "203.0.113.7", "type": "user"},
    "object": {"type": "k8s_resource", "id": {"name": "a"}, "parentId": None},
    "details": {"message": "", "patch": '{"a": "ü\\n"}', "actionType": "DELETE"},
    "count": 2,
    "lastOccurredTimestamp": "2025-11-21 16:30:00 +0000 UTC",
}


def as_row(item: dict[str, Any]) -> dict[str, Any]:
    """Write an item as it is in the database, in another order and other spaces."""

    def as_json(value: dict[str, Any] | None) -> str | None:
        return json.dumps(value, indent=1, sort_keys=True) if value else None

    return {
        "timestamp": comparison.parse_time(item["timestamp"]),
        "action": item["action"],
        "actor": as_json(item["actor"]),
        "object": as_json(item["object"]),
        "details": as_json(item["details"]),
        "count": item["count"],
        "lastoccurredtimestamp": (
            comparison.parse_time(item["lastOccurredTimestamp"])
            if item["lastOccurredTimestamp"]
            else None
        ),
    }


def difference(items: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str | None:
    return comparison.difference(
        map(comparison.from_api, items), map(comparison.from_row, rows)
    )


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"actor": None},
        {"actor": {"id": "sarah@example.com", "type": "user"}},
        {"object": None, "details": None},
        {"lastOccurredTimestamp": ""},
    ],
)
def test_finds_equal_what_is_equal(change: dict[str, Any]) -> None:
    other = {**ITEM, "timestamp": "2025-11-21 16:26:41 +0000 UTC"}
    items = [{**ITEM, **change}, other]
    assert difference(items, [as_row(item) for item in reversed(items)]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "2025-11-21 16:26:40.123457 +0000 UTC"},
        {"action": "created"},
        {"actor": None},
        {"actor": {**ITEM["actor"], "id": "other"}},
        {"actor": {**ITEM["actor"], "type": "api_key"}},
        {"actor": {"id": "sarah@example.com", "type": "user"}},
        {"object": {**ITEM["object"], "id": None}},
        {"details": {**ITEM["details"], "patch": '{"a": "ü\n"}'}},
        {"count": 3},
        {"lastOccurredTimestamp": "2025-11-21 16:30:00.000001 +0000 UTC"},
        {"lastOccurredTimestamp": ""},
    ],
)
def test_notices_each_field(change: dict[str, Any]) -> None:
    sentence = difference([ITEM], [as_row({**ITEM, **change})])
    assert sentence is not None
    assert "1 of the sandbox's events" in sentence
    assert "1 of DuckDB's rows" in sentence


@pytest.mark.parametrize(
    ("expected", "actual", "sentence"),
    [
        (1, 0, "1 of the sandbox's events are missing or changed in DuckDB ("),
        (0, 1, "1 of DuckDB's rows are not events of the sandbox ("),
        (1, 2, "1 of DuckDB's rows are not events of the sandbox ("),
    ],
)
def test_notices_a_row_too_few_or_too_many(
    expected: int, actual: int, sentence: str
) -> None:
    found = difference([ITEM] * expected, [as_row(ITEM)] * actual)
    assert found is not None
    assert found.startswith(sentence)
    assert "; " not in found


def test_counts_what_the_loader_says(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = 'target-duckdb Loading {} rows into \'"demo"."akuity"."audit_logs"\'\n'
    log.write_text(line.format(500))
    first_run = log.stat().st_size
    log.write_text(line.format(500) + line.format(40) + "other\n" + line.format(2))
    assert rows_loaded(log, since=0) == 542
    assert rows_loaded(log, since=first_run) == 42


def test_lays_out_a_table() -> None:
    rows = [
        warehouse.Busiest("sarah", "user", "deleted", "k8s_resource", 1200),
        warehouse.Busiest(None, "system", "created", None, 3),
    ]
    assert table(rows) == [
        "who    type    action   object        events",
        "sarah  user    deleted  k8s_resource   1,200",
        "-      system  created  -                  3",
    ]
