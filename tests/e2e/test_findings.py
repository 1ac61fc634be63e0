"""The normal forms and the detections of the examples, with pySigma and PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from harness import ROOT
from sandbox.server import Sandbox
from scripts.examples import EXAMPLES, ask
from tests.helpers.detections import (
    DETECTIONS,
    FORMS,
    ITEMS,
    RULES,
    events_in,
    query,
    with_views,
)
from tests.helpers.environments import commands_of
from tests.helpers.findings import hits
from tests.helpers.pipelines import run
from tests.helpers.running import config_for
from tests.helpers.targets import SCHEMA, Audit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.postgres import Postgres

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(360)

PYTHON = ROOT / ".venv-detections" / "bin" / "python"
CORRELATION = "many_deletions"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Load it into DuckDB."""
    return with_views(tmp_path_factory.mktemp("findings"))


@pytest.fixture(scope="module")
def sigma() -> dict[str, Any]:
    """Give what pySigma says of the rules."""
    if not PYTHON.exists():
        pytest.fail(
            "pySigma is not installed here: run `make test-examples`.", pytrace=False
        )
    script = ROOT / "tests" / "helpers" / "sigma_checks.py"
    done = subprocess.run(
        [str(PYTHON), str(script), str(DETECTIONS)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_rules_are_valid(sigma: dict[str, Any]) -> None:
    assert sigma["rules"] == len(RULES) + 1  # The correlation has one to count.
    assert sigma["validators"] > 20
    assert sigma["issues"] == []


def test_queries_are_those_of_the_rules(sigma: dict[str, Any]) -> None:
    assert sigma["queries"] == {name: query(name) for name in RULES}
    assert sigma["view"] == (DETECTIONS / "findings.sql").read_text(encoding="utf-8")


def test_the_published_back_end_finds_the_same(
    sigma: dict[str, Any], database: Path
) -> None:
    answer = ask(database, "FROM akuity.detection_events")
    columns = ", ".join(f"{name} COLLATE NOCASE" for name in answer.columns)
    places = ", ".join("?" for _ in answer.columns)
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE detection_events ({columns})")
        connection.executemany(
            f"INSERT INTO detection_events VALUES ({places})",  # noqa: S608
            [[_plain(value) for value in row] for row in answer.rows],
        )
        for name in set(RULES) - {CORRELATION}:
            (sql,) = sigma["sqlite"][name]
            found = connection.execute(sql.replace("SELECT *", "SELECT id", 1))
            assert {row[0] for row in found} == hits(ITEMS, "sandbox")[name], name


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else str(value)


def test_postgresql_says_the_same(
    tmp_path: Path, postgres: Postgres, database: Path, summary: list[str]
) -> None:
    postgres.ask(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    with Sandbox(ITEMS) as sandbox:
        warehouse = Audit(tmp_path, postgres)
        config = config_for(sandbox)
        done = run(commands_of(Audit), warehouse, tmp_path, config)
    assert (done.tap_code, done.target_code) == (0, 0), done.errors
    postgres.ask((DETECTIONS / "events.sql").read_text(encoding="utf-8"))
    expected = hits(ITEMS, sandbox.organization_id)
    for name in RULES:
        sql = query(name).rstrip(";\n")
        found = postgres.ask(f"SELECT id FROM ({sql}) AS found")  # noqa: S608
        assert sorted(found) == sorted(expected[name]), name
    for script, new in (
        ("findings", 0),
        ("new_findings", sum(map(len, expected.values()))),
        ("new_findings", 0),
    ):
        said = postgres.ask((DETECTIONS / f"{script}.sql").read_text(encoding="utf-8"))
        assert len(said) == new
    for form, (view, column) in FORMS.items():
        postgres.ask((EXAMPLES / form / "postgresql.sql").read_text(encoding="utf-8"))
        rows = postgres.rows(f"{SCHEMA}.{view}")
        assert len(rows) == len(ITEMS)
        assert {row["id"]: row[column] for row in rows} == events_in(database, form)
    summary.append(
        f"{'examples/detections, ocsf and ecs':70} {len(RULES)} rules with "
        f"{sum(map(len, expected.values()))} hits, {len(FORMS)} x {len(ITEMS)} events"
    )
