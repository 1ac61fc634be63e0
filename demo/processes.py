"""Starts the sandbox and Meltano, and leaves no process behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import requests

from demo import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MELTANO = ROOT / ".venv-meltano" / "bin" / "meltano"

_START_SECONDS = 60
_RUN_SECONDS = 600
_STOP_SECONDS = 10
_FOREIGN_SETTINGS = ("MELTANO_", "SANDBOX_", "TAP_AKUITY_", "TARGET_DUCKDB_")


class DemoError(Exception):
    """The demo failed; the message is one sentence for the person who ran it."""


class Sandbox(NamedTuple):
    """A running sandbox."""

    url: str
    organization_id: str
    api_key_id: str
    api_key_secret: str
    records: int

    @property
    def environment(self) -> dict[str, str]:
        """The variables that the environment `sandbox` in meltano.yml asks for."""
        return {
            "SANDBOX_URL": self.url,
            "SANDBOX_ORGANIZATION_ID": self.organization_id,
            "SANDBOX_API_KEY_ID": self.api_key_id,
            "SANDBOX_API_KEY_SECRET": self.api_key_secret,
        }

    def events(self) -> list[dict[str, Any]]:
        """All the events that the sandbox has."""
        return self._ask("GET", {})

    def add_events(self, count: int) -> list[dict[str, Any]]:
        """Make new events happen."""
        return self._ask("POST", {"count": count})

    def _ask(self, method: str, params: dict[str, int]) -> list[dict[str, Any]]:
        with requests.Session() as session:
            session.trust_env = False  # no proxy stands before this machine
            response = session.request(
                method, f"{self.url}/sandbox/events", params=params, timeout=60
            )
        response.raise_for_status()
        events: list[dict[str, Any]] = response.json()
        return events


@contextlib.contextmanager
def sandbox(*, records: int, seed: int, log: Path) -> Iterator[Sandbox]:
    """Run the sandbox for as long as the block takes."""
    command = [sys.executable, "-m", "sandbox", "--port=0"]
    command += [f"--records={records}", f"--seed={seed}"]
    with (
        log.open("ab") as stderr,
        # No shell, and nothing from outside in the command.
        subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            text=True,
        ) as process,
    ):
        try:
            yield _first_words(process)
        finally:
            _stop(process)


def _first_words(process: subprocess.Popen[str]) -> Sandbox:
    """Wait for the line that a sandbox prints when it is ready."""
    timer = threading.Timer(_START_SECONDS, process.kill)
    timer.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
    finally:
        timer.cancel()
    try:
        return Sandbox(**json.loads(line))
    except (TypeError, ValueError):
        message = "The sandbox did not start."
        raise DemoError(message) from None


def meltano(*arguments: str, environment: dict[str, str], log: Path) -> None:
    """Run Meltano in its environment `sandbox`, with the output in a file.

    Settings of a real organization, in `.env` or exported, stay out of it.

    Args:
        arguments: For Meltano.
        environment: Variables to set.
        log: The file that the output is added to.

    Raises:
        DemoError: Meltano failed, or took too long.
    """
    if not MELTANO.exists():
        message = "Meltano is not installed: run `make demo`."
        raise DemoError(message)
    command = [str(MELTANO), "--environment=sandbox", f"--env-file={os.devnull}"]
    command += arguments
    name = " ".join(["meltano", *arguments])
    with (
        log.open("ab") as output,
        # No shell, and nothing from outside in the command.
        subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            env=_inherited() | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            message = f"`{name}` was not done after {_RUN_SECONDS} seconds."
            raise DemoError(message) from None
        finally:
            _stop(process)
    if code != 0:
        message = f"`{name}` failed with exit code {code}."
        raise DemoError(message)


def _inherited() -> dict[str, str]:
    """This process's environment, without what would change the demo."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_SETTINGS)
    }
    return kept | {
        "NO_COLOR": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        # Meltano keeps a log of each run there: in this folder, not in the home.
        "XDG_STATE_HOME": str(ROOT / ".meltano" / "state"),
    }


def _stop(process: subprocess.Popen[Any]) -> None:
    """End a process and all that it started."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    # Each was started in a session of its own, and so leads a group of its own.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
