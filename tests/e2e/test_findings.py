"""The detections and the formats of the examples, with pySigma and PostgreSQL."""

import shlex
import subprocess

import pytest

from sandbox.server import Sandbox
from scripts.environments import build
from scripts.warehouse import ask
from tests.helpers.detections import (
    DETECTIONS,
    FORMATS,
    ITEMS,
    RULES,
    events_in,
    hits,
    sql_of,
    with_views,
)
from tests.helpers.pipelines import load
from tests.helpers.readme import blocks
from tests.helpers.running import config_for
from tests.helpers.targets import SCHEMA, Audit

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return with_views(tmp_path_factory.mktemp("findings"))


@pytest.fixture(scope="module")
def queries():
    """Convert the rules as the page says."""
    (shown,) = blocks((DETECTIONS / "README.md").read_text("utf-8"), "sh")
    command = (
        shown.replace("\\\n", "").partition("sigma-cli sigma ")[2].rpartition(" rules")
    )
    sigma = shlex.quote(str(build("detections") / "sigma"))
    return {
        name: subprocess.check_output(
            ["bash", "-euc", f"{sigma} {command[0]} rules/{name}.yml{command[2]}"],  # noqa: S607
            cwd=DETECTIONS,
            text=True,
            timeout=60,
        )
        for name in RULES
    }


def test_rules_are_valid():
    sigma = build("detections") / "sigma"
    # These two download what MITRE publishes, and no test goes online.
    options = ["--exclude", "attacktag", "--exclude", "d3_fendtag", "--fail-on-issues"]
    done = subprocess.run(
        [sigma, "check", *options, "rules"], cwd=DETECTIONS, check=False, timeout=60
    )
    assert done.returncode == 0


def test_rules_find_what_they_should(queries, database, tmp_path, postgres):
    with Sandbox(ITEMS) as sandbox:
        load(Audit(tmp_path, postgres), config_for(sandbox))
    postgres.ask(sql_of("detections/events.sql"))
    every = queries | {"many_deletions": sql_of("detections/many_deletions.sql")}
    for name, sql in every.items():
        ids = f"SELECT id FROM ({sql.strip().rstrip(';')}) AS found"  # noqa: S608
        assert sorted(postgres.ask(ids)) == hits(name) != [], name
        assert sorted(one for (one,) in ask(database, ids).rows) == hits(name)
    for name, (view, column) in FORMATS.items():
        postgres.ask(sql_of(f"formats/{name}.sql"))
        rows = postgres.rows(f"{SCHEMA}.{view}")
        assert len(rows) == len(ITEMS)
        assert {row["id"]: row[column] for row in rows} == events_in(database, name)
