"""`examples/shell/sync.sh`: whatever fails or is killed, nothing is lost."""

import json
import os
import signal
import time
from datetime import UTC, datetime
from subprocess import DEVNULL

import pytest
import yaml

from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from scripts import ROOT
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

        # Before the target has a batch.
        assert kill(folder, sandbox, "all", 20) == -signal.SIGKILL
        assert folder.state() == {}
        assert kill(folder, sandbox, "target-duckdb", 20) == 128 + signal.SIGKILL
        assert folder.state() == {}

        # If the tap fails, the target loads what it has.
        sandbox.state.faults = Faults(Plan(kinds=("401",), after=25))
        said = folder.run(code=1)
        assert "audit: " in said.splitlines()[-1]
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
        # Whatever CDPATH finds first.
        (tmp_path / "x" / tmp_path.name).mkdir(parents=True)
        script = f"cd ..; CDPATH={tmp_path}/x bash {tmp_path.name}/sync.sh"
        assert folder.run(script) == ""  # All is well.
        assert stats(sandbox)["requests"] < MANY / 500
        assert folder.ids() == sorted(everything)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("--help", 0, ""),
        ("--hlep", 2, "usage: sync.sh [--quiet] [NAME [FROM [TO]]]"),
        ("a 2025-01-01 2025-02-01 2025-03-01", 2, "usage: sync.sh"),
        ("../a", 2, "NAME is part of file names: ../a"),
        ('a \'2025", "x": "\'', 2, "not a date such as 2026-01-01: 2025"),
        ("a 2025-01-01 x", 2, "not a date such as 2026-01-01: x"),
    ],
)
def test_wrong_arguments_change_nothing(tmp_path, arguments, code, said):
    with Sandbox([]) as sandbox:
        folder = Folder(tmp_path, sandbox)
    before = {*tmp_path.iterdir()}
    assert folder.run(f"bash sync.sh {arguments}", code=code).startswith(said)
    assert {*tmp_path.iterdir()} == before


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
    # Otherwise the target would confirm no state before the last record.
    (loader,) = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))["plugins"][
        "loaders"
    ]
    sizes = {one["name"]: one["value"] for one in loader["settings"] if "value" in one}
    target = json.loads((tmp_path / "audit.target.json").read_text("utf-8"))
    assert target["batch_size_rows"] == sizes["batch_size_rows"]
    written = {*tmp_path.iterdir()} - before
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert {"audit.duckdb", "audit.log"} <= {path.name for path in written}


def folder_with(target, path, sandbox):
    """Return a folder with a script in the place of the target, and with a state."""
    folder = Folder(path, sandbox)
    commands = path / "venv" / "bin"
    commands.unlink()
    commands.mkdir()
    (commands / "tap-akuity").symlink_to(TAP)
    (commands / "target-duckdb").write_text(f"#!/bin/sh\n{target}\n", "utf-8")
    (commands / "target-duckdb").chmod(0o755)
    write(path / "audit.state.json", {"as": "before"})
    return folder


def test_interrupted_with_all_its_children_the_script_keeps_the_state(tmp_path):
    target = f"cat >&2; echo '{json.dumps(STATE)}'; exec sleep 60"
    with Sandbox(Dataset(5)) as sandbox:
        folder = folder_with(target, tmp_path, sandbox)
        with started(
            ["bash", "sync.sh"], folder.path, os.environ, stderr=DEVNULL
        ) as script:
            while not any(p.command == "sleep 60" for p in processes(script.pid)):
                assert script.poll() is None
                time.sleep(0.01)
            os.killpg(script.pid, signal.SIGINT)
            assert script.wait(60) == 128 + signal.SIGINT
    assert folder.state() == STATE


STATE = {"bookmarks": {"audit_logs": {"replication_key_value": "2025-10-01"}}}


@pytest.mark.parametrize(
    ("target", "code", "state"),
    [
        # Half a line is no state, nor is what is not JSON.
        (f"echo '{json.dumps(STATE)}'; printf '{{\"b'; kill -9 $$", 137, STATE),
        (f"cat >&2; echo '{json.dumps(STATE)}'; echo Done.", 0, STATE),
        ("exit 3", 3, {"as": "before"}),
    ],
)
def test_a_target_that_fails(tmp_path, target, code, state):
    with Sandbox(Dataset(5)) as sandbox:
        folder = folder_with(target, tmp_path, sandbox)
        said = folder.run(code=code)
        assert folder.state() == state
        # A pipeline that works is quiet, and so is one that is told to be.
        assert (said == "") is (code == 0)
