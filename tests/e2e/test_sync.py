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
from scripts import ROOT
from scripts.processes import started
from tests.helpers.commands import TAP, write
from tests.helpers.events import ids
from tests.helpers.projects import kill, processes, read_yaml
from tests.helpers.readme import Folder
from tests.helpers.running import bookmark, stats

MANY = 12_000  # More than a window holds.
UNTIL = datetime(2025, 11, 1, tzinfo=UTC)


def started_in(folder):
    return started(["bash", "sync.sh"], folder.path, os.environ, stderr=DEVNULL)


def test_killed_and_failed_and_run_again(tmp_path):
    # Read one after the other, so that there are several states.
    data = list(Dataset(MANY, until=UNTIL, distribution="even"))
    everything = dict(zip(ids(data), data, strict=True))
    with Sandbox(data, options=Options(latency_seconds=0.01)) as sandbox:
        settings = {"start_date": "2020-01-01", "concurrency": 1, "lookback_seconds": 0}
        folder = Folder(tmp_path).prepare(sandbox, **settings)

        # Before the target has a batch.
        for victim, code in (("", -9), ("target-duckdb", 137)):
            with started_in(folder) as script:
                assert kill(script, sandbox, 8, victim) == code
            assert folder.state() == {}

        # If the tap fails, the target loads what it has.
        sandbox.state.faults = Faults(Plan(kinds=("401",), after=13))
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
        with started_in(folder) as script:
            assert kill(script, sandbox, 1, "tap-akuity") == 137
        assert folder.state() == state
        sandbox.state.stats.reset()
        # Whatever CDPATH finds first.
        (tmp_path / "x" / tmp_path.name).mkdir(parents=True)
        script = f"cd ..; CDPATH={tmp_path}/x bash {tmp_path.name}/sync.sh"
        assert folder.run(script) == ""  # All is well.
        assert stats(sandbox)["requests"] < MANY / 1500
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
        folder = Folder(tmp_path).prepare(sandbox)
    before = {*tmp_path.iterdir()}
    assert folder.run(f"bash sync.sh {arguments}", code=code).startswith(said)
    assert {*tmp_path.iterdir()} == before


def test_files_are_private_and_a_first_run_without_a_date_loads_nothing(tmp_path):
    with Sandbox(Dataset(30)) as sandbox:
        folder = Folder(tmp_path).prepare(sandbox, start_date=None)
        before = {*tmp_path.iterdir()}
        folder.run("umask 022; bash sync.sh")
        assert folder.ids() == []
        sandbox.state.happen(3)
        folder.run()
        assert len(folder.ids()) == 3
    written = {*tmp_path.iterdir()} - before
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert {"audit.duckdb", "audit.log"} <= {path.name for path in written}
    # Otherwise the target would confirm no state before the last record.
    (loader,) = read_yaml(ROOT / "meltano.yml")["plugins"]["loaders"]
    sizes = {one["name"]: one["value"] for one in loader["settings"] if "value" in one}
    target = json.loads((tmp_path / "audit.target.json").read_text("utf-8"))
    assert target["batch_size_rows"] == sizes["batch_size_rows"]


def folder_with(target, path, sandbox):
    """Return a folder with a script in the place of the target, and with a state."""
    folder = Folder(path).prepare(sandbox)
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
        with started_in(folder) as script:
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
def test_the_last_whole_state_is_kept_if_the_target_fails(
    tmp_path, target, code, state
):
    with Sandbox(Dataset(5)) as sandbox:
        folder = folder_with(target, tmp_path, sandbox)
        said = folder.run(code=code)
        assert folder.state() == state
        # A pipeline that works is quiet, and so is one that is told to be.
        assert (said == "") is (code == 0)
