"""Runs programs, and tells what they took."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

KIB = 1024


class Usage(NamedTuple):
    """What a pipeline took."""

    seconds: float
    """From the start of the first program to the end of the last."""

    cpu_seconds: float
    """User and system, of all programs and what they started."""

    peak_rss: int
    """Bytes; the peaks of several programs added up."""

    finished: bool
    """Whether it was done before the time limit."""

    code: int
    """The exit code, of the first program that failed if one did."""


def own_peak_rss() -> int:
    """Tell the peak memory of this process, in bytes.

    It is the floor of what can be measured: Linux counts the memory of the process that
    starts a program as the program's own, until the program is loaded. So nothing big
    is imported here, nor kept in memory.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def run(  # noqa: PLR0913 - named, and each has to come from somewhere
    pipeline: Sequence[Sequence[str]],
    *,
    folder: Path,
    stdin: Path | None,
    output: Path,
    log: Path,
    limit: float,
) -> Usage:
    """Run programs, each writing to the next, to their end or the time limit.

    Args:
        pipeline: The commands.
        folder: To work in; also their home.
        stdin: What the first one reads.
        output: What the last one writes.
        log: Where all write their errors.
        limit: In seconds.

    Returns:
        What they took.
    """
    processes: list[subprocess.Popen[bytes]] = []
    late = threading.Event()

    def stop() -> None:
        late.set()
        for process in processes:
            kill(process)

    timer = threading.Timer(limit, stop)
    timer.daemon = True
    with (
        log.open("wb") as errors,
        output.open("wb") as last,
        (stdin or Path(os.devnull)).open("rb") as first,
    ):
        source = os.dup(first.fileno())
        started = time.perf_counter()
        try:
            for number, command in enumerate(pipeline, 1):
                after, sink = os.pipe()
                # No shell, and nothing from outside in the commands.
                process = subprocess.Popen(  # noqa: S603
                    command,
                    cwd=folder,
                    env=environment(folder),
                    stdin=source,
                    stdout=last if number == len(pipeline) else sink,
                    stderr=errors,
                    start_new_session=True,
                )
                processes.append(process)
                # Or a program would not notice that the one beside it ends.
                os.close(sink)
                os.close(source)
                source = after
            timer.start()
            usages = [_wait(process) for process in processes]
            seconds = time.perf_counter() - started
        finally:
            os.close(source)
            timer.cancel()
            for process in processes:
                kill(process)
    codes = [process.returncode for process in processes]
    return Usage(
        seconds=seconds,
        cpu_seconds=sum(usage.ru_utime + usage.ru_stime for usage in usages),
        peak_rss=sum(usage.ru_maxrss * KIB for usage in usages),
        finished=not late.is_set(),
        code=next((code for code in codes if code != 0), 0),
    )


def environment(folder: Path) -> dict[str, str]:
    """Return the variables for a program: nothing of the user's own."""
    return {
        "DLT_DATA_DIR": str(folder / "dlt"),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
        "PATH": os.environ.get("PATH", os.defpath),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started."""
    # Each was started in a session of its own, and so leads a group of its own.
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _wait(process: subprocess.Popen[bytes]) -> resource.struct_rusage:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage
