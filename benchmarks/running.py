"""Runs programs, and tells what they took."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.processes import kill, started

if TYPE_CHECKING:
    import resource
    import subprocess
    from collections.abc import Sequence
    from pathlib import Path

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


def run(
    pipeline: Sequence[Sequence[str]],
    *,
    folder: Path,
    output: Path,
    log: Path,
    limit: float,
) -> Usage:
    """Run programs, each writing to the next, to their end or the time limit.

    Args:
        pipeline: The commands.
        folder: To work in; also their home.
        output: What the last one writes.
        log: Where all write their errors.
        limit: In seconds.

    Returns:
        What they took.
    """
    processes: list[subprocess.Popen[str]] = []
    late = threading.Event()

    def stop() -> None:
        late.set()
        for process in processes:
            kill(process)

    timer = threading.Timer(limit, stop)
    timer.daemon = True
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(log.open("wb"))
        last = stack.enter_context(output.open("wb"))
        source = os.open(os.devnull, os.O_RDONLY)
        stack.callback(timer.cancel)
        begin = time.perf_counter()
        for number, command in enumerate(pipeline, 1):
            after, sink = os.pipe()
            streams: dict[str, Any] = {
                "stdin": source,
                "stdout": last if number == len(pipeline) else sink,
                "stderr": errors,
            }
            process = started(command, folder, environment(folder), **streams)
            processes.append(stack.enter_context(process))
            # Or a program would not notice that the one beside it ends.
            os.close(sink)
            os.close(source)
            source = after
        os.close(source)
        timer.start()
        usages = [_wait(process) for process in processes]
        seconds = time.perf_counter() - begin
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


def _wait(process: subprocess.Popen[str]) -> resource.struct_rusage:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage
