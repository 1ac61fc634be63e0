"""Where the tap's time goes: `python -m benchmarks.profile`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks import BenchmarkError, environments, running
from benchmarks.data import Data
from benchmarks.environments import PROFILING, executable
from benchmarks.measuring import empty_folder
from benchmarks.programs import Job, configuration
from benchmarks.serving import serve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tap under a profiler, on the data of the benchmark.

    Args:
        arguments: Of the command line.

    Returns:
        The exit code of the profiler.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description=__doc__
    )
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, help="the tap's own, if not given")
    parser.add_argument("--latency", type=float, default=0.0, help="in seconds")
    parser.add_argument(
        "--tool",
        choices=TOOLS,
        default="pyinstrument",
        help="of the main thread a tree, or of all threads a table; or imports",
    )
    options = parser.parse_args(arguments)
    settings = {}
    if options.concurrency:
        settings["concurrency"] = options.concurrency
    try:
        environments.build(PROFILING)
        data = Data(options.records, "organization")
        with serve(data, latency=options.latency) as server, empty_folder() as folder:
            job = Job(folder, server, options.page_size)
            config = configuration(job, **settings)
            return TOOLS[options.tool](folder, ["--config", config])
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _pyinstrument(folder: Path, arguments: list[str]) -> int:
    command = [executable(PROFILING, "pyinstrument"), "--interval=0.0005"]
    command += ["--renderer=text", "--outfile", str(folder / "profile")]
    code = _run(folder, [*command, "-m", "tap_akuity", *arguments])
    if code == 0:
        sys.stdout.write((folder / "profile").read_text(encoding="utf-8"))
    return code


def _pyspy(folder: Path, arguments: list[str]) -> int:
    command = [executable(PROFILING, "py-spy"), "record", "--function"]
    command += ["--rate=500", "--format=raw", "--output", str(folder / "profile")]
    tap = executable(PROFILING, "tap-akuity")
    code = _run(folder, [*command, "--", tap, *arguments])
    if code == 0:
        stacks = (folder / "profile").read_text(encoding="utf-8")
        sys.stdout.write(table(stacks.splitlines()))
    return code


def _importtime(folder: Path, arguments: list[str]) -> int:
    command = [executable(PROFILING, "python"), "-X", "importtime", "-m", "tap_akuity"]
    code = _run(folder, [*command, *arguments])
    lines = (folder / "log").read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if line.startswith("import time:")]
    sys.stdout.write("\n".join(slowest(imports)) + "\n")
    return code


TOOLS = {
    "pyinstrument": _pyinstrument,
    "py-spy": _pyspy,
    "importtime": _importtime,
}
SHOWN = 40


def _run(folder: Path, command: list[str]) -> int:
    with (folder / "output").open("wb") as output, (folder / "log").open("wb") as log:
        # No shell, and nothing from outside in the command.
        done = subprocess.run(  # noqa: S603
            command,
            cwd=folder,
            env=running.environment(folder),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
        )
    if done.returncode != 0:
        sys.stderr.write((folder / "log").read_text(encoding="utf-8"))
    return done.returncode


def table(stacks: Sequence[str]) -> str:
    """Add up samples by function.

    Args:
        stacks: Lines such as `main (a.py:1);work (b.py:2) 17`.

    Returns:
        A table: the share of samples in a function, and in it or what it called.
    """
    own: dict[str, int] = {}
    below: dict[str, int] = {}
    total = 0
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        samples = int(count)
        total += samples
        frames = stack.split(";")
        own[frames[-1]] = own.get(frames[-1], 0) + samples
        for frame in dict.fromkeys(frames):
            below[frame] = below.get(frame, 0) + samples
    names = sorted(own, key=lambda name: own[name], reverse=True)[:SHOWN]
    rows = [
        f"{own[name] / total:6.1%} {below[name] / total:6.1%}  {name}" for name in names
    ]
    return "\n".join(["   own  total  function", *rows, ""])


def slowest(imports: Sequence[str]) -> list[str]:
    """Pick the imports that took longest, with all that they imported."""
    heading, *lines = imports
    lines.sort(key=lambda line: int(line.split("|")[1]), reverse=True)
    return [heading, *lines[:SHOWN]]


if __name__ == "__main__":
    sys.exit(main())
