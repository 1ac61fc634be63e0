"""The examples that need Meltano, PostgreSQL or matplotlib."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from harness import ROOT
from harness.processes import inherited, started
from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.timestamps import from_record
from scripts.examples import HISTORY, load, queries
from tests.helpers import history
from tests.helpers.environments import commands_of
from tests.helpers.findings import planted
from tests.helpers.history import LOOKBACK, NEWEST, since
from tests.helpers.pipelines import run
from tests.helpers.projects import MELTANO, wait_for_end
from tests.helpers.questions import expected, with_gaps
from tests.helpers.readme import blocks
from tests.helpers.running import config_for, organization
from tests.helpers.targets import SCHEMA, Audit, DuckDB, rows_in_duckdb
from tests.helpers.truth import differences, truth

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.helpers.postgres import Postgres

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(360)

EXAMPLES = ROOT / "examples"
PYTHON = ROOT / ".venv-chart" / "bin" / "python"
RUN_SECONDS = 120

# What makes the checkout that the project's `pip_url` leads to.
SOURCE = ("LICENSE", "README.md", "pyproject.toml", "tap_akuity")

_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_DUCKDB_", "PROD_", "STAGING_")


class Project:
    """A copy of `examples/meltano`, used as its README says."""

    def __init__(self, checkout: Path) -> None:
        self.folder = checkout / "examples" / "meltano"
        for name in SOURCE:
            (checkout / name).symlink_to(ROOT / name)
        ignored = shutil.ignore_patterns(".meltano", ".env", "*.duckdb*")
        shutil.copytree(EXAMPLES / "meltano", self.folder, ignore=ignored)
        text = (self.folder / "README.md").read_text(encoding="utf-8")
        self.prepare, self.use = blocks(text, "sh")
        (crontab,) = blocks(text, "text")
        self.cron = dict(
            line.replace("/path/to/project", f"'{self.folder}'").rsplit(" cd ", 1)
            for line in crontab.splitlines()
        )

    def bash(
        self, script: str, sandbox: Sandbox | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run commands to their end."""
        with self.started(script, sandbox) as process:
            output, errors = process.communicate(timeout=RUN_SECONDS)
        return subprocess.CompletedProcess(script, process.returncode, output, errors)

    def started(
        self, script: str, sandbox: Sandbox | None = None
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """Run commands, and end what is left of them after the block."""
        environment = inherited(*_FOREIGN_SETTINGS) | {
            "PATH": f"{MELTANO.parent}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "XDG_STATE_HOME": str(self.folder / "log"),
        }
        if sandbox:
            environment["TAP_AKUITY_API_URL"] = sandbox.url
        return started(["bash", "-euc", script], self.folder, environment)

    def fill_in(self, values: Mapping[str, str]) -> None:
        """Fill in `.env`."""
        text = (self.folder / ".env.example").read_text(encoding="utf-8")
        for name, value in values.items():
            assert f"\n{name}=\n" in text
            text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
        (self.folder / ".env").write_text(text, encoding="utf-8")

    def problems(self, environment: str, sandbox: Sandbox) -> list[str]:
        """Say how a table differs from what should be in it."""
        stored = DuckDB(self.folder).stored
        rows = {name: stored(row) for name, row in truth(sandbox).items()}
        found = rows_in_duckdb(self.folder / f"{environment}.duckdb")
        return differences(rows, found)


@pytest.fixture
def organizations() -> Iterator[dict[str, Sandbox]]:
    """Serve both organizations."""
    others = Dataset(300, seed=2, until=history.UNTIL)
    with (
        organization("prod", history.before()) as prod,
        organization("staging", others) as staging,
    ):
        yield {"prod": prod, "staging": staging}


def test_meltano(
    tmp_path: Path, organizations: dict[str, Sandbox], summary: list[str]
) -> None:
    if not MELTANO.exists():
        pytest.fail(
            "Meltano is not installed here: run `make test-examples`.", pytrace=False
        )
    project = Project(tmp_path)
    prod, staging = organizations["prod"], organizations["staging"]

    assert project.bash(project.prepare).returncode == 0
    assert (project.folder / ".env").stat().st_mode & 0o777 == 0o600
    values = {
        f"{name.upper()}_{setting.upper()}": getattr(sandbox, setting)
        for name, sandbox in organizations.items()
        for setting in ("organization_id", "api_key_id", "api_key_secret")
    }
    project.fill_in(values)

    # Both lines: the plugins are installed, and production is loaded.
    done = project.bash(project.use, prod)
    assert done.returncode == 0, done.stderr
    assert project.problems("prod", prod) == []
    loaded = len(truth(prod))

    # What cron runs, and when, is what Meltano tells orchestrators.
    listed = project.bash("meltano schedule list --format=json")
    (schedule,) = json.loads(listed.stdout)["schedules"]["job"]
    assert schedule["job"]["tasks"] == ["tap-akuity target-duckdb"]
    first, second = project.cron
    assert first == schedule["cron_interval"]
    assert second.split()[1:] == first.split()[1:]
    for command in project.cron.values():
        assert command.endswith(f"schedule run {schedule['name']}")

    # The second run of one, the first of the other.
    history.meanwhile(prod)
    new = since(truth(prod), from_record(NEWEST) - LOOKBACK)
    done = project.bash(f"cd {project.cron[first]}", prod)
    assert done.returncode == 0, done.stderr
    assert f"metric_name=record_count metric_value={new}\n" in done.stderr
    assert project.problems("prod", prod) == []
    done = project.bash(f"cd {project.cron[second]}", staging)
    assert done.returncode == 0, done.stderr
    assert project.problems("staging", staging) == []
    states = project.bash("meltano --environment=prod state list").stdout.split()
    assert sorted(states) == [
        f"{name}:tap-akuity-to-target-duckdb" for name in ("prod", "staging")
    ]

    # A run that finds another one.
    staging.state.options = replace(staging.state.options, latency_seconds=600)
    staging.state.stats.reset()
    with project.started(f"cd {project.cron[second]}", staging) as running:
        while not staging.state.stats.requests:
            assert running.poll() is None
            time.sleep(0.01)
        late = project.bash(f"cd {project.cron[second]}", staging)
        assert late.returncode != 0
        assert staging.state.stats.requests == 1
    wait_for_end(running.pid)
    assert project.problems("staging", staging) == []

    # A run that fails.
    project.fill_in(values | {"PROD_API_KEY_SECRET": "wrong"})
    done = project.bash(f"cd {project.cron[first]}", prod)
    assert done.returncode != 0
    assert "Akuity refused the API key" in done.stderr
    assert project.problems("prod", prod) == []
    for secret in ("s3cr3t-of-prod", "s3cr3t-of-staging"):
        assert secret not in done.stdout + done.stderr
    summary.append(
        f"{'examples/meltano, on schedule':70} {loaded} + {new} rows loaded, "
        f"{len(truth(prod))} + {len(truth(staging))} compared"
    )


@pytest.mark.parametrize("change", [list, with_gaps])
def test_questions_in_postgresql(
    tmp_path: Path, postgres: Postgres, summary: list[str], change: Any
) -> None:
    items = [*change(HISTORY), *(item for item, _ in planted())]
    postgres.ask(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
    with Sandbox(items) as sandbox:
        done = run(
            commands_of(Audit),
            Audit(tmp_path, postgres),
            tmp_path,
            config_for(sandbox),
        )
    assert (done.tap_code, done.target_code) == (0, 0), done.errors
    answers = expected(items, sandbox.organization_id)
    for name, rows in answers.items():
        said = subprocess.run(
            [
                *(postgres.psql, postgres.uri, "--no-psqlrc", "--csv"),
                *("--pset=null=nobody knows", "--set=ON_ERROR_STOP=1"),
                *("--file", str(EXAMPLES / "sql" / f"{name}.sql")),
            ],
            env=os.environ | {"TZ": "America/New_York"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        _, *found = csv.reader(StringIO(said.stdout))
        assert found == [
            ["nobody knows" if value is None else str(value) for value in row]
            for row in rows
        ]
    assert answers.keys() == queries().keys()
    summary.append(
        f"{'examples/sql, in PostgreSQL':70} "
        f"{done.read} rows loaded, {sum(map(len, answers.values()))} rows of "
        f"{len(answers)} answers compared"
    )


def test_the_picture_is_drawn_anew(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.fail(
            "matplotlib is not installed here: run `make test-examples`.",
            pytrace=False,
        )
    drawn = tmp_path / "events_per_day.svg"
    program = EXAMPLES / "chart" / drawn.name.replace(".svg", ".py")
    database = load(tmp_path / "examples")
    for _ in range(2):
        subprocess.run(
            [str(PYTHON), str(program), str(database), str(drawn)],
            check=True,
            timeout=RUN_SECONDS,
        )
        assert drawn.read_bytes() == program.with_suffix(".svg").read_bytes()


def test_make_examples_says_what_the_page_says() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.examples"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=RUN_SECONDS,
    )
    page = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    tables = [part for part in done.stdout.split("\n\n") if part.startswith("| ")]
    assert len(tables) == len(re.findall(r": [1-9]\d* of", done.stdout)) > 0
    assert all(one.strip() in page for one in tables)
