"""The questions and the chart: what the page shows is what is found."""

import json
import runpy
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest

from sandbox.data import Dataset
from scripts import ROOT
from scripts.examples import HISTORY, SHOWN, load, queries, table
from scripts.warehouse import ask
from tests.helpers.questions import EVENTS, FOUND, printed
from tests.helpers.readme import NEEDS_DUCKDB, block, section

CHART = ROOT / "examples" / "chart"
PROGRAM = runpy.run_path(str(CHART / "events_per_day.py"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Load what `make examples` loads."""
    return load(tmp_path_factory.mktemp("examples"))


@NEEDS_DUCKDB
def test_questions(tmp_path):
    database = load(tmp_path / "by hand", EVENTS)
    found = {name: printed(ask(database, sql).rows) for name, sql in queries().items()}
    assert found == FOUND


@NEEDS_DUCKDB
@pytest.mark.parametrize("name", FOUND)
def test_the_page_shows_what_is_found(name, database):
    result = ask(database, queries()[name])
    first, *parts = section("Questions to ask").split("\n## ")
    assert f"{HISTORY.records:,} events" in first
    (part,) = (one for one in parts if f"(../examples/sql/{name}.sql)" in one)
    assert table(result) in part
    assert ("first rows" in part) is (len(result.rows) > SHOWN)
    assert part.count("\n| ") == min(SHOWN, len(result.rows)) + 2


@NEEDS_DUCKDB
def test_the_command_that_asks(tmp_path, database):
    for name in ("scripts", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "warehouse.duckdb").symlink_to(database)
    command, _ = block("Questions to ask", "sh", "deletions.sql").splitlines()
    said = subprocess.check_output(["bash", "-euc", command], cwd=tmp_path, text=True)  # noqa: S607
    # DuckDB shows as many of the columns as the terminal is wide.
    assert "2025-10-31 16:55:28" in said


@NEEDS_DUCKDB
def test_the_numbers_of_the_chart(database):
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


@NEEDS_DUCKDB
@pytest.mark.parametrize(("records", "days"), [(1000, 90), (3000, 365), (20000, 365)])
def test_a_log_without_releases_has_no_day_of_release(tmp_path, records, days):
    import duckdb  # noqa: PLC0415

    quiet = Dataset(records, days=days, distribution="even")
    rows = [
        {"timestamp": one["timestamp"][:19], "action": one["action"], "actor": "{}"}
        for one in quiet
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    with duckdb.connect(tmp_path / "quiet.duckdb") as connection:
        connection.execute("CREATE SCHEMA akuity")
        source = f"read_json('{tmp_path / 'rows.json'}')"
        connection.execute(f"CREATE TABLE akuity.audit_logs AS FROM {source}")
    assert PROGRAM["events_per_day"](tmp_path / "quiet.duckdb").releases == []


@NEEDS_DUCKDB
def test_there_is_nothing_to_draw(tmp_path, monkeypatch, capsys):
    import duckdb  # noqa: PLC0415

    empty = str(tmp_path / "empty.duckdb")
    with duckdb.connect(empty) as connection:
        connection.execute("CREATE SCHEMA akuity")
        connection.execute(block("What you get", "sql", "CREATE TABLE"))
    monkeypatch.setattr("sys.argv", ["events_per_day.py", empty, "picture.svg"])
    with pytest.raises(SystemExit, match="1"):
        PROGRAM["main"]()
    assert capsys.readouterr().err == f"There are no events in {empty}.\n"
