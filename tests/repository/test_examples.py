"""The SQL and the chart of the examples, on DuckDB: what a page shows is found."""

import json
import re
import runpy
from collections import Counter
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
import yaml
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

import scripts.query
from sandbox.data import Dataset
from sandbox.truth import OBJECTS, find
from scripts import ROOT
from scripts.examples import HISTORY, SHOWN, queries, table
from scripts.warehouse import ask
from tests.helpers.detections import (
    DETECTIONS,
    FORMATS,
    FOUND_BY,
    GOLDEN,
    ITEMS,
    VARIANTS,
    events_in,
    hits,
    sql_of,
    with_views,
)
from tests.helpers.events import ids
from tests.helpers.questions import EVENTS, FOUND, printed
from tests.helpers.readme import Folder, block, section

CHART = ROOT / "examples" / "chart"
PROGRAM = runpy.run_path(str(CHART / "events_per_day.py"))
SVG = "{http://www.w3.org/2000/svg}"


def filled(folder, items):
    return Folder(folder).fill(items).path / "audit.duckdb"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Load what `make examples` loads."""
    return filled(tmp_path_factory.mktemp("examples"), HISTORY)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return with_views(tmp_path_factory.mktemp("planted"))


def test_questions_find_what_they_ask_for(tmp_path):
    database = filled(tmp_path, EVENTS)
    found = {name: printed(ask(database, sql).rows) for name, sql in queries().items()}
    assert found == FOUND


@pytest.mark.parametrize("name", FOUND)
def test_the_page_shows_what_is_found(name, database):
    result = ask(database, queries()[name])
    first, *parts = section("Questions to ask").split("\n## ")
    assert f"{HISTORY.records:,} events" in first
    (part,) = (one for one in parts if f"(../examples/sql/{name}.sql)" in one)
    assert table(result) in part
    assert ("first rows" in part) is (len(result.rows) > SHOWN)
    assert part.count("\n| ") == min(SHOWN, len(result.rows)) + 2


def test_the_command_that_asks(database, monkeypatch, capsys):
    command, _ = block("Questions to ask", "sh", "deletions.sql").splitlines()
    _, _, name, *arguments = command.replace("warehouse.duckdb", str(database)).split()
    assert name == scripts.query.__name__
    monkeypatch.chdir(ROOT)
    assert scripts.query.main(arguments) == 0
    # DuckDB shows as many of the columns as the terminal is wide.
    assert "2025-10-31 16:55:28" in capsys.readouterr().out


def test_the_chart_draws_each_event_and_the_busiest_days(database):
    days, series, releases = PROGRAM["events_per_day"](database)
    assert days == [days[0] + timedelta(n) for n in range(len(days))]
    assert Counter(
        {
            (name, str(day)): number
            for name, numbers in series.items()
            for day, number in zip(days, numbers, strict=True)
        }
    ) == Counter(
        ((item["actor"] or {}).get("type") or "unknown", item["timestamp"][:10])
        for item in HISTORY
    )
    promoted = Counter(
        item["timestamp"][:10] for item in HISTORY if item["action"] == "promoted"
    )
    busiest = sorted(day for day, _ in promoted.most_common(4))
    assert [str(day) for day in releases] == busiest

    # That the picture is what the program draws is tested in `tests/e2e/`.
    picture = ET.parse(CHART / "events_per_day.svg").getroot()  # noqa: S314 - ours
    groups = {group.get("id", ""): group for group in picture.iter(f"{SVG}g")}
    drawn = [name for name in groups if name.startswith("events-")]
    assert drawn == [f"events-{name}" for name in series]
    assert len(list(groups["releases"].iter(f"{SVG}use"))) == len(releases)


@pytest.mark.parametrize(("records", "days"), [(1000, 90), (3000, 365), (2000, 36)])
def test_a_log_without_releases_has_no_day_of_release(tmp_path, records, days):
    quiet = filled(tmp_path, Dataset(records, days=days, distribution="even"))
    assert PROGRAM["events_per_day"](quiet).releases == []


def test_there_is_nothing_to_draw(tmp_path, monkeypatch, capsys):
    empty = str(filled(tmp_path, []))
    monkeypatch.setattr("sys.argv", ["events_per_day.py", empty, "picture.svg"])
    with pytest.raises(SystemExit, match="1"):
        PROGRAM["main"]()
    assert capsys.readouterr().err == f"There are no events in {empty}.\n"


def test_many_deletions_are_found(planted):
    result = ask(planted, sql_of("detections/many_deletions.sql"))
    found = [row[result.columns.index("id")] for row in result.rows]
    assert sorted(found) == hits("many_deletions") != []


def test_the_page_lists_the_detections():
    page = (DETECTIONS / "README.md").read_text("utf-8")
    rules = {path.stem: path for path in (DETECTIONS / "rules").glob("*.yml")}
    assert {*rules, ""} == FOUND_BY.keys()
    for name, path in rules.items():
        level = yaml.safe_load(path.read_text("utf-8"))["level"]
        row = rf"^\| \[`{name}`\]\(rules/{name}.yml\) .* {level} \|$"
        assert re.search(row, page, re.MULTILINE), row


def test_ocsf_events_are_valid(planted):
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.7.0"))
    validator = Draft202012Validator(schema.get_class_schema("entity_management"))
    for one in events_in(planted, "ocsf").values():
        validator.validate(one)


@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_event_in_each_format(form, planted):
    (name,) = ids([GOLDEN["event"]])
    text = json.dumps(events_in(planted, form)[name]).replace(name, "<id>")
    assert json.loads(text) == GOLDEN[form]


def test_what_actions_actors_and_objects_become_in_each_format(planted):
    events = [events_in(planted, form) for form in FORMATS]
    for item, expected in VARIANTS:
        ocsf, ecs = (found[ids([item])[0]] for found in events)
        user = find(ocsf, ("actor", "user"))
        said = [
            f"{ocsf['activity_id']} {ocsf['activity_name']}",
            f"{user['type_id']} {user['type']}" if user else "-",
            *ecs["event"]["category"],
            *ecs["event"]["type"],
        ]
        assert ", ".join(said) == expected
        assert ocsf["type_uid"] == 300400 + ocsf["activity_id"]
        who = find(item, ("actor", "id"))
        assert find(user, ("uid",)) == find(ecs, ("user", "id")) == who
        is_address = "@" in (who or "") and item["actor"]["type"] == "user"
        assert find(ecs, ("user", "email")) == (who if is_address else None)


def test_nothing_of_an_event_is_lost_in_a_format(planted):
    ocsf, ecs = (events_in(planted, form) for form in FORMATS)
    for name, item in zip(ids(ITEMS), ITEMS, strict=True):
        kept = [find(ecs[name], ("akuity", one)) for one in OBJECTS]
        assert kept == [item[one] for one in OBJECTS]
        paths = [("unmapped", "actor"), ("entity", "data"), ("unmapped", "details")]
        assert kept == [find(ocsf[name], path) for path in paths]
        assert ecs[name]["akuity"]["count"] == ocsf[name]["count"] == item["count"]
