"""`examples/shell/sync.sh`: whatever fails or is killed, nothing is lost."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.comparison import parse_time
from harness import ROOT
from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.server import Sandbox
from sandbox.state import Options
from tests.helpers.commands import write
from tests.helpers.events import ids
from tests.helpers.projects import processes, wait_for_end
from tests.helpers.readme import NEEDS_DUCKDB, Folder
from tests.helpers.running import bookmark, config_for, stats

if TYPE_CHECKING:
    from collections.abc import Iterator

UNTIL = datetime(2025, 11, 1, tzinfo=timezone.utc)
# More than one window.
MANY = 12_000


@pytest.fixture(scope="module")
def data() -> list[dict[str, Any]]:
    return list(Dataset(MANY, until=UNTIL, distribution="even"))


@pytest.fixture(scope="module")
def everything(data: list[dict[str, Any]]) -> list[str]:
    return sorted(ids(data))


@pytest.fixture
def sandbox(data: list[dict[str, Any]]) -> Iterator[Sandbox]:
    """Serve what takes a while to read."""
    with Sandbox(data, options=Options(latency_seconds=0.01)) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Folder:
    made = Folder(tmp_path, sandbox)
    # One window after the other, so that the state grows all the time.
    settings = config_for(sandbox, concurrency=1, lookback_seconds=0)
    write(tmp_path / "config.json", settings)
    return made


def state_of(folder: Folder) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder.path / "audit.state.json").read_bytes())
    return state


def failed(folder: Folder) -> int:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        folder.run("bash sync.sh")
    return caught.value.returncode


def nothing_is_passed_over(folder: Folder, sandbox: Sandbox) -> None:
    """See that all up to the bookmark is loaded."""
    state = state_of(folder)
    if not state:
        return
    until = parse_time(bookmark(state) or "")
    items = [json.loads(body) for body in sandbox.store.bodies()]
    passed = ids(item for item in items if parse_time(item["timestamp"]) <= until)
    assert set(passed) <= set(folder.ids())


@NEEDS_DUCKDB
def test_a_tap_that_fails_half_way(
    folder: Folder, sandbox: Sandbox, everything: list[str]
) -> None:
    sandbox.state.faults = Faults(Plan(kinds=("401",), after=25))
    assert failed(folder) == 1
    loaded = folder.ids()
    assert 0 < len(loaded) < MANY
    nothing_is_passed_over(folder, sandbox)
    assert bookmark(state_of(folder)) is not None

    sandbox.state.faults = Faults()
    sandbox.state.stats.reset()
    folder.run("bash sync.sh")
    assert stats(sandbox)["requests"] < MANY / 500
    assert sorted(folder.ids()) == everything


@NEEDS_DUCKDB
def test_the_last_line_is_the_sentence_of_the_tap(
    folder: Folder, sandbox: Sandbox
) -> None:
    sandbox.state.faults = Faults(Plan(kinds=("401",), after=25))
    done = subprocess.run(
        ["bash", "sync.sh"],  # noqa: S607
        cwd=folder.path,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Akuity refused the API key" in done.stderr.splitlines()[-1]
    assert "Loading" in done.stderr  # by the target


@NEEDS_DUCKDB
def test_what_is_written_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with Sandbox(Dataset(5)) as sandbox:
        folder = Folder(tmp_path, sandbox)
        before = set(tmp_path.iterdir())
        folder.run("umask 022; bash sync.sh")
    written = set(tmp_path.iterdir()) - before
    assert {"audit.duckdb", "audit.log"} <= {path.name for path in written}
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}


@NEEDS_DUCKDB
def test_a_missing_state_is_read_anew(tmp_path: Path) -> None:
    with Sandbox(Dataset(2_000, until=UNTIL)) as sandbox:
        folder = Folder(tmp_path, sandbox)
        write(tmp_path / "config.json", config_for(sandbox))
        folder.run("bash sync.sh")
        asked = stats(sandbox)["requests"]
        loaded, state = folder.ids(), state_of(folder)
        (tmp_path / "audit.state.json").unlink()
        folder.run("bash sync.sh")
        assert stats(sandbox)["requests"] == 2 * asked
    assert len(loaded) == 2_000
    assert sorted(folder.ids()) == sorted(loaded)
    assert state_of(folder) == state


@NEEDS_DUCKDB
def test_without_start_date_the_first_run_is_remembered(
    folder: Folder, sandbox: Sandbox
) -> None:
    settings = config_for(sandbox, start_date=None)
    write(folder.path / "config.json", settings)
    folder.run("bash sync.sh")
    assert folder.ids() == []
    sandbox.state.happen(3)
    folder.run("bash sync.sh")
    newest = [json.loads(body) for body in sandbox.store.bodies()[-3:]]
    assert sorted(folder.ids()) == sorted(ids(newest))


def killed(folder: Folder, sandbox: Sandbox, victim: str, requests: int) -> int:
    """Run `sync.sh`, kill one of its processes or all, and give the exit code."""
    with subprocess.Popen(
        ["bash", "sync.sh"],  # noqa: S607
        cwd=folder.path,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as script:
        try:
            while sandbox.state.stats.requests < requests:
                assert script.poll() is None, "too early: the run has ended"
                time.sleep(0.002)
            if victim == "all":
                os.killpg(script.pid, signal.SIGKILL)
            else:
                running = processes(script.pid)
                (pid,) = [p.pid for p in running if f"/bin/{victim} " in p.command]
                os.kill(pid, signal.SIGKILL)
            code = script.wait(60)
            wait_for_end(script.pid)
            return code
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)


@NEEDS_DUCKDB
@pytest.mark.parametrize(
    ("victim", "requests"),
    [("tap-akuity", 20), ("target-duckdb", 20), ("all", 1), ("all", 20), ("all", 25)],
)
def test_killed_and_run_again(
    folder: Folder,
    sandbox: Sandbox,
    everything: list[str],
    victim: str,
    requests: int,
) -> None:
    code = killed(folder, sandbox, victim, requests)
    assert code == (-signal.SIGKILL if victim == "all" else 128 + signal.SIGKILL)
    nothing_is_passed_over(folder, sandbox)
    folder.run("bash sync.sh")
    assert sorted(folder.ids()) == everything


@NEEDS_DUCKDB
@pytest.mark.parametrize("end", [None, "2025-09-15"])
def test_one_date_is_a_start(tmp_path: Path, end: str | None) -> None:
    with Sandbox(Dataset(300, until=UNTIL, distribution="even")) as sandbox:
        folder = Folder(tmp_path, sandbox)
        write(tmp_path / "config.json", config_for(sandbox, start_date=None))
        folder.run(f"bash sync.sh part 2025-09-01 {end or ''}")
        items = [json.loads(body) for body in sandbox.store.bodies()]
    last = end or "2026"
    part = ids(one for one in items if "2025-09-01" <= one["timestamp"] < last)
    assert 0 < len(part) < len(items)
    assert sorted(folder.ids("part")) == sorted(part)


def test_more_than_two_dates_are_refused(folder: Folder) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        folder.run("bash sync.sh part 2025-09-01 2025-10-01 2025-11-01")
    assert caught.value.returncode == 2
    assert not (folder.path / "part.state.json").exists()


def test_runs_that_overlap_have_an_exit_code_of_their_own(folder: Folder) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^[\d* ]+ cd \S+ && (flock .*)$", page, re.MULTILINE)
    (code,) = re.findall(r"flock -n -E (\d+) ", command)
    (folder.path / "sync.sh").write_text("exit 1\n", encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        folder.run(command)
    assert caught.value.returncode == 1
    with (folder.path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(subprocess.CalledProcessError) as caught:
            folder.run(command)
    assert caught.value.returncode == int(code) != 1


def test_half_a_state_is_no_state(folder: Folder) -> None:
    whole = {"bookmarks": {"audit_logs": {"replication_key_value": "2025-10-01"}}}
    target = folder.path / "target"
    target.write_text(
        f"#!/bin/sh\necho '{json.dumps(whole)}'\nprintf '{{\"bookm'\nkill -9 $$\n",
        encoding="utf-8",
    )
    target.chmod(0o755)
    (folder.path / "venv" / "bin").unlink()
    (folder.path / "venv" / "bin").mkdir()
    (folder.path / "venv" / "bin" / "target-duckdb").symlink_to(target)
    tap = folder.path / "venv" / "bin" / "tap-akuity"
    tap.symlink_to(Path(sys.executable).parent / "tap-akuity")
    assert failed(folder) == 128 + signal.SIGKILL
    assert state_of(folder) == whole
