"""Processes that leave nothing behind."""

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
    """Return this process's environment without variables that begin like these."""
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
    """Run a command in a folder, and end it and all it started after the block.

    It has no input and its output goes into pipes, if `streams` does not say otherwise.

    Args:
        command: The program and its arguments.
        folder: To work in.
        environment: All of its variables.
        patience: How long it may take to end by itself, in seconds, once asked to.
        streams: `stdin`, `stdout` and `stderr`.
    """
    pipes = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    # No shell, and nothing from outside in the commands.
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
    """End a process from `started` and all that it started, at once."""
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[Any], number: signal.Signals) -> None:
    # Each has a session of its own, and so leads a group of its own.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
