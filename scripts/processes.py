"""Processes that are cleaned up with everything they start."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def inherited(*foreign: str) -> dict[str, str]:
    """Return this process's environment without variables that have these prefixes."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign)
    }


@contextlib.contextmanager
def started(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    patience: float = 0.0,
    **streams: Any,  # noqa: ANN401 - what Popen takes
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a folder, and end it and all its children after the block.

    Unless `streams` says otherwise, it has no input, and its output goes to pipes. It
    has `patience` seconds from SIGTERM to SIGKILL, or none.
    """
    pipes = dict.fromkeys(["stdout", "stderr"], subprocess.PIPE)
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, **pipes, **streams}
    options |= {"cwd": folder, "env": environment, "text": True}
    with subprocess.Popen(command, start_new_session=True, **options) as process:  # noqa: S603 - ours
        try:
            yield process
        finally:
            try:
                if patience and process.poll() is None:
                    _signal(process, signal.SIGTERM)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(patience)
            finally:
                kill(process)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill a process from `started` and all its children."""
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    # Each process has its own session, and so leads its own process group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
