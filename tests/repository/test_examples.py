"""The questions and the chart: what the page shows is what is found."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from harness import ROOT
from scripts.examples import HISTORY, SHOWN, Answer, ask, load, queries, table
from tests.helpers.findings import planted
from tests.helpers.questions import expected, per_day, release_days, when, with_gaps
from tests.helpers.readme import NEEDS_DUCKDB, block, section

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = (
    "access_changes",
    "ai_agents",
    "api_keys_outside_hours",
    "deletions",
    "first_seen",
)
CHART = ROOT / "examples" / "chart"


@pytest.fixture(scope="module")
def history() -> list[dict[str, Any]]:
    return list(HISTORY)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Load what `make examples` loads."""
    return load(tmp_path_factory.mktemp("examples"))


def test_all_questions_are_known() -> None:
    assert sorted(queries()) == sorted(QUESTIONS)


@NEEDS_DUCKDB
@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(name: str, database: Path, history: list[dict[str, Any]]) -> None:
    answer = ask(database, queries()[name])
    assert answer.rows == expected(history, "sandbox")[name]

    (part,) = (
        part
        for part in section("Questions to ask").split("\n## ")
        if f"(../examples/sql/{name}.sql)" in part
    )
    if answer.rows:
        assert table(answer) in part
        assert ("first rows" in part) is (len(answer.rows) > SHOWN)
    else:
        assert "finds nothing there" in part


@NEEDS_DUCKDB
def test_questions_where_much_is_missing(
    tmp_path: Path, history: list[dict[str, Any]]
) -> None:
    items = [*with_gaps(history), *(item for item, _ in planted())]
    database = load(tmp_path, items)
    for name, rows in expected(items, "sandbox").items():
        assert rows
        assert ask(database, queries()[name]).rows == rows, name


def test_a_table() -> None:
    answer = Answer(("a", "b"), [(None, 1), *[("x", 2)] * SHOWN])
    lines = ["| a | b |", "| --- | --- |", "|  | 1 |", *["| x | 2 |"] * (SHOWN - 1)]
    assert table(answer) == "\n".join(lines)


@NEEDS_DUCKDB
def test_the_command_that_asks(
    tmp_path: Path, database: Path, history: list[dict[str, Any]]
) -> None:
    for name in ("demo", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "warehouse.duckdb").symlink_to(database)
    command, _ = block("Questions to ask", "sh", "deletions.sql").splitlines()
    done = subprocess.run(
        ["bash", "-euc", command],  # noqa: S607
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    # DuckDB shows as many of the columns as the terminal is wide.
    assert "2025-10-31 16:55:28" in done.stdout
    assert f"{len(expected(history, 'sandbox')['deletions'])} rows" in done.stdout


def test_the_history_is_what_the_page_says(history: list[dict[str, Any]]) -> None:
    assert f"{len(history):,} events" in section("Questions to ask")


@NEEDS_DUCKDB
def test_the_numbers_of_the_chart(
    database: Path, history: list[dict[str, Any]]
) -> None:
    program = runpy.run_path(str(CHART / "events_per_day.py"))
    days, series, releases = program["events_per_day"](database)
    assert all(later - day == timedelta(1) for day, later in pairwise(days))
    assert (days, series) == numbers(history, days[0], len(days))
    assert releases == release_days(history)
    assert len(releases) == 4


@NEEDS_DUCKDB
def test_there_is_nothing_to_draw(tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    empty = tmp_path / "empty.duckdb"
    with duckdb.connect(str(empty)) as connection:
        connection.execute("CREATE SCHEMA akuity")
        columns = "action VARCHAR, actor JSON, timestamp TIMESTAMP"
        connection.execute(f"CREATE TABLE akuity.audit_logs ({columns})")
    command = [sys.executable, str(CHART / "events_per_day.py"), str(empty)]
    done = subprocess.run(
        [*command, str(tmp_path / "picture.svg")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == f"There are no events in {empty}.\n"


def numbers(items: list[dict[str, Any]], first: Any, length: int) -> tuple[Any, Any]:
    """Work out what the chart is made of."""
    counts = per_day(items)
    totals = Counter(name for name, _ in counts.elements())
    days = [first + timedelta(n) for n in range(length)]
    assert {day for _, day in counts} <= set(days)
    assert {days[0], days[-1]} <= {day for _, day in counts}
    return days, {
        name: [counts[name, day] for day in days] for name, _ in totals.most_common()
    }


def test_the_picture_shows_these_numbers(history: list[dict[str, Any]]) -> None:
    first = when(history[0]).date()
    length = (when(history[-1]).date() - first).days + 1
    _, series = numbers(history, first, length)
    picture = ET.parse(CHART / "events_per_day.svg").getroot()  # noqa: S314 - ours
    space = "{http://www.w3.org/2000/svg}"
    drawn = {}
    colors = set()
    for group in picture.iter(f"{space}g"):
        name = group.get("id", "")
        if name.startswith("events-"):
            path = group.find(f"{space}path")
            assert path is not None
            drawn[name.removeprefix("events-")] = heights(path.get("d", ""), length)
            colors.add(path.get("style"))
    assert list(drawn) == list(series)
    assert len(colors) == len(series)
    unit = sum(map(sum, drawn.values())) / len(history)
    assert unit > 1
    for name, events in series.items():
        assert drawn[name] == pytest.approx([unit * n for n in events], abs=0.01)
    labels = [text.text for text in picture.iter(f"{space}text")]
    assert {*series, "day of release"} <= set(labels)
    (marks,) = (
        group for group in picture.iter(f"{space}g") if group.get("id") == "releases"
    )
    assert len(list(marks.iter(f"{space}use"))) == len(release_days(history))


def heights(path: str, days: int) -> list[float]:
    """Give how high a shape between two flights of steps is on each day."""
    words = re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)
    points = [(float(x), float(y)) for x, y in words]
    left, right = min(points)[0], max(points)[0]
    found = []
    for day in range(days):
        middle = left + (right - left) * (day + 0.5) / days
        levels = [
            y
            for (x, y), (to_x, to_y) in pairwise([*points, points[0]])
            if y == to_y and min(x, to_x) < middle < max(x, to_x)
        ]
        found.append(max(levels) - min(levels))
    return found
