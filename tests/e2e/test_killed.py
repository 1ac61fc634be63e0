"""Signals at any moment: the exit code says so, and nothing is lost."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random

import certifi
import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tests.helpers.catalogs import CONFIG
from tests.helpers.commands import TAP, messages, write
from tests.helpers.events import ids
from tests.helpers.running import bookmark, config_for

COUNT = int(os.environ.get("TAP_SIGNALS", "6"))
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]


@pytest.fixture
def served(certificate):
    """Serve two full windows and a third over TLS."""
    data = Dataset(records=22_000, distribution="even")
    with Sandbox(data, ssl_certfile=str(certificate)) as sandbox:
        yield sandbox


def interrupt(seconds, number, command, **environment):
    """Run a command, and send it a signal after a while."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
        text=True,
    ) as tap:
        timer = threading.Timer(seconds, tap.send_signal, [number])
        timer.start()
        output, log = tap.communicate(timeout=60)
        timer.cancel()
    return subprocess.CompletedProcess(command, tap.returncode, output, log)


def check(ended, number):
    """Check how a command ended after a signal, and return its messages and states."""
    whole, newline, rest = ended.stdout.rpartition("\n")
    found = messages(whole + newline)
    states = [message["value"] for message in found if message["type"] == "STATE"]
    assert all(bookmark(state) for state in states)
    if number == signal.SIGKILL:
        assert ended.returncode in {0, -number}
        return found, states
    assert rest == ""
    if ended.returncode == -number:  # Before the first line of the tap was run.
        assert not found
    elif ended.returncode:
        assert ended.returncode == 128 + number, ended.stderr
        assert ended.stderr.splitlines()[-1].endswith(
            f"Interrupted by {number.name}: the next run resumes from the last state."
        )
    return found, states


@pytest.mark.timeout(60 + 10 * COUNT)
def test_a_signal_at_any_moment_loses_nothing(tmp_path, served, bundle):
    settings = {"page_size": 1000, "concurrency": 4, "lookback_seconds": 0}
    config = write(tmp_path / "config", config_for(served, **settings))
    state, authorities = tmp_path / "state", tmp_path / "ca.pem"
    # As many as usual, because loading them takes its time.
    authorities.write_text(bundle.read_text() + Path(certifi.where()).read_text())
    whole = set(ids(map(json.loads, served.store.bodies())))
    random, duration = Random(COUNT), math.inf
    codes: Counter[int] = Counter()
    found: set[str] = set()
    while codes.total() - codes[0] < COUNT or found:
        is_sent = codes.total() and codes.total() - codes[0] < COUNT
        # What is left takes the time of the start, and as much more as is left.
        left = 1 - len(found) / len(whole)
        seconds = random.uniform(0, duration * (0.4 + 0.6 * left)) if is_sent else 60
        number, began = random.choice(SIGNALS), time.monotonic()
        resumed = ["--state", state] if state.exists() else []
        command = [TAP, "--config", config, *resumed]
        environment = {"PYTHONUNBUFFERED": random.choice(["", "1"])}
        environment["REQUESTS_CA_BUNDLE"] = str(authorities)
        ended = interrupt(seconds, number, command, **environment)
        said, states = check(ended, number)
        for kept in states[-1:]:
            write(state, kept)
        found |= {message["record"]["id"] for message in said if "record" in message}
        codes[ended.returncode] += 1
        if not ended.returncode:
            if not resumed:
                duration = min(duration, time.monotonic() - began)
            assert found == whole
            found.clear()
            state.unlink()
    print(f"{dict(codes)}, a run takes {duration:.1f} seconds")  # noqa: T201


# Sends a signal as soon as the SDK has its own handlers.
EARLY = """
import atexit, os, sys
from singer_sdk.plugin_base import PluginBase
def end(tap, set_up=PluginBase._setup_signal_handlers):
    set_up(tap)
    os.kill(os.getpid(), number)
PluginBase._setup_signal_handlers = end
number = int(sys.argv.pop(1))
atexit.register(os.write, 2, b"cleaned up")
"""
MAIN = "from tap_akuity.__main__ import main; main()"
CLI = "from tap_akuity.tap import TapAkuity; TapAkuity.cli()"


def run(program, number, config):
    command = [sys.executable, "-c", EARLY + program, str(int(number))]
    return interrupt(60, number, [*command, "--config", config])


@pytest.mark.parametrize("program", [MAIN, CLI])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_no_state_is_written_at_the_start(tmp_path, program, number):
    ended = run(program, number, write(tmp_path / "config", CONFIG))
    assert (ended.returncode, ended.stdout) == (128 + number, "")
    # Threads may be in OpenSSL, so the interpreter must not clean up.
    assert ("cleaned up" in ended.stderr) == (program == CLI)


def test_an_error_does_not_wait_for_the_interpreter_either(tmp_path):
    ended = run(MAIN, signal.SIGKILL, write(tmp_path / "config", {}))
    assert ended.returncode == 1
    assert "`api_key_secret` is missing" in ended.stderr
    assert "cleaned up" not in ended.stderr
