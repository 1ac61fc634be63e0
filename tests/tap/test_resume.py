"""Killed, interrupted and resumed: nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity.records import timestamps
from tests.helpers.commands import TAP, write
from tests.helpers.events import ids
from tests.helpers.running import bookmark, config_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.running import Message


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    with Sandbox(Dataset(records=30_000, distribution="even")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Sandbox:
    """Serve several windows, without delay."""
    served.state.options = replace(served.state.options, latency_seconds=0)
    return served


def whole_lines(output: bytes) -> list[Message]:
    """Read what a target would have read before its input ended."""
    return [json.loads(line) for line in output.split(b"\n")[:-1]]


def killed(
    config: Path,
    state: Path | None,
    lines: int,
    number: signal.Signals,
    *,
    unbuffered: str = "",
) -> tuple[list[Message], int, float]:
    """Run the tap, end it after some lines, and give what it wrote.

    Returns:
        The messages, the exit code, and how many seconds it took to end.
    """
    command = [TAP, "--config", str(config)]
    if state:
        command += ["--state", str(state)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    ) as tap:
        assert tap.stdout is not None
        assert tap.stderr is not None
        read = b"".join(tap.stdout.readline() for _ in range(lines))
        tap.send_signal(number)
        sent = time.monotonic()
        read += tap.stdout.read()
        assert number == signal.SIGKILL or read.endswith(b"\n")
        code = tap.wait(timeout=20)
        return whole_lines(read), code, time.monotonic() - sent


@pytest.mark.timeout(300)
def test_killed_again_and_again_and_resumed(tmp_path: Path, sandbox: Sandbox) -> None:
    rng = random.Random(7)
    seen: Counter[str] = Counter()
    state: Path | None = None
    config = write(tmp_path / "config", config_for(sandbox, lookback_seconds=0))
    code, kills = 1, 0
    for kills in range(40):  # noqa: B007, counted for what follows
        messages, code, _ = killed(
            config, state, rng.randrange(1, 15_000), signal.SIGKILL
        )
        seen.update(m["record"]["id"] for m in messages if m["type"] == "RECORD")
        for message in messages:
            if message["type"] == "STATE":
                state = write(tmp_path / "state", message["value"])
        if code == 0:
            break
    assert code == 0, "the sync makes no progress between kills"
    assert kills > 1
    assert seen.keys() == set(ids(map(json.loads, sandbox.store.bodies())))
    # A kill costs one window at most, of less than 11,000 records.
    assert seen.total() - len(seen) <= kills * 11_000


@pytest.mark.parametrize(
    ("number", "concurrency", "unbuffered"),
    [
        (signal.SIGINT, 1, ""),
        (signal.SIGINT, 4, "1"),
        (signal.SIGTERM, 1, "1"),
        (signal.SIGTERM, 4, ""),
        (signal.SIGHUP, 1, "1"),
        (signal.SIGHUP, 4, ""),
    ],
)
def test_signals_end_a_sync_promptly(
    tmp_path: Path,
    sandbox: Sandbox,
    number: signal.Signals,
    concurrency: int,
    unbuffered: str,
) -> None:
    sandbox.state.options = replace(sandbox.state.options, latency_seconds=0.02)
    config = write(tmp_path / "config", config_for(sandbox, concurrency=concurrency))
    messages, code, seconds = killed(config, None, 5, number, unbuffered=unbuffered)
    assert code == 128 + number
    assert seconds < 5
    assert last_bookmark_is_true(messages)


def test_a_signal_ends_a_wait_for_the_server(tmp_path: Path) -> None:
    with Sandbox(Dataset(records=30)) as sandbox:
        sandbox.state.options = replace(sandbox.state.options, latency_seconds=60)
        config = write(tmp_path / "config", config_for(sandbox))
        messages, code, seconds = killed(config, None, 1, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert seconds < 5
    assert [m["type"] for m in messages] == ["SCHEMA"]


def last_bookmark_is_true(messages: list[Message]) -> bool:
    """Tell whether all up to the last bookmark was emitted before it."""
    last: Any = None
    reached = 0
    for message in messages:
        if message["type"] == "RECORD":
            reached = max(reached, timestamps.parse(message["record"]["timestamp"]))
        elif message["type"] == "STATE":
            last = bookmark(message["value"])
            if last and timestamps.parse(last) > reached:
                return False
    return True


def test_a_state_follows_each_window(tmp_path: Path, sandbox: Sandbox) -> None:
    config = write(tmp_path / "config", config_for(sandbox))
    done = subprocess.run(
        [TAP, "--config", str(config)], capture_output=True, check=True, timeout=60
    )
    messages = whole_lines(done.stdout)
    marks = [
        place
        for place, message in enumerate(messages)
        if message["type"] == "STATE" and bookmark(message["value"])
    ]
    assert len(marks) >= 3
    assert last_bookmark_is_true(messages)
    gaps = [after - before for before, after in zip([0, *marks], marks, strict=False)]
    assert max(gaps) <= 10_500


def test_shards_are_disjoint_and_make_up_the_whole(tmp_path: Path) -> None:
    data = list(Dataset(records=3_000))
    times = sorted(str(item["timestamp"])[:10] for item in data)
    cuts = ["2000-01-01", times[800], times[1200], times[2500], "2100-01-01"]
    found: list[str] = []
    with Sandbox(data) as sandbox:
        for start, end in pairwise(cuts):
            config = config_for(sandbox, start_date=start, end_date=end)
            done = subprocess.run(
                [TAP, "--config", str(write(tmp_path / "config", config))],
                capture_output=True,
                check=True,
                timeout=60,
            )
            shard = [m for m in whole_lines(done.stdout) if m["type"] == "RECORD"]
            found += [message["record"]["id"] for message in shard]
    assert Counter(found) == Counter(ids(data))
