"""Meltano projects of the tests' own, on what `make meltano` has installed."""

import os
import re
import shlex
import signal
import subprocess
import time
from typing import NamedTuple

import yaml

from scripts import ROOT
from scripts.processes import inherited, started

TAP, TARGET = "tap-akuity", "target-duckdb"
RUN = ("run", "--no-install", TAP, TARGET)

END_SECONDS = 20

_BIN = ROOT / ".venv-meltano" / "bin"
_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_DUCKDB_", "PROD_", "STAGING_")
_RECORD_COUNT = re.compile(r"metric_name=record_count metric_value=(\d+)")


class Project:
    """A folder with a `meltano.yml`."""

    def __init__(self, folder, **variables):
        self.folder = folder
        self.environment = inherited(*_FOREIGN_SETTINGS) | {
            "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            # The rest of what Meltano and the target write goes to the folder too.
            "TMPDIR": str(folder),
            "XDG_STATE_HOME": str(folder / "log"),
            **variables,
        }

    def meltano(self, *arguments, succeeds=True) -> str:
        """Run a command of Meltano, and return what it wrote."""
        return self.bash(shlex.join(["meltano", *arguments]), succeeds=succeeds)

    def run(self, *options) -> int:
        """Run the pipeline, and return how many records the tap read."""
        return records_read(self.meltano(*RUN, *options))

    def bash(self, script, *, succeeds=True) -> str:
        """Run a script, and return what it wrote."""
        with self.started(script) as process:
            output, _ = process.communicate(timeout=120)
        assert (process.returncode == 0) is succeeds, output
        return output

    def started(self, script):
        """Run a script, and end what is left of it after the block."""
        command = ["bash", "-euc", script]
        stderr = subprocess.STDOUT
        return started(command, self.folder, self.environment, stderr=stderr)


def records_read(said: str) -> int:
    """Return how many records the tap read, according to Meltano."""
    return sum(map(int, _RECORD_COUNT.findall(said)))


def as_variables(settings):
    """Return environment variables for settings of the tap."""
    return {f"TAP_AKUITY_{name.upper()}": str(one) for name, one in settings.items()}


def use_installed(project, *kinds):
    """Use plugins that are installed for the repository, and load into a file."""
    (project.folder / ".meltano").mkdir(exist_ok=True)
    for kind in kinds:
        (project.folder / ".meltano" / kind).symlink_to(ROOT / ".meltano" / kind)
    database = project.folder / "audit.duckdb"
    project.environment["TARGET_DUCKDB_FILEPATH"] = str(database)


def read_yaml(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class Process(NamedTuple):
    """A running process."""

    pid: int
    parent: int
    group: int
    command: str


def all_processes() -> list[Process]:
    """Return all processes."""
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,pgid=,stat=,args="]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = (line.split(None, 4) for line in done.stdout.splitlines())
    return [
        Process(int(pid), int(parent), int(group), "".join(command))
        for pid, parent, group, state, *command in found
        if not state.startswith("Z")
    ]


def processes(group: int) -> list[Process]:
    """Return the processes of a group."""
    return [one for one in all_processes() if one.group == group]


def wait_for_end(group: int) -> None:
    """Wait until a group has no processes, without ending any."""
    latest = time.monotonic() + END_SECONDS
    while left := processes(group):
        assert time.monotonic() < latest, f"still there: {left}"
        time.sleep(0.05)


def kill(process, sandbox, requests, victim="", number=signal.SIGKILL) -> int:
    """Kill one program of a pipeline, or all, and return the pipeline's exit code.

    It is killed once the sandbox got so many more requests.
    """
    requests += sandbox.state.stats.requests
    while sandbox.state.stats.requests < requests:
        assert process.poll() is None, "too early: the run has ended"
        time.sleep(0.002)
    if victim:
        running = processes(process.pid)
        (pid,) = [one.pid for one in running if f"/bin/{victim} " in one.command]
        os.kill(pid, number)
    else:
        os.killpg(process.pid, number)
    code = process.wait(60)
    wait_for_end(process.pid)
    return code
