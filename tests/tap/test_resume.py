"""Killed, interrupted and resumed: nothing is lost."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity.text import timestamps
from tests.helpers.commands import TAP, messages, write
from tests.helpers.events import ids
from tests.helpers.running import bookmark, config_for, last_state, records, sync


@pytest.fixture(scope="module")
def served():
    """Serve two full windows and a third."""
    with Sandbox(Dataset(records=22_000, distribution="even")) as sandbox:
        yield sandbox


def killed(number, lines, *options, unbuffered=""):
    """Send a signal after some lines; return the whole lines and the exit code."""
    with subprocess.Popen(
        [TAP, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    ) as tap:
        assert tap.stdout
        read = b"".join(tap.stdout.readline() for _ in range(lines))
        tap.send_signal(number)
        sent = time.monotonic()
        read += tap.stdout.read()
        code = tap.wait(timeout=20)
    assert time.monotonic() - sent < 5
    whole, newline, rest = read.rpartition(b"\n")
    assert number == signal.SIGKILL or rest == b""
    return messages((whole + newline).decode()), code


def bookmarks(found):
    """Return the bookmarks, each of which all events up to it have to precede."""
    result = []
    reached = 0
    for message in found:
        if message["type"] == "RECORD":
            reached = max(reached, timestamps.parse(message["record"]["timestamp"]))
        elif message["type"] == "STATE" and (value := bookmark(message["value"])):
            assert timestamps.parse(value) <= reached
            result.append(value)
    return result


def test_killed_again_and_again_and_resumed(tmp_path, served):
    config = write(tmp_path / "config", config_for(served, lookback_seconds=0))
    state = write(tmp_path / "state", {})
    options = ["--config", config, "--state", state]
    found = []
    for lines in (500, 12_000, 11_000):
        some, code = killed(signal.SIGKILL, lines, *options)
        assert code == -signal.SIGKILL
        found += some
        if bookmarks(found):
            write(state, last_state(found))
    found += messages(subprocess.check_output([TAP, *options], text=True))
    emitted = [record["id"] for record in records(found)]
    assert set(emitted) == set(ids(map(json.loads, served.store.bodies())))
    # A kill costs what was emitted of one window: these were killed early in one.
    assert len(emitted) < 22_000 + 4_000


@pytest.mark.parametrize(
    ("number", "concurrency", "unbuffered"),
    [(signal.SIGINT, 1, ""), (signal.SIGTERM, 4, ""), (signal.SIGHUP, 4, "1")],
)
def test_signals_end_a_sync_promptly(tmp_path, served, number, concurrency, unbuffered):
    config = write(tmp_path / "config", config_for(served, concurrency=concurrency))
    found, code = killed(number, 12_000, "--config", config, unbuffered=unbuffered)
    assert code == 128 + number
    assert bookmarks(found)


def test_a_signal_ends_a_wait_for_the_server(tmp_path):
    with Sandbox(Dataset(records=30)) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, latency_seconds=60)
        config = write(tmp_path / "config", config_for(sandbox))
        found, code = killed(signal.SIGTERM, 1, "--config", config)
    assert code == 128 + signal.SIGTERM
    assert [m["type"] for m in found] == ["SCHEMA"]


def test_a_state_follows_each_window(served):
    found = sync(config_for(served))
    assert len(bookmarks(found)) >= 3
    states = [0, *(n for n, m in enumerate(found) if m["type"] == "STATE")]
    assert max(after - before for before, after in pairwise(states)) <= 10_500


def test_shards_are_disjoint_and_make_up_the_whole():
    data = list(Dataset(records=3_000))
    times = sorted(str(item["timestamp"])[:10] for item in data)
    cuts = ["2000-01-01", times[800], times[1200], times[2500], "2100-01-01"]
    found = []
    with Sandbox(data) as sandbox:
        for start, end in pairwise(cuts):
            found += sync(config_for(sandbox, start_date=start, end_date=end))
    emitted = [record["id"] for record in records(found)]
    assert Counter(emitted) == Counter(ids(data))
