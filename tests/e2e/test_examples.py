"""The examples that need Meltano, PostgreSQL, pySigma or matplotlib."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import replace

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.timestamps import from_record
from sandbox.truth import truth
from scripts import ROOT, warehouse
from scripts.environments import build
from scripts.examples import CHART, EXAMPLES, draw
from scripts.examples import load as load_examples
from tests.helpers import history
from tests.helpers.detections import (
    DETECTIONS,
    FORMATS,
    FOUND_BY,
    ITEMS,
    events_in,
    hits,
    sql_of,
    with_views,
)
from tests.helpers.history import LOOKBACK, NEWEST, since
from tests.helpers.projects import Project, records_read, wait_for_end
from tests.helpers.questions import EVENTS, FOUND
from tests.helpers.readme import blocks
from tests.helpers.running import config_for, organization
from tests.helpers.targets import SCHEMA, Audit, DuckDB, load

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def example(tmp_path):
    """Copy `examples/meltano` into what stands for a checkout, which it installs."""
    for name in ("LICENSE", "README.md", "pyproject.toml", "tap_akuity"):
        (tmp_path / name).symlink_to(ROOT / name)
    folder = tmp_path / "examples" / "meltano"
    ignored = shutil.ignore_patterns(".meltano", ".env", "*.duckdb*")
    shutil.copytree(EXAMPLES / "meltano", folder, ignore=ignored)
    return Project(folder)


def fill_in(example, *sandboxes):
    """Fill in `.env`."""
    text = (example.folder / ".env.example").read_text(encoding="utf-8")
    for sandbox in sandboxes:
        for setting in ("organization_id", "api_key_id", "api_key_secret"):
            name = f"{sandbox.organization_id}_{setting}".upper()
            assert f"\n{name}=\n" in text
            value = getattr(sandbox, setting)
            text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    (example.folder / ".env").write_text(text, encoding="utf-8")


def problems(example, sandbox):
    """Say how a table differs from what should be in it."""
    name = sandbox.organization_id
    rows = warehouse.rows(example.folder / f"{name}.duckdb")
    return DuckDB(example.folder).problems(truth(sandbox), rows)


def test_meltano_loads_two_organizations_on_schedule(example):
    page = (example.folder / "README.md").read_text(encoding="utf-8")
    (prepare, use), (crontab,) = blocks(page, "sh"), blocks(page, "text")
    crontab = crontab.replace("cd /path/to/project", f"cd '{example.folder}'")
    first, second = (f"cd {line.split(' cd ')[1]}" for line in crontab.splitlines())
    example.bash(prepare)
    assert (example.folder / ".env").stat().st_mode & 0o777 == 0o600
    # What cron runs, and when, is what Meltano tells orchestrators.
    listed = json.loads(
        example.meltano("--log-level=error", "schedule", "list", "--format=json")
    )
    (schedule,) = listed["schedules"]["job"]
    assert crontab.startswith(f"{schedule['cron_interval']} cd ")
    assert first.endswith(f"schedule run {schedule['name']}")

    staged = Dataset(300, seed=2, until=history.UNTIL)
    with (
        organization("prod", history.before()) as prod,
        organization("staging", staged) as staging,
    ):
        fill_in(example, prod, staging)

        def run(script, sandbox, **options):
            example.environment["TAP_AKUITY_API_URL"] = sandbox.url
            # Before all events, unlike the date in the example.
            example.environment["TAP_AKUITY_START_DATE"] = "2025-01-01"
            return example.bash(script, **options)

        run(use, prod)
        assert problems(example, prod) == []
        history.meanwhile(prod)
        new = since(truth(prod), from_record(NEWEST) - LOOKBACK)
        assert records_read(run(first, prod)) == new
        run(second, staging)
        for sandbox in (prod, staging):
            assert problems(example, sandbox) == []

        # A run that finds another one.
        staging.state.options = replace(staging.state.options, latency_seconds=600)
        staging.state.stats.reset()
        with example.started(f"{second} >out 2>&1") as running:
            while not staging.state.stats.requests:
                assert running.poll() is None
                time.sleep(0.01)
            run(second, staging, succeeds=False)
            assert staging.state.stats.requests == 1
        wait_for_end(running.pid)
        assert problems(example, staging) == []

        # A run that fails.
        prod.state.options = replace(prod.state.options, api_key_secret="changed")
        said = run(first, prod, succeeds=False)
        assert "Akuity refused the API key" in said
        assert "s3cr3t-of" not in said
        assert problems(example, prod) == []


def test_questions_in_postgresql(tmp_path, postgres):
    with Sandbox(EVENTS) as sandbox:
        load(Audit(tmp_path, postgres), config_for(sandbox))
    for name, rows in FOUND.items():
        command = [postgres.psql, postgres.uri, "--no-psqlrc", "--no-align"]
        command += ["--tuples-only", "--pset=null=-", "--set=ON_ERROR_STOP=1"]
        command += ["--file", str(EXAMPLES / "sql" / f"{name}.sql")]
        environment = os.environ | {"TZ": "America/New_York"}
        said = subprocess.check_output(command, env=environment, text=True, timeout=60)
        assert said == rows


def test_rules_are_valid():
    sigma = build("detections") / "sigma"
    # These two download what MITRE publishes, and no test goes online.
    options = ["--exclude", "attacktag", "--exclude", "d3_fendtag", "--fail-on-issues"]
    subprocess.run(
        [sigma, "check", *options, "rules"], cwd=DETECTIONS, check=True, timeout=60
    )


def converted(rule):
    """Convert a rule as the page says."""
    (shown,) = blocks((DETECTIONS / "README.md").read_text("utf-8"), "sh")
    _, command = shown.replace("\\\n", "").split("sigma-cli sigma ")
    script = command.replace(" rules ", f" rules/{rule}.yml ")
    return subprocess.check_output(
        ["bash", "-euc", f"'{build('detections')}/sigma' {script}"],  # noqa: S607
        cwd=DETECTIONS,
        text=True,
        timeout=60,
    )


def test_rules_and_formats_in_postgresql_and_duckdb(tmp_path, postgres):
    database = with_views(tmp_path)
    with Sandbox(ITEMS) as sandbox:
        load(Audit(tmp_path, postgres), config_for(sandbox))
    postgres.ask(sql_of("detections/events.sql"))
    queries = {rule: converted(rule) for rule in FOUND_BY if rule}
    queries["many_deletions"] = sql_of("detections/many_deletions.sql")
    for name, sql in queries.items():
        ids = f"SELECT id FROM ({sql.strip().rstrip(';')}) AS found"  # noqa: S608
        assert sorted(postgres.ask(ids)) == hits(name) != [], name
        assert sorted(one for (one,) in warehouse.ask(database, ids).rows) == hits(name)
    for name, (view, column) in FORMATS.items():
        postgres.ask(sql_of(f"formats/{name}.sql"))
        rows = postgres.rows(f"{SCHEMA}.{view}")
        assert len(rows) == len(ITEMS)
        assert {row["id"]: row[column] for row in rows} == events_in(database, name)


def test_the_picture_is_drawn_anew(tmp_path):
    drawn = tmp_path / "events_per_day.svg"
    # With `sync.sh` and a target, as `make examples` does.
    database = load_examples(tmp_path / "examples")
    for _ in range(2):
        draw(database, drawn)
        assert drawn.read_bytes() == CHART.with_suffix(".svg").read_bytes()
