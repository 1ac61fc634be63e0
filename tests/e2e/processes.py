"""Processes of the tests' own, of which nothing is left behind."""

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
    """Give the environment without variables whose names begin like these."""
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
    **streams: Any,
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a folder, and end it and all it started after the block.

    It has no input and its output goes into pipes, if `streams` does not say otherwise.
    """
    pipes = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen(
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
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
