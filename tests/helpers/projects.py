"""Meltano projects of the tests' own, on what `make meltano` has installed."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from harness import ROOT
from harness.processes import inherited, started
from tests.helpers.targets import rows_in_duckdb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sandbox.server import Sandbox
    from tests.helpers.truth import Row

MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"
PLUGINS = ROOT / ".meltano"
TAP, TARGET = "tap-akuity", "target-duckdb"

RUN_SECONDS = 60
END_SECONDS = 20

_FOREIGN_SETTINGS = ("MELTANO_", "TAP_AKUITY_", "TARGET_DUCKDB_")
_RECORD_COUNT = re.compile(r"metric_name=record_count metric_value=(\d+)")


def is_installed() -> bool:
    """Tell whether `make meltano` has been here."""
    commands = [
        MELTANO,
        PLUGINS / "extractors" / TAP / "venv" / "bin" / TAP,
        PLUGINS / "loaders" / TARGET / "venv" / "bin" / TARGET,
    ]
    return all(command.exists() for command in commands)


def settings_for(sandbox: Sandbox) -> dict[str, Any]:
    """Give the settings that a project needs to read a sandbox."""
    return {
        "api_url": sandbox.url,
        "organization_id": sandbox.organization_id,
        "api_key_id": sandbox.api_key_id,
        "api_key_secret": sandbox.api_key_secret,
        "start_date": "2020-01-01",
    }


class Process(NamedTuple):
    """A process of a run."""

    pid: int
    command: str


class Project:
    """A folder with a `meltano.yml`, made of the repository's, and nothing shared.

    Only the plugins' environments are the repository's, and they are only read.
    """

    def __init__(
        self,
        folder: Path,
        sandboxes: Mapping[str, Sandbox],
        *,
        tap: Mapping[str, Any] | None = None,
        target: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the project.

        Args:
            folder: Where.
            sandboxes: The organization of each environment.
            tap: More settings of the tap.
            target: More settings of the target.
        """
        self.folder = folder
        folder.mkdir()
        text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
        project = yaml.safe_load(text)
        project["environments"] = [
            self._environment(name, sandbox, tap or {}, target or {})
            for name, sandbox in sandboxes.items()
        ]
        project["default_environment"] = next(iter(sandboxes))
        (folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
        (folder / ".meltano").mkdir()
        for kind in ("extractors", "loaders"):
            (folder / ".meltano" / kind).symlink_to(PLUGINS / kind)

    def _environment(
        self,
        name: str,
        sandbox: Sandbox,
        tap: Mapping[str, Any],
        target: Mapping[str, Any],
    ) -> dict[str, Any]:
        settings = {**settings_for(sandbox), **tap}
        filepath = f"$MELTANO_PROJECT_ROOT/{name}.duckdb"
        plugins = {
            "extractors": [{"name": TAP, "config": settings}],
            "loaders": [{"name": TARGET, "config": {"filepath": filepath, **target}}],
        }
        return {"name": name, "config": {"plugins": plugins}}

    def database(self, environment: str) -> Path:
        """Give the file that an environment loads into."""
        return self.folder / f"{environment}.duckdb"

    def rows(self, environment: str) -> list[Row]:
        """Give the rows of an environment, none if there is no table yet."""
        path = self.database(environment)
        return rows_in_duckdb(path) if path.exists() else []

    def run(self, environment: str, *options: str) -> int:
        """Run the pipeline, and give how many records the tap read."""
        said = self.meltano(environment, *RUN, *options)
        return sum(int(count) for count in _RECORD_COUNT.findall(said.stderr))

    def test(self, environment: str, *, succeeds: bool) -> str:
        """Run Meltano's test of the tap, and give what it wrote."""
        with self.started(environment, "config", "test", TAP) as process:
            said = "".join(process.communicate(timeout=RUN_SECONDS))
        assert (process.returncode == 0) is succeeds, said
        return said

    def states(self, environment: str) -> list[str]:
        """Give the ids of all states."""
        return self.meltano(environment, "state", "list").stdout.split()

    def bookmark(self, state_id: str) -> str | None:
        """Give the bookmark of a state, if it has one."""
        environment, _, _ = state_id.partition(":")
        said = self.meltano(environment, "state", "get", state_id).stdout
        bookmarks = json.loads(said).get("singer_state", {}).get("bookmarks", {})
        value: str | None = bookmarks.get("audit_logs", {}).get("replication_key_value")
        return value

    def meltano(
        self, environment: str | None, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of Meltano, which must go well.

        Args:
            environment: The one to run it in; None for what the project has set.
            arguments: The rest of the command.

        Returns:
            What it wrote.
        """
        with self.started(environment, *arguments) as process:
            output, errors = process.communicate(timeout=RUN_SECONDS)
        assert process.returncode == 0, f"{arguments}: {output}{errors}"
        return subprocess.CompletedProcess(process.args, 0, output, errors)

    def started(
        self, environment: str | None, *arguments: str, quiet: bool = False
    ) -> AbstractContextManager[subprocess.Popen[str]]:
        """Run a command of Meltano, and end what is left of it after the block."""
        output = subprocess.DEVNULL if quiet else subprocess.PIPE
        options = [f"--environment={environment}"] if environment else []
        return started(
            [str(MELTANO), *options, *arguments],
            self.folder,
            # The rest of what Meltano and the target write goes to the folder too.
            inherited(*_FOREIGN_SETTINGS)
            | {
                "NO_COLOR": "1",
                "NO_PROXY": "127.0.0.1",
                "no_proxy": "127.0.0.1",
                "TMPDIR": str(self.folder),
                "XDG_STATE_HOME": str(self.folder / "log"),
            },
            stdout=output,
            stderr=output,
        )


class NewProject(Project):
    """A project as `meltano init` makes it, with a loader and no extractor."""

    def __init__(self, folder: Path) -> None:
        """Make the project.

        Args:
            folder: Where.
        """
        self.folder = folder
        folder.mkdir()
        self.meltano(None, "init", ".")
        self.environment = self.content()["default_environment"]
        text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
        loaders = yaml.safe_load(text)["plugins"]["loaders"]
        filepath = f"$MELTANO_PROJECT_ROOT/{self.environment}.duckdb"
        loaders[0]["config"] = {"filepath": filepath}
        content = self.content() | {"plugins": {"loaders": loaders}}
        (folder / "meltano.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
        (folder / ".meltano" / "loaders").symlink_to(PLUGINS / "loaders")

    def content(self) -> dict[str, Any]:
        """Read `meltano.yml`."""
        text = (self.folder / "meltano.yml").read_text(encoding="utf-8")
        content: dict[str, Any] = yaml.safe_load(text)
        return content


RUN = ("run", "--no-install", TAP, TARGET)


def processes(group: int) -> list[Process]:
    """Give the processes of a group that still run."""
    done = subprocess.run(
        ["ps", "-A", "-ww", "-o", "pid=,pgid=,stat=,args="],  # noqa: S607 - where `ps` is differs
        capture_output=True,
        text=True,
        check=True,
    )
    found = (line.split(None, 3) for line in done.stdout.splitlines())
    return [
        Process(int(pid), "".join(command))
        for pid, pgid, state, *command in found
        if int(pgid) == group and not state.startswith("Z")
    ]


def wait_for_end(group: int) -> None:
    """Wait until a group has no processes, without ending any."""
    latest = time.monotonic() + END_SECONDS
    while left := processes(group):
        assert time.monotonic() < latest, f"still there: {left}"
        time.sleep(0.05)
