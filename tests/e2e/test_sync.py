"""`examples/shell/sync.sh`: whatever fails or is killed, nothing is lost."""

import json
import os
import signal
import time
from datetime import UTC, datetime
from subprocess import DEVNULL

import pytest

from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from scripts.processes import started
from tests.helpers.commands import TAP, write
from tests.helpers.events import ids
from tests.helpers.projects import processes, wait_for_end
from tests.helpers.readme import NEEDS_DUCKDB, Folder
from tests.helpers.running import bookmark, stats

MANY = 12_000  # More than a window holds.
UNTIL = datetime(2025, 11, 1, tzinfo=UTC)


def kill(folder, sandbox, victim, requests):
    """Run `sync.sh`, kill one of its processes or all, and return the exit code."""
    sandbox.state.stats.reset()
    with started(
        ["bash", "sync.sh"], folder.path, os.environ, stderr=DEVNULL
    ) as script:
        while sandbox.state.stats.requests < requests:
            assert script.poll() is None, "too early: the run has ended"
            time.sleep(0.002)
        if victim == "all":
            os.killpg(script.pid, signal.SIGKILL)
        else:
            running = processes(script.pid)
            (pid,) = [one.pid for one in running if f"/bin/{victim} " in one.command]
            os.kill(pid, signal.SIGKILL)
        code = script.wait(60)
        wait_for_end(script.pid)
        return code


@NEEDS_DUCKDB
def test_killed_and_failed_and_run_again(tmp_path):
    # Read one after the other, so that there are several states.
    data = list(Dataset(MANY, until=UNTIL, distribution="even"))
    everything = dict(zip(ids(data), data, strict=True))
    with Sandbox(data, options=Options(latency_seconds=0.01)) as sandbox:
        settings = {"start_date": "2020-01-01", "concurrency": 1, "lookback_seconds": 0}
        folder = Folder(tmp_path, sandbox, **settings)

        # The target loads nothing before it has the last record.
        assert kill(folder, sandbox, "all", 24) == -signal.SIGKILL
        assert folder.state() == {}
        assert kill(folder, sandbox, "target-duckdb", 24) == 128 + signal.SIGKILL
        assert folder.state() == {}

        # If the tap fails, the target loads what it has.
        sandbox.state.faults = Faults(Plan(kinds=("401",), after=25))
        said = folder.run(code=1)
        assert "Akuity refused the API key" in said.splitlines()[-1]
        assert "Loading" in said  # by the target
        state = folder.state()
        assert 0 < len(folder.ids()) < MANY
        until = str(bookmark(state)).replace("T", " ")
        passed = {one for one in everything if everything[one]["timestamp"] <= until}
        assert passed <= set(folder.ids())

        sandbox.state.faults = Faults()
        assert kill(folder, sandbox, "tap-akuity", 1) == 128 + signal.SIGKILL
        assert folder.state() == state
        sandbox.state.stats.reset()
        folder.run()
        assert stats(sandbox)["requests"] < MANY / 500
        assert folder.ids() == sorted(everything)


@NEEDS_DUCKDB
def test_dates_and_private_files(tmp_path):
    data = list(Dataset(300, until=UNTIL, distribution="even"))
    with Sandbox(data) as sandbox:
        folder = Folder(tmp_path, sandbox, start_date=None)
        before = {*tmp_path.iterdir()}
        folder.run("umask 022; bash sync.sh part 2025-09-01")
        part = ids(item for item in data if item["timestamp"] >= "2025-09-01")
        assert 0 < len(part) < len(data)
        assert folder.ids("part") == sorted(part)

        # Without a date, the first run only notes where the next one starts.
        folder.run()
        assert folder.ids() == []
        sandbox.state.happen(3)
        folder.run()
        new = [json.loads(body) for body in sandbox.store.bodies()[len(data) :]]
        assert folder.ids() == sorted(ids(new))
    written = {*tmp_path.iterdir()} - before
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert {"audit.duckdb", "audit.log"} <= {path.name for path in written}
    folder.run("bash sync.sh more 2025-09-01 2025-10-01 2025-11-01", code=2)
    assert not (tmp_path / "more.state.json").exists()


STATE = {"bookmarks": {"audit_logs": {"replication_key_value": "2025-10-01"}}}


@pytest.mark.parametrize(
    ("target", "code", "state"),
    [
        # Half a line is no state.
        (f"echo '{json.dumps(STATE)}'; printf '{{\"b'; kill -9 $$", 137, STATE),
        ("exit 3", 3, {"as": "before"}),
    ],
)
def test_a_target_that_fails(tmp_path, target, code, state):
    with Sandbox(Dataset(5)) as sandbox:
        folder = Folder(tmp_path, sandbox)
        commands = tmp_path / "venv" / "bin"
        commands.unlink()
        commands.mkdir()
        (commands / "tap-akuity").symlink_to(TAP)
        (commands / "target-duckdb").write_text(f"#!/bin/sh\n{target}\n", "utf-8")
        (commands / "target-duckdb").chmod(0o755)
        write(tmp_path / "audit.state.json", {"as": "before"})
        folder.run(code=code)
        assert folder.state() == state
