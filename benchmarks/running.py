"""Runs a program, and measures its time and memory."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts import CommandError
from scripts.processes import started

LIMIT = 900.0
"""The time limit of a program, in seconds."""

_MEASURE = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
code = subprocess.call(sys.argv[2:])
seconds = time.perf_counter() - begin
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024], file)
sys.exit(code)
"""
"""Runs a command from a small process: Linux counts the memory of the parent, too."""


class Usage(NamedTuple):
    """The time and memory of a program and its children."""

    seconds: float
    cpu_seconds: float
    peak_rss: int
    """Of the largest process, in bytes."""


def run(command: Sequence[str], folder: Path) -> Usage:
    """Run a program at home in a folder, without files and variables of the user.

    Its output goes into the file `output` there, and its errors into `log`.

    Raises:
        CommandError: The program failed, or reached the time limit.
    """
    variables = {
        "DLT_DATA_DIR": str(folder / "dlt"),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
        "PATH": os.environ.get("PATH", os.defpath),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "TMPDIR": str(folder),
    }
    usage, log = folder / "usage", folder / "log"
    measured = [sys.executable, "-IS", "-c", _MEASURE, str(usage), *command]
    with (
        (folder / "output").open("wb") as stdout,
        log.open("wb") as stderr,
        started(measured, folder, variables, stdout=stdout, stderr=stderr) as process,
    ):
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            message = f"{command[0]} took over {LIMIT:g} seconds."
            raise CommandError(message) from None
    if code:
        end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        message = f"{command[0]} failed with exit code {code}:\n{end}"
        raise CommandError(message)
    return Usage(*json.loads(usage.read_bytes()))
