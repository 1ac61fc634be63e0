"""The real Meltano: its state, its environments, and what becomes of killed runs."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.timestamps import DAY, from_record
from tests.helpers import history
from tests.helpers.history import LOOKBACK, NEWEST, since
from tests.helpers.projects import (
    RUN,
    TAP,
    TARGET,
    Project,
    is_installed,
    processes,
    wait_for_end,
)
from tests.helpers.targets import DuckDB
from tests.helpers.truth import differences, truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.truth import Row

pytestmark = pytest.mark.timeout(180)

STATE = f"first:{TAP}-to-{TARGET}"
OTHER_STATE = f"second:{TAP}-to-{TARGET}"


@pytest.fixture(autouse=True)
def _installed() -> None:
    if not is_installed():
        pytest.fail("Meltano is not installed here: run `make meltano`.", pytrace=False)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve what happened before the first run."""
    with Sandbox(history.before()) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, sandbox: Sandbox) -> Project:
    """Make a project with one environment."""
    return Project(tmp_path / "project", {"first": sandbox})


def problems(project: Project, environment: str, rows: dict[str, Row]) -> list[str]:
    """Say how a table differs from what should be in it."""
    stored = DuckDB(project.folder).stored
    expected = {name: stored(row) for name, row in rows.items()}
    return differences(expected, project.rows(environment))


def test_state_get_set_and_clear(project: Project, sandbox: Sandbox) -> None:
    before = truth(sandbox)
    assert project.run("first") == len(before)
    assert problems(project, "first", before) == []
    assert project.states("first") == [STATE]
    assert project.bookmark(STATE) == NEWEST

    history.meanwhile(sandbox)
    after = truth(sandbox)
    newest = from_record(NEWEST)
    assert project.run("first") == since(after, newest - LOOKBACK)
    assert problems(project, "first", after) == []
    assert (project.bookmark(STATE) or "") > NEWEST

    two_days_ago = {"replication_key_value": "2025-10-30T00:00:00Z"}
    value = {"singer_state": {"bookmarks": {"audit_logs": two_days_ago}}}
    project.meltano("first", "state", "set", "--force", STATE, json.dumps(value))
    assert project.run("first") == since(after, history.END - 2 * DAY - LOOKBACK)

    project.meltano("first", "state", "clear", "--force", STATE)
    assert project.bookmark(STATE) is None
    assert project.run("first") == len(after)
    assert problems(project, "first", after) == []


def test_full_refresh(project: Project, sandbox: Sandbox) -> None:
    rows = truth(sandbox)
    project.run("first")
    with duckdb.connect(str(project.database("first"))) as connection:
        connection.execute(
            "DELETE FROM akuity.audit_logs WHERE timestamp < '2025-10-01'"
        )
    assert project.run("first") < len(rows)
    assert len(project.rows("first")) < len(rows)

    assert project.run("first", "--full-refresh") == len(rows)
    assert problems(project, "first", rows) == []
    assert project.bookmark(STATE) == NEWEST
    assert project.run("first") == since(rows, from_record(NEWEST) - LOOKBACK)


def test_two_environments(tmp_path: Path, sandbox: Sandbox) -> None:
    data = Dataset(400, seed=2, until=history.UNTIL)
    with Sandbox(data, options=Options(organization_id="other")) as another:
        sandboxes = {"first": sandbox, "second": another}
        project = Project(tmp_path / "project", sandboxes)
        expected = {name: truth(one) for name, one in sandboxes.items()}
        for name in sandboxes:
            assert project.run(name) == len(expected[name])
        assert sorted(project.states("first")) == [STATE, OTHER_STATE]

        history.meanwhile(sandbox)
        expected["first"] = truth(sandbox)
        project.run("first")
        project.meltano("first", "state", "clear", "--force", STATE)
        # The other one goes on from where it was.
        assert 0 < project.run("second") < len(expected["second"])
        for name in sandboxes:
            assert problems(project, name, expected[name]) == []


def test_a_suffix_of_the_state_id(project: Project, sandbox: Sandbox) -> None:
    rows = truth(sandbox)
    assert project.run("first") == len(rows)
    assert project.run("first", "--state-id-suffix=again") == len(rows)
    assert sorted(project.states("first")) == [STATE, f"{STATE}:again"]

    project.meltano("first", "state", "clear", "--force", STATE)
    assert project.bookmark(f"{STATE}:again") == NEWEST
    assert project.run("first", "--state-id-suffix=again") < len(rows)
    assert problems(project, "first", rows) == []


