"""Runs a program, and measures its time, its memory and its requests."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from scripts import CommandError
from scripts.processes import started

LIMIT = 900.0  # seconds

# Runs a command from a small process: Linux counts the memory of the parent, too.
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


class Sample(NamedTuple):
    """One run of a program and its children, and what is wrong with it, if anything."""

    seconds: float
    cpu_seconds: float
    peak_rss: int
    """Of the largest process, in bytes."""

    requests: int = 0
    problem: str = ""


class Runs(NamedTuple):
    """All runs of a case."""

    case: Any
    samples: list[Sample]

    @property
    def problem(self) -> str:
        """The limit that is exceeded, or the first problem of a run, if any."""
        requests, megabytes = self.worst("requests"), self.worst("peak_rss") / 1e6
        if (most := self.case.most_requests) is not None and requests > most:
            return f"more than {most:,} requests"
        if (most := self.case.most_megabytes) is not None and megabytes > most:
            return f"more than {most:,} MB"
        return next((one.problem for one in self.samples if one.problem), "")

    def median(self, field: str) -> float:
        """Return the median of a field."""
        return float(median(getattr(sample, field) for sample in self.samples))

    def worst(self, field: str) -> int:
        """Return the maximum of a field."""
        return int(max(getattr(sample, field) for sample in self.samples))

    def ratio(self, field: str, other: "Runs") -> float:
        """Return the median of the ratios to another case, in rounds with both."""
        pairs = zip(self.samples, other.samples, strict=False)
        return float(median(getattr(a, field) / getattr(b, field) for a, b in pairs))


def run(command: Sequence[str], folder: Path) -> Sample:
    """Run a program at home in a folder, without files and variables of the user.

    Its output goes into the file `output` there, and its errors into `log`.
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
    return Sample(*json.loads(usage.read_bytes()))
