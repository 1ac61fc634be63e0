"""Running the command, and reading what it wrote."""

import importlib
import json
import multiprocessing
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from unittest import mock

from scripts.processes import inherited

BIN = Path(sys.executable).parent
TAP = str(BIN / "tap-akuity")

# Starts each command from a process that has already imported the SDK, which takes far
# longer than all else.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["singer_sdk"])


def _main(arguments, environment, folder, files, max_events):
    for number, path in enumerate(files, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(folder)
    # Commands run without the mutants of `make mutants`, which need mutmut around them.
    sys.path[:] = [path.removesuffix("/mutants") for path in sys.path]
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[1:] = arguments
    if max_events:
        streams: Any = importlib.import_module("tap_akuity.streams")
        streams.Limits = partial(streams.Limits, max_events=max_events, slack=0)
    importlib.import_module("tap_akuity.__main__").main()


def start(*arguments, files, max_events=None, **environment):
    """Start the command with files for stdout and stderr, and return the process.

    With smaller windows than usual, fewer events are enough for many.
    """
    environment = inherited("TAP_AKUITY") | environment
    given = [*map(str, arguments)], environment, Path.cwd(), files, max_events
    process = _context.Process(target=_main, args=given, daemon=True)
    # It need not import the program that runs the tests.
    hidden = {"__file__": None, "__spec__": None}
    with mock.patch.dict(vars(sys.modules["__main__"]), hidden):
        process.start()
    return process


def run(*arguments, one_file=False, **environment):
    """Run the command to its end, with stdout and stderr in one file if asked to."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("out", "out" if one_file else "err")]
        process = start(*arguments, files=files, **environment)
        process.join(60)
        assert process.exitcode is not None
        texts = (path.read_text(encoding="utf-8") for path in files)
        return CompletedProcess(arguments, process.exitcode, *texts)


def write(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def messages(output):
    return [json.loads(line) for line in output.splitlines()]


def last_line(result):
    return result.stderr.splitlines()[-1].split(" | ", 3)[-1]
