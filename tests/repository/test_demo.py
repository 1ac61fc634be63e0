"""The demo's check of the rows notices each difference."""

import json
from typing import Any

import pytest

from scripts import comparison
from scripts.demo import rows_loaded

ITEM: dict[str, Any] = {
    "timestamp": "2025-11-21 16:26:40.123456789 +0000 UTC",
    "action": "deleted",
    "actor": {"id": "sarah@example.com", "type": "user"},
    "object": None,
    "details": {"message": "", "patch": '{"a": "ü\\n"}', "actionType": ""},
    "count": 2,
    "lastOccurredTimestamp": "",
}


def difference(items, rows):
    def as_row(item):
        at, action, *objects, times, last = item.values()
        texts = [one and json.dumps(one, indent=1, sort_keys=True) for one in objects]
        parse = comparison.parse_time
        return parse(at), action, *texts, times, parse(last) if last else None

    return comparison.difference(
        map(comparison.from_api, items), map(comparison.from_row, map(as_row, rows))
    )


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": "2025-11-21 16:26:40.123457 +0000 UTC"},
        {"action": "created"},
        {"actor": None},
        {"object": {"id": None}},
        {"details": {**ITEM["details"], "patch": '{"a": "ü\n"}'}},
        {"count": 3},
        {"lastOccurredTimestamp": "2025-11-21 16:30:00 +0000 UTC"},
    ],
)
def test_notices_each_property(change):
    sentence = difference([ITEM], [{**ITEM, **change}])
    assert "1 of the sandbox's events are missing or changed in DuckDB (" in sentence
    assert "; 1 of DuckDB's rows are not events of the sandbox (" in sentence


def test_notices_a_row_too_few_or_too_many():
    other = {**ITEM, "lastOccurredTimestamp": ITEM["timestamp"]}
    assert difference([ITEM, other], [other, ITEM]) is None
    assert difference([ITEM, ITEM], [ITEM]).startswith("1 of the sandbox's events are")
    assert difference([ITEM], [ITEM, ITEM]).startswith("1 of DuckDB's rows are not")


def test_counts_what_the_loader_says(tmp_path):
    log = tmp_path / "log"
    line = 'target-duckdb Loading {} rows into \'"demo"."akuity"."audit_logs"\'\n'
    log.write_text(line.format(500) + line.format(40) + "other\n" + line.format(2))
    assert rows_loaded(log, since=0) == 542
    assert rows_loaded(log, since=len(line.format(500))) == 42
