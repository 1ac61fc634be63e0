"""Killed, interrupted and resumed: nothing is lost."""

import os
import signal
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity import streams
from tap_akuity.reading.limits import Limits
from tap_akuity.text import timestamps
from tests.helpers.commands import messages, start, write
from tests.helpers.events import ids
from tests.helpers.running import bookmark, config_for, last_state, records, sync

DATA = [*Dataset(records=3_000, distribution="even")]
SMALL = {"max_events": 300, "slack": 0}


@pytest.fixture(scope="module")
def served():
    """Serve ten windows."""
    with Sandbox(DATA) as sandbox:
        yield sandbox


def killed(number, lines, folder, config):
    """Send a signal after some lines; return the whole lines and the exit code."""
    os.mkfifo(folder / "stdout")
    path = write(folder / "config", config)
    files = folder / "stdout", os.devnull
    tap = start("--config", path, files=files, max_events=SMALL["max_events"])
    with (folder / "stdout").open("rb") as stdout:
        read = b"".join(stdout.readline() for _ in range(lines))
        os.kill(tap.pid, number)
        sent = time.monotonic()
        read += stdout.read()
    tap.join(20)
    assert time.monotonic() - sent < 5
    whole, newline, rest = read.rpartition(b"\n")
    assert number == signal.SIGKILL or rest == b""
    return messages((whole + newline).decode()), tap.exitcode


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


@pytest.mark.parametrize(
    ("number", "concurrency"),
    [
        (signal.SIGKILL, 4),
        (signal.SIGINT, 1),
        (signal.SIGTERM, 4),
        (signal.SIGHUP, 4),
    ],
)
def test_a_signal_ends_a_sync_promptly_and_loses_nothing(
    tmp_path, served, number, concurrency
):
    config = config_for(served, concurrency=concurrency, lookback_seconds=0)
    config["page_size"] = 50
    found, code = killed(number, 1_000, tmp_path, config)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert bookmarks(found)
    found += sync(config, last_state(found))
    emitted = [record["id"] for record in records(found)]
    assert set(emitted) == set(ids(DATA))
    # It costs what was emitted of one window.
    assert len(emitted) < len(DATA) + SMALL["max_events"]


def test_a_signal_ends_a_wait_for_the_server(tmp_path):
    with Sandbox(Dataset(records=30)) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, latency_seconds=60)
        found, code = killed(signal.SIGTERM, 1, tmp_path, config_for(sandbox))
    assert code == 128 + signal.SIGTERM
    assert [m["type"] for m in found] == ["SCHEMA"]


def test_a_state_follows_each_window(served, monkeypatch):
    monkeypatch.setattr(streams, "Limits", partial(Limits, **SMALL))
    found = sync(config_for(served, page_size=50))
    assert len(bookmarks(found)) >= 10
    states = [0, *(n for n, m in enumerate(found) if m["type"] == "STATE")]
    assert max(after - before for before, after in pairwise(states)) <= 300 + 1


def test_shards_are_disjoint_and_make_up_the_whole(served):
    times = sorted(str(item["timestamp"])[:10] for item in DATA)
    cuts = ["2000-01-01", times[800], times[1200], times[2500], "2100-01-01"]
    found = []
    for start_date, end_date in pairwise(cuts):
        found += sync(config_for(served, start_date=start_date, end_date=end_date))
    emitted = [record["id"] for record in records(found)]
    assert Counter(emitted) == Counter(ids(DATA))
