"""The normal forms and the detections of the examples, on DuckDB."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sandbox.timestamps import from_record
from scripts.examples import ask
from tests.helpers.detections import (
    DETECTIONS,
    FORMS,
    GOLDEN,
    ITEMS,
    RULES,
    events_in,
    query,
    with_views,
)
from tests.helpers.findings import hits, identify, planted
from tests.helpers.normal_forms import ecs_problems, ocsf_problems
from tests.helpers.readme import NEEDS_DUCKDB
from tests.helpers.truth import find

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.questions import Item


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Load the history and what is planted, and make the views."""
    return with_views(tmp_path_factory.mktemp("findings"))


@NEEDS_DUCKDB
@pytest.mark.parametrize("name", RULES)
def test_detections(name: str, database: Path) -> None:
    answer = ask(database, query(name))
    found = [row[answer.columns.index("id")] for row in answer.rows]
    assert sorted(found) == sorted(hits(ITEMS, "sandbox")[name])
    ours = {identify(item, "sandbox"): rules for item, rules in planted()}
    assert {one for one in found if one in ours} == {
        one for one, rules in ours.items() if name in rules
    }
    assert set(found) & ours.keys()


@NEEDS_DUCKDB
def test_each_finding_is_given_once(tmp_path: Path, database: Path) -> None:
    import duckdb  # noqa: PLC0415

    views, report = (
        (DETECTIONS / f"{name}.sql").read_text(encoding="utf-8")
        for name in ("findings", "new_findings")
    )
    expected = {
        (name, one) for name, ids in hits(ITEMS, "sandbox").items() for one in ids
    }
    copy = shutil.copy(database, tmp_path)
    with duckdb.connect(str(copy)) as connection:
        connection.execute(views)
        rows = connection.execute(report).fetchall()
        assert len(rows) == len(expected)
        assert {row[:2] for row in rows} == expected
        assert connection.execute(report).fetchall() == []


def test_all_detections_are_known() -> None:
    assert sorted(hits(ITEMS, "sandbox")) == RULES
    assert sorted(path.stem for path in (DETECTIONS / "sql").glob("*.sql")) == RULES


def test_the_page_lists_the_detections() -> None:
    page = (DETECTIONS / "README.md").read_text(encoding="utf-8")
    for name in RULES:
        text = (DETECTIONS / "rules" / f"{name}.yml").read_text(encoding="utf-8")
        *_, rule = yaml.safe_load_all(text)
        link = f"| [`{name}`](rules/{name}.yml) |"
        (line,) = (line for line in page.splitlines() if line.startswith(link))
        assert line.split("|")[-2].strip() == rule["level"]


@NEEDS_DUCKDB
@pytest.mark.parametrize("form", FORMS)
def test_normal_forms(form: str, database: Path) -> None:
    check = {"ocsf": ocsf_problems, "ecs": ecs_problems}[form]
    events = events_in(database, form)
    items = {identify(item, "sandbox"): item for item in ITEMS}
    assert events.keys() == items.keys()
    for name, event in events.items():
        assert check(event) == [], event
        assert missing(items[name], event) == set(), event


@NEEDS_DUCKDB
@pytest.mark.parametrize("form", FORMS)
def test_golden_events(form: str, database: Path) -> None:
    events = events_in(database, form)
    assert len(GOLDEN) == 4
    for one in GOLDEN:
        name = identify(one["item"], "sandbox")
        text = json.dumps(events[name]).replace(name, "<id>")
        assert json.loads(text) == one[form]


@NEEDS_DUCKDB
def test_times_and_actions_in_ocsf(database: Path) -> None:
    events = events_in(database, "ocsf")
    ids = {"created": 1, "updated": 3, "deleted": 4, None: 0}
    for item in ITEMS:
        event = events[identify(item, "sandbox")]
        assert event["time"] == from_record(item["timestamp"]) // 1_000_000
        assert event["activity_id"] == ids.get(item["action"], 99)
        if event["activity_id"] == 99:
            assert event["activity_name"] == item["action"]


def missing(item: Item, event: dict[str, Any]) -> set[Any]:
    """Give the texts and numbers of an item that its event lacks."""
    there = set(leaves(event))
    # OCSF has names of its own for these.
    activities = {1: "created", 3: "updated", 4: "deleted"}
    kinds = {1: "user", 3: "system", 4: "api_key"}
    user = find(event, ("actor", "user", "type_id"))
    there |= {activities.get(event.get("activity_id", 0)), kinds.get(user)}
    times = ("timestamp", "lastOccurredTimestamp")
    content = {name: value for name, value in item.items() if name not in times}
    return set(leaves(content)) - there - {""}


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif value is not None:
        yield value
