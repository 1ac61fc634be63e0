"""The parts of the benchmark that can be wrong without anyone noticing."""

from __future__ import annotations

import gzip
import json
import re
import sys
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks import report, running
from benchmarks.digest import (
    FORMS,
    Digest,
    digest,
    singer,
    singer_batches,
    singer_flattened,
)
from benchmarks.environments import requirements
from benchmarks.measuring import Row, Sample, Table, difference, largest_offset
from benchmarks.programs import MODES, PRESENT, START_DATE
from benchmarks.scenarios import EIGHT, SCENARIOS, Data
from benchmarks.targets import TAP, targets
from harness.sandboxes import serve
from sandbox.instants import SHAPES
from sandbox.timestamps import from_record, from_rfc3339
from tests.helpers.running import config_for, records, sync

SDK_PIN = re.compile(r"singer-sdk(?:\[\w+\])?==(.*)")


def sample(seconds=1.0, **fields):
    found = Sample(seconds, seconds / 2, 50_000_000, 100, 9500, None)
    return found._replace(**fields)


def table(name, seconds=None, **fields):
    """A table in which each case took what `seconds` says, or else one second."""
    scenario = next(one for one in SCENARIOS if one.name == name)
    rows = [
        Row(case, [sample((seconds or {}).get(case.name, 1.0), **fields)])
        for case in scenario.cases
    ]
    return Table(scenario, rows)


def test_the_digest_is_that_of_the_tap(sandbox):
    messages = sync(config_for(sandbox))
    sent = [json.loads(body) for body in sandbox.store.bodies()]
    assert digest(records(messages)) == digest(sent)._replace(ids=len(sent))


@pytest.mark.parametrize(
    "change",
    [
        {"action": "x"},
        {"count": 10},
        {"actor": None},
        {"details": {"message": "x"}},
        {"timestamp": "2025-11-21 16:26:40.139210001 +0000 UTC"},
        {"lastOccurredTimestamp": ""},
    ],
)
def test_the_digest_sees_every_change(sample, change):
    assert digest([sample]).digest != digest([{**sample, **change}]).digest


def test_the_digest_sees_what_is_there_twice_or_missing_and_no_order(sample):
    other = {**sample, "action": "other"}
    kinds: list[list[dict[str, Any]]] = [
        [],
        [sample],
        [sample] * 2,
        [other] * 2,
        [sample, other],
    ]
    assert len({digest(items).digest for items in kinds}) == 5
    assert digest([sample, other]) == digest([other, sample])


def test_how_records_are_read(tmp_path, sample):
    path, batch = tmp_path / "messages", tmp_path / "batch.gz"
    with gzip.open(batch, "wt") as lines:
        lines.write(json.dumps(sample) + "\n" + json.dumps(sample))
    flat = {"object__id__name": "a", "object__id": None, "actor__ip": None}
    for read, message, expected in (
        (singer, {"type": "RECORD", "record": sample}, [sample]),
        (
            singer_flattened,
            {"type": "RECORD", "record": flat},
            [{"object": {"id": {"name": "a"}}}],
        ),
        (
            singer_batches,
            {"type": "BATCH", "manifest": [f"file://{batch}"]},
            [sample, sample],
        ),
    ):
        path.write_text(f'{{"type":"STATE"}}\n{json.dumps(message)}\n')
        assert [*read(path)] == expected


def test_forms(sample):
    item = {**sample, "actor": {"id": "a", "ip": "203.0.113.7"}}
    plain, patch, hashed = (
        FORMS[form](item) for form in ("plain", "without-patch", "hashed-ip")
    )
    assert plain == item
    assert patch == {**item, "details": {**item["details"], "patch": None}}
    assert len(hashed["actor"]["ip"]) == 64
    nothing = {**item, "actor": None, "details": None}
    assert all(form(nothing) == nothing for form in FORMS.values())
    assert {mode.form for mode in MODES} == {*FORMS}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (Digest(2, None, "a"), None),
        (Digest(2, 2, "a"), None),
        (Digest(1, None, "a"), "1 of 2 events"),
        (Digest(2, 1, "a"), "1 ids for 2 events"),
        (Digest(2, 2, "b"), "other events"),
    ],
)
def test_difference(found, problem):
    assert difference(found, Digest(2, None, "a")) == problem


@pytest.mark.parametrize(
    "data",
    [
        *(Data(30, name) for name in SHAPES),
        Data(30, "clustered", unknown_members=True, patch_bytes=2000),
    ],
)
def test_the_server_has_the_data(data):
    with serve(*data.options()) as server:
        served = server.ask("GET", "/sandbox/events")
    assert served == [*data.dataset()]
    assert min(from_record(one["timestamp"]) for one in served) >= from_rfc3339(
        START_DATE
    )


def test_largest_offset():
    year = "startTime=2025-01-01T00:00:00Z&filters.endTime=2026-01-01T00:00:00Z"
    second = "startTime=2024-12-31T23:59:59.999Z&filters.endTime=2025-01-01T00:00:01Z"
    asked = [
        f"filters.{query}"
        for query in (
            "limit=10",
            "limit=10&filters.offset=20",
            f"{year}&filters.limit=10&filters.offset=30",
            f"{year}&filters.limit=1&filters.offset=40",
            f"{second}&filters.limit=10&filters.offset=50",
        )
    ]
    found = [largest_offset([query]) for query in asked]
    assert found == [0, 20, 30, 0, 0]
    assert (largest_offset([]), largest_offset(asked)) == (0, 30)


def run(tmp_path, script):
    command = [sys.executable, "-c", script]
    return running.run(command, tmp_path, tmp_path / "output", tmp_path / "log")


def test_usage_counts_what_a_program_starts(tmp_path):
    burn = "from time import process_time as t\\nwhile t() < .3: pass"
    command = f"[sys.executable, '-c', '{burn}']"
    usage = run(tmp_path, f"import subprocess, sys; subprocess.run({command})")
    assert usage.code == 0
    assert usage.seconds > usage.cpu_seconds - 0.1 > 0.2
    assert usage.peak_rss > 1_000_000


def test_a_failure_and_the_time_limit(tmp_path, monkeypatch):
    assert run(tmp_path, "import sys; sys.exit('why')").code == 1
    assert (tmp_path / "log").read_text() == "why\n"
    monkeypatch.setattr(running, "LIMIT", 0.2)
    usage = run(tmp_path, "import time; time.sleep(60)")
    assert usage.code == -9
    assert usage.seconds < 20


def test_nothing_of_the_user_s_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TAP_AKUITY_PAGE_SIZE", "1")
    run(tmp_path, "import os; print(os.environ.get('TAP_AKUITY_PAGE_SIZE'))")
    assert (tmp_path / "output").read_text() == "None\n"


def test_environments():
    used = {case.program.environment for one in SCENARIOS for case in one.cases}
    assert all("==" in requirements(name) for name in used)
    pins = [SDK_PIN.findall(requirements(name)) for name in PRESENT]
    assert len(pins[0]) == 1
    assert pins[0] == pins[1]


def test_names():
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)
    for one in SCENARIOS:
        assert len({case.name for case in one.cases}) == len(one.cases)


def test_smoke(capsys, monkeypatch):
    assert program.main(["--smoke", "modes"]) == 0
    text = capsys.readouterr().out
    (scenario,) = (one for one in SCENARIOS if one.name == "modes")
    assert all(f"| {case.name} " in text for case in scenario.cases)
    monkeypatch.setattr(
        "benchmarks.measuring._truth", lambda *_: Digest(250, None, "other")
    )
    assert program.main(["--smoke", "unknown-members"]) == 1
    assert "other events" in capsys.readouterr().out


def test_ratios_are_of_the_same_round():
    case = SCENARIOS[0].cases[0]
    ours = Row(case, [sample(1), sample(5), sample(2, peak_rss=70_000_000)])
    theirs = Row(case, [sample(4), sample(5, problem="other events"), sample(4)])
    assert (ours.median("seconds"), ours.worst("peak_rss")) == (2, 70_000_000)
    # 4/1, 5/5 and 4/2.
    assert theirs.ratio("seconds", ours) == 2
    assert (ours.problem, theirs.problem) == (None, "other events")


def test_results():
    tables = [table(one.name, {"tap-akuity --version": 0.1}) for one in SCENARIOS]
    found = targets(tables)
    assert len({one.what for one in found}) == len(found) > 40
    tables[0] = table(tables[0].scenario.name, problem="3 of 4 events")
    text = report.markdown(tables, found, {"dlt": "dlt 1"})
    assert text.count("\n## ") == 1 + len(SCENARIOS)
    assert re.search(r"\| tap-akuity .*\| 3 of 4 events +\|", text)
    assert re.search(r"\| dlt +\| dlt 1 +\|", text)
    assert "**missed**" in text


@pytest.mark.parametrize(
    ("name", "seconds", "fields", "met"),
    [
        ("latency", {"SDK default": 9.0, EIGHT.name: 1.2}, {}, [True, False]),
        ("nothing-new", {TAP: 1.2}, {"requests": 1}, [True, False]),
        ("nothing-new", {}, {"requests": 2}, [False, True]),
        ("unknown-members", {"tap-akuity: unknown members": 1.06}, {}, [False]),
        ("unknown-members", {"tap-akuity: unknown members": 1.05}, {}, [True]),
        (
            "requests",
            {},
            {"requests": 116, "max_offset": 11_001},
            [True, False, False, False] * len(SHAPES),
        ),
        # Start-up does not count.
        (
            "speed-up",
            {"tap-akuity --version": 1.0}
            | {f"tap-akuity, concurrency 8: {one}": 2.0 for one in SHAPES}
            | {f"tap-akuity, concurrency 1: {one}": 7.4 for one in SHAPES},
            {},
            [False] * len(SHAPES),
        ),
    ],
)
def test_targets(name, seconds, fields, met):
    assert [one.met for one in targets([table(name, seconds, **fields)])] == met
