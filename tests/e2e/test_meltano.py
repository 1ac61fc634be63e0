"""The real Meltano: its state, its commands, and what becomes of killed runs."""

import json
import random
import shutil
import signal
from dataclasses import replace

import pytest
import yaml

from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.timestamps import DAY, from_record
from sandbox.truth import find, truth
from scripts import ROOT
from tests.helpers import history
from tests.helpers.history import LOOKBACK, NEWEST, since
from tests.helpers.projects import (
    RUN,
    TAP,
    TARGET,
    Project,
    as_variables,
    kill,
    read_yaml,
    use_installed,
)
from tests.helpers.readme import blocks, section
from tests.helpers.running import bookmark, config_for
from tests.helpers.targets import DuckDB

pytestmark = pytest.mark.timeout(300)

STATE = f"prod:{TAP}-to-{TARGET}"


def project_for(sandbox, folder, **variables):
    """Make a project of the repository's `meltano.yml`."""
    settings = config_for(sandbox)
    project = Project(folder, **as_variables(settings), **variables)
    shutil.copy(ROOT / "meltano.yml", folder)
    use_installed(project, "extractors", "loaders")
    return project


@pytest.fixture
def project(tmp_path, sandbox):
    return project_for(sandbox, tmp_path)


def reached(project, state_id=STATE):
    """Return the bookmark of a state, if it has one."""
    said = project.meltano("--log-level=error", "state", "get", state_id)
    state = json.loads(said).get("singer_state") or {}
    return bookmark(state) if state.get("bookmarks") else None


def test_meltano_keeps_the_state_until_it_is_told_otherwise(project, sandbox):
    table = DuckDB(project.folder)
    before = truth(sandbox)
    assert project.run() == len(before)
    assert table.problems(before) == []
    assert reached(project) == NEWEST

    history.meanwhile(sandbox)
    after = truth(sandbox)
    assert project.run() == since(after, from_record(NEWEST) - LOOKBACK)
    assert table.problems(after) == []
    newest = reached(project)
    assert newest > NEWEST

    two_days_ago = {"replication_key_value": "2025-10-30T00:00:00Z"}
    value = {"singer_state": {"bookmarks": {"audit_logs": two_days_ago}}}
    project.meltano("state", "set", "--force", STATE, json.dumps(value))
    assert project.run() == since(after, history.END - 2 * DAY - LOOKBACK)

    assert project.run("--state-id-suffix=2024") == len(after)
    project.meltano("state", "clear", "--force", STATE)
    assert reached(project) is None
    assert reached(project, f"{STATE}:2024") == newest
    assert project.run() == len(after)

    (project.folder / "audit.duckdb").unlink()
    assert project.run("--full-refresh") == len(after)
    assert table.problems(after) == []
    assert reached(project) == newest


EVENTS = 60_000
PAGE = 1_000


@pytest.mark.parametrize("victim", [TAP, TARGET, "meltano"])
def test_killed_and_resumed(tmp_path, victim):
    rng = random.Random(victim)
    data = Dataset(EVENTS, seed=3, until=history.UNTIL, distribution="even")
    # Slow enough to be met in the middle.
    options = Options(latency_seconds=0.04)
    with Sandbox(data, options=options) as sandbox:
        expected = truth(sandbox)
        # One window after the other, so that what is kept grows all the time.
        slow = {"lookback_seconds": 0, "page_size": PAGE, "concurrency": 1}
        # More than one load in each window of the tap, and none at its end.
        variables = {**as_variables(slow), "TARGET_DUCKDB_BATCH_SIZE_ROWS": "2300"}
        project = project_for(sandbox, tmp_path, **variables)
        table = DuckDB(tmp_path)
        until = 0
        for number in (signal.SIGTERM, signal.SIGKILL):
            pages = since(expected, until + 1) / PAGE
            requests = 1 + rng.uniform(0.1, 0.8) * pages
            with project.started(
                f"meltano {' '.join(RUN)} --force >out 2>&1"
            ) as meltano:
                # Neither the others' end nor the exit code depends on who was killed.
                assert kill(meltano, sandbox, requests, victim, number) != 0
            text = reached(project)
            until = from_record(text) if text else 0
            # All up to the bookmark is there, and nothing else than what should be.
            path = tmp_path / "audit.duckdb"
            rows = table.rows() if path.exists() else []
            loaded = {row["id"] for row in rows}
            assert table.problems({name: expected[name] for name in loaded}, rows) == []
            missing = expected.keys() - loaded
            assert all(expected[name]["timestamp"] > until for name in missing)
        sandbox.state.options = replace(options, latency_seconds=0)
        # A run that was killed stands in the way for five minutes without `--force`.
        assert project.run("--force") == since(expected, until)
    assert table.problems(expected) == []


def test_the_checks_fail_where_a_sync_would(project, sandbox):
    said = project.meltano("invoke", TAP, "--test")
    assert "Organization: Northwind." in said
    assert "A sync can work." in said
    # Meltano's own waits for a record, which is there whenever it happened.
    assert "Plugin configuration is valid" in project.meltano("config", "test", TAP)

    sandbox.state.options = replace(sandbox.state.options, role="member")
    for command in (("invoke", TAP, "--test"), ("config", "test", TAP)):
        said = project.meltano(*command, succeeds=False)
        assert "The API key may not read the audit log" in said
        assert sandbox.api_key_secret not in said


def test_what_is_deselected_is_not_loaded(project, sandbox):
    project.meltano("select", TAP, "--exclude", "audit_logs", "details.patch")
    said = project.meltano(*RUN, succeeds=False)
    assert "does not select `audit_logs`, so that" in said

    project.meltano("select", TAP, "audit_logs", "*")
    project.run()
    expected = truth(sandbox)
    for row in expected.values():
        (row["details"] or {}).pop("patch", None)
    assert DuckDB(project.folder).problems(expected) == []


def test_a_mapper_maps_what_the_tap_emits(project, sandbox):
    page = section("Stream maps between the tap and the target")
    (text,) = blocks(page, "yaml")
    plugins = yaml.safe_load(text)["plugins"]
    path = project.folder / "meltano.yml"
    content = read_yaml(path)
    content["plugins"] |= plugins
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    (mapper,) = plugins["mappers"]
    project.meltano("install", "mapper", mapper["name"])

    (mapping,) = mapper["mappings"]
    command = f"meltano run {TAP} {mapping['name']} {TARGET}"
    assert f"`{command}`" in page
    project.bash(command.replace("run", "run --no-install"))
    expected = truth(sandbox)
    for row in expected.values():
        del row["details"]
        row["actor_id"] = find(row, ("actor", "id"))
    assert DuckDB(project.folder).problems(expected) == []
