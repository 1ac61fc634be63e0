"""Runs a program, and measures its time and memory."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from harness.processes import kill, started

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KIB = 1024

LIMIT = 900.0
"""The time limit of a program, in seconds."""


class Usage(NamedTuple):
    """The resources used by a program and its children."""

    seconds: float
    cpu_seconds: float
    """User and system."""

    peak_rss: int
    """In bytes."""

    code: int
    """The exit code; negative for a signal, such as at the time limit."""


def run(command: Sequence[str], folder: Path, output: Path, log: Path) -> Usage:
    """Run a program until it exits or reaches the time limit.

    Args:
        command: The program and its arguments.
        folder: Its working and home directory, without files of the user.
        output: The file for its output.
        log: The file for its errors.
    """
    variables = {
        "DLT_DATA_DIR": str(folder / "dlt"),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
        "PATH": os.environ.get("PATH", os.defpath),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    with output.open("wb") as stdout, log.open("wb") as stderr:
        begin = time.perf_counter()
        with started(
            command, folder, variables, stdout=stdout, stderr=stderr
        ) as process:
            timer = threading.Timer(LIMIT, kill, [process])
            timer.start()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Usage(seconds, cpu_seconds, usage.ru_maxrss * KIB, process.returncode)
