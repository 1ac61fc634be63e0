"""The normal forms and the detections of the examples, with pySigma and PostgreSQL."""

import json
import sqlite3
import subprocess

import pytest

from sandbox.server import Sandbox
from scripts import ROOT
from scripts.examples import EXAMPLES, ask
from tests.helpers.detections import (
    DETECTIONS,
    FORMS,
    HITS,
    ITEMS,
    RULES,
    events_in,
    query,
    with_views,
)
from tests.helpers.pipelines import load
from tests.helpers.running import config_for
from tests.helpers.targets import SCHEMA, Audit

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return with_views(tmp_path_factory.mktemp("findings"))


@pytest.fixture(scope="module")
def sigma():
    """Return what pySigma says of the rules."""
    python = ROOT / ".venv-detections" / "bin" / "python"
    script = ROOT / "tests" / "helpers" / "sigma_checks.py"
    said = subprocess.check_output([python, script, DETECTIONS], timeout=60)
    return json.loads(said)


def test_rules_are_valid(sigma):
    assert sigma["rules"] == len(RULES) + 1  # The correlation has one to count.
    assert sigma["validators"] > 20
    assert sigma["issues"] == []


def test_queries_are_those_of_the_rules(sigma):
    assert sigma["queries"] == {name: query(name) for name in RULES}
    assert sigma["view"] == (DETECTIONS / "findings.sql").read_text(encoding="utf-8")


def test_the_published_back_end_finds_the_same(sigma, database):
    result = ask(database, "FROM akuity.detection_events")
    columns = ", ".join(f"{name} COLLATE NOCASE" for name in result.columns)
    places = ", ".join("?" for _ in result.columns)
    with sqlite3.connect(":memory:") as connection:
        connection.execute(f"CREATE TABLE detection_events ({columns})")
        connection.executemany(
            f"INSERT INTO detection_events VALUES ({places})",  # noqa: S608
            [[_plain(value) for value in row] for row in result.rows],
        )
        for name in set(RULES) - {"many_deletions"}:
            (sql,) = sigma["sqlite"][name]
            found = connection.execute(sql.replace("SELECT *", "SELECT id", 1))
            assert {row[0] for row in found} == HITS[name], name


def _plain(value):
    return value if value is None or isinstance(value, bool) else str(value)


def test_postgresql_says_the_same(tmp_path, postgres, database):
    def run(path):
        return postgres.ask((EXAMPLES / path).read_text(encoding="utf-8"))

    with Sandbox(ITEMS) as sandbox:
        load(Audit(tmp_path, postgres), config_for(sandbox))
    run("detections/events.sql")
    for name in RULES:
        sql = query(name).rstrip(";\n")
        found = postgres.ask(f"SELECT id FROM ({sql}) AS found")  # noqa: S608
        assert sorted(found) == sorted(HITS[name]), name
    assert run("detections/findings.sql") == []
    new = sum(map(len, HITS.values()))
    assert len(run("detections/new_findings.sql")) == new
    assert run("detections/new_findings.sql") == []
    for form, (view, column) in FORMS.items():
        run(f"{form}/postgresql.sql")
        rows = postgres.rows(f"{SCHEMA}.{view}")
        assert len(rows) == len(ITEMS)
        assert {row["id"]: row[column] for row in rows} == events_in(database, form)