EVENTS = 60_000
PAGE = 1_000


@pytest.mark.parametrize("victim", [TAP, TARGET, "meltano"])
def test_killed_and_resumed(tmp_path: Path, victim: str, summary: list[str]) -> None:
    rng = random.Random(victim)
    data = Dataset(EVENTS, seed=3, until=history.UNTIL, distribution="even")
    # Slow enough to be met in the middle.
    options = Options(latency_seconds=0.04)
    kept = []
    reached = 0
    with Sandbox(data, options=options) as sandbox:
        expected = truth(sandbox)
        project = Project(
            tmp_path / "project",
            {"first": sandbox},
            # One window after the other, so that what is kept grows all the time.
            tap={"lookback_seconds": 0, "page_size": PAGE, "concurrency": 1},
            # More than one load in each window of the tap, and none at its end.
            target={"batch_size_rows": 2_300},
        )
        for number in (signal.SIGTERM, signal.SIGKILL):
            pages = since(expected, reached + 1) / PAGE
            requests = 1 + int(rng.uniform(0.1, 0.8) * pages)
            kill(project, sandbox, victim, number, requests)
            reached = bookmark(project)
            rows = check_what_is_kept(project, expected, reached)
            kept.append(f"{rows} rows loaded")
        sandbox.state.options = replace(options, latency_seconds=0)
        # A run that was killed stands in the way for five minutes without `--force`.
        read = project.run("first", "--force")
    assert problems(project, "first", expected) == []
    summary.append(
        f"{f'{TAP} to {TARGET}, {victim} killed':70} {' and then '.join(kept)}, "
        f"{read} read by the next run, {len(expected)} compared"
    )


def kill(
    project: Project,
    sandbox: Sandbox,
    victim: str,
    number: signal.Signals,
    requests: int,
) -> None:
    """Run the pipeline, and kill one of its processes after so many requests."""
    sandbox.state.stats.reset()
    with project.started("first", *RUN, "--force", quiet=True) as meltano:
        while sandbox.state.stats.requests < requests:
            assert meltano.poll() is None, "too early: the run has ended"
            time.sleep(0.002)
        running = processes(meltano.pid)
        (pid,) = [one.pid for one in running if f"/bin/{victim} " in one.command]
        os.kill(pid, number)
        # Neither the others' end nor the exit code depends on who was killed.
        assert meltano.wait(60) != 0
        wait_for_end(meltano.pid)


def check_what_is_kept(project: Project, expected: dict[str, Row], reached: int) -> int:
    """See that the table has all up to the bookmark, and nothing wrong."""
    rows = project.rows("first")
    stored = DuckDB(project.folder).stored
    assert all(row == stored(expected[row["id"]]) for row in rows)
    missing = expected.keys() - {row["id"] for row in rows}
    assert all(expected[name]["timestamp"] > reached for name in missing)
    return len(rows)


def bookmark(project: Project) -> int:
    """Give the instant up to which the log has been read, as the state says."""
    text = project.bookmark(STATE)
    return from_record(text) if text else 0


def test_the_check(project: Project, sandbox: Sandbox) -> None:
    said = project.meltano("first", "invoke", TAP, "--test")
    assert "Organization: Northwind." in said.stderr
    assert "A sync can work." in said.stderr
    assert said.stdout == ""
    # Meltano's own waits for a record, which is there whenever it happened.
    assert "Plugin configuration is valid" in project.test("first", succeeds=True)

    sandbox.store.remove_before(history.END + DAY)
    assert len(sandbox.store) == 0
    said = project.meltano("first", "invoke", TAP, "--test")
    assert "Newest event: there is none." in said.stderr
    assert "No RECORD or BATCH message received" in project.test(
        "first", succeeds=False
    )

    sandbox.state.options = replace(sandbox.state.options, role="member")
    with pytest.raises(AssertionError, match="The API key may not read the audit log"):
        project.meltano("first", "invoke", TAP, "--test")
    said_by_test = project.test("first", succeeds=False)
    assert "The API key may not read the audit log" in said_by_test
    assert sandbox.api_key_secret not in said_by_test


def test_a_select_that_leaves_nothing_fails(project: Project) -> None:
    project.meltano("first", "select", TAP, "--exclude", "audit_logs", "details.patch")
    with pytest.raises(AssertionError, match="does not select `audit_logs`, so that"):
        project.meltano("first", *RUN)
    project.meltano("first", "select", TAP, "audit_logs", "*")
    assert project.run("first") > 0
