"""Processes that are cleaned up with everything they start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


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

    Unless `streams` says otherwise, it has no input, and its output goes to pipes.

    Args:
        command: The program and its arguments.
        folder: The working directory.
        environment: All environment variables.
        patience: Seconds from SIGTERM to SIGKILL; 0 means SIGKILL at once.
        streams: `stdin`, `stdout` and `stderr`, as for `Popen`.
    """
    pipes = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    # No shell, and no external input in the commands.
    with subprocess.Popen(  # noqa: S603
        command,
        cwd=folder,
        env=environment,
        **{**pipes, **streams},
        text=True,
        start_new_session=True,
    ) as process:
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
