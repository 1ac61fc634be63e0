"""The parts of the benchmark that can be wrong without anyone noticing."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks import machine, profile, report, running
from benchmarks.data import START_DATE, Data
from benchmarks.digest import MICROSECONDS, Digest, digest, singer
from benchmarks.environments import NAMES, PROFILING, required, requirements
from benchmarks.killing import Killed, read
from benchmarks.measuring import Measured, Sample, difference
from benchmarks.results import Results, from_json, load, merge, tabulate, to_json
from benchmarks.scenarios import (
    EIGHT_AT_A_TIME,
    LATENCY,
    NO_LATENCY,
    NOTHING_NEW,
    SCENARIOS,
)
from benchmarks.serving import largest_offset, serve
from benchmarks.targets import TAP, targets
from sandbox.timestamps import from_record, from_rfc3339
from tests.running import config_for, records, sync

SDK_PIN = re.compile(r"singer-sdk(?:\[\w+\])?==(.*)")
PEERS = Path(__file__).parent.parent / "benchmarks" / "peers"


def scenario(name):
    return next(one for one in SCENARIOS if one.name == name)


def sample(seconds=1.0, **fields):
    found = Sample(seconds, seconds / 2, 50_000_000, 100, 9500, 4, True, None)  # noqa: FBT003
    return found._replace(**fields)


def table(name, seconds, **fields):
    """A table in which each program took what `seconds` says, or else one second."""
    ran = scenario(name)
    measured = [
        Measured(program.name, [sample(seconds.get(program.name, 1.0), **fields)])
        for program in ran.programs
    ]
    return tabulate(ran, measured, "2026-01-02")


def results(*tables, **fields):
    described = {
        "cores": 2,
        "cpu": "a|b",
        "memory_gib": 4,
        "system": "s",
        "python": "3",
    }
    return Results(described, {"dlt": {"dlt": "1"}}, [*tables], **fields)


class TestDigest:
    def test_is_that_of_the_tap(self, sandbox):
        messages = sync(config_for(sandbox))
        sent = [json.loads(body) for body in sandbox.store.bodies()]
        count = len(sandbox.store)
        assert digest(records(messages)) == digest(sent)._replace(ids=count)

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
    def test_sees_every_change(self, sample, change):
        assert digest([sample]).digest != digest([{**sample, **change}]).digest

    def test_sees_what_came_twice_and_what_is_missing(self, sample):
        other = {**sample, "action": "other"}
        digests = {
            digest(items).digest
            for items in ([], [sample], [sample] * 2, [other] * 2, [sample, other])
        }
        assert len(digests) == 5

    def test_does_not_look_at_the_order(self, sample):
        other = {**sample, "action": "other"}
        assert digest([sample, other]) == digest([other, sample])

    def test_does_not_look_at_how_nothing_and_times_are_written(self, sample):
        text = "2025-11-21T16:26:40.139210000Z"
        written = {**sample, "timestamp": text, "lastOccurredTimestamp": text}
        written["details"] = {**sample["details"], "patch": None}
        assert digest([sample]) == digest([written])

    def test_of_microseconds(self, sample):
        finer = {**sample, "timestamp": "2025-11-21 16:26:40.139210001 +0000 UTC"}
        assert digest([sample], MICROSECONDS) == digest([finer], MICROSECONDS)

    def test_of_messages(self, tmp_path, sample):
        path = tmp_path / "messages"
        messages = [{"type": "STATE"}, {"type": "RECORD", "record": sample}]
        path.write_text("".join(json.dumps(message) + "\n" for message in messages))
        assert [*singer(path)] == [sample]

    @pytest.mark.parametrize(
        ("found", "problem"),
        [
            (Digest(2, None, "a"), None),
            (Digest(2, 2, "a"), None),
            (Digest(1, None, "a"), "1 of 2 records"),
            (Digest(2, 1, "a"), "1 ids for 2 records"),
            (Digest(2, 2, "b"), "other records"),
        ],
    )
    def test_difference(self, found, problem):
        assert difference(found, Digest(2, None, "a")) == problem


class TestServer:
    def test_has_the_data(self):
        data = Data(30, "even")
        made = [*data.dataset()]
        assert len(made) == 30
        assert from_record(made[0]["timestamp"]) > from_rfc3339(START_DATE)
        with serve(data) as server:
            assert server.records == 30
            assert server.stats() == (0, 0, 0)

    def test_largest_offset(self):
        year = (
            "filters.startTime=2025-01-01T00:00:00Z"
            "&filters.endTime=2026-01-01T00:00:00Z"
        )
        second = (
            "filters.startTime=2024-12-31T23:59:59.999Z"
            "&filters.endTime=2025-01-01T00:00:01Z"
        )
        assert largest_offset([]) == 0
        assert largest_offset(["filters.limit=10"]) == 0
        assert largest_offset(["filters.limit=10&filters.offset=20"]) == 20
        assert largest_offset([f"{year}&filters.limit=10&filters.offset=30"]) == 30
        assert largest_offset([f"{year}&filters.limit=1&filters.offset=30"]) == 0
        assert largest_offset([f"{second}&filters.limit=10&filters.offset=40"]) == 0


class TestRunning:
    def run(self, tmp_path, *scripts, limit=30.0, stdin=None):
        return running.run(
            [[sys.executable, "-c", script] for script in scripts],
            folder=tmp_path,
            stdin=stdin,
            output=tmp_path / "output",
            log=tmp_path / "log",
            limit=limit,
        )

    def test_a_pipeline(self, tmp_path):
        usage = self.run(
            tmp_path,
            "print('a' * 100_000)",
            "import sys; print(len(sys.stdin.read()))",
        )
        assert (tmp_path / "output").read_text() == "100001\n"
        assert (usage.finished, usage.code) == (True, 0)
        assert usage.cpu_seconds > 0
        assert usage.peak_rss > 1_000_000

    def test_a_file_as_input(self, tmp_path):
        stdin = tmp_path / "in"
        stdin.write_text("here")
        self.run(tmp_path, "print(input())", stdin=stdin)
        assert (tmp_path / "output").read_text() == "here\n"

    def test_counts_what_programs_start(self, tmp_path):
        burn = "from time import process_time as t\\nwhile t() < .3: pass"
        command = f"[sys.executable, '-c', '{burn}']"
        usage = self.run(tmp_path, f"import subprocess, sys; subprocess.run({command})")
        assert usage.cpu_seconds > 0.3

    def test_a_failure_anywhere_in_the_pipeline(self, tmp_path):
        usage = self.run(tmp_path, "import sys; sys.exit('why')", "input")
        assert usage.code == 1
        assert (tmp_path / "log").read_text() == "why\n"

    def test_the_time_limit(self, tmp_path):
        usage = self.run(tmp_path, "import time; time.sleep(60)", "input()", limit=0.2)
        assert not usage.finished
        assert 0.2 <= usage.seconds < 20

    def test_nothing_of_the_user_s_own(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TAP_AKUITY_PAGE_SIZE", "1")
        self.run(tmp_path, "import os; print(os.environ.get('TAP_AKUITY_PAGE_SIZE'))")
        assert (tmp_path / "output").read_text() == "None\n"


class TestKilling:
    def test_reads_what_a_target_would(self, tmp_path):
        path = tmp_path / "output"
        path.write_bytes(
            b'{"type":"SCHEMA"}\n'
            b'{"type":"RECORD","record":{"id":"1"}}\n'
            b'{"type":"STATE","value":{"at":1}}\n'
            b'{"type":"RECORD","record":{"id":"2"}}\n'
            b'{"type":"STATE","value":{"at":2}}'
        )
        assert read(path, None) == (["1", "2"], {"at": 1})

    def test_keeps_the_state_of_the_run_before(self, tmp_path):
        path = tmp_path / "output"
        path.write_bytes(b'{"type":"SCH')
        assert read(path, {"at": 1}) == ([], {"at": 1})


class TestEnvironments:
    def test_have_what_they_need(self):
        for name in (*NAMES, PROFILING):
            assert required(requirements(name).read_text())

    def test_programs_have_an_environment(self):
        programs = [program for one in SCENARIOS for program in one.programs]
        assert {program.environment for program in programs} <= {*NAMES}

    def test_have_the_same_sdk(self):
        pins = [
            SDK_PIN.findall(requirements(name).read_text())
            for name in ("sdk-default", "tap-akuity", PROFILING)
        ]
        assert [len(found) for found in pins] == [1, 1, 1]
        assert pins[0] == pins[1] == pins[2]

    def test_required(self):
        text = "--editable .\nsinger-sdk[msgspec]==1.2\nOrjson==3\n"
        assert required(text) == ["singer-sdk", "orjson"]


def test_the_script_is_short():
    statements = [
        node
        for node in ast.walk(ast.parse((PEERS / "requests_orjson.py").read_text()))
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Import)
    ]
    assert len(statements) <= 17


class TestScenarios:
    def test_have_names_of_their_own(self):
        assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)

    def test_quick(self):
        for one in SCENARIOS:
            quick = one.quick()
            assert quick.data.records * 10 == one.data.records
            assert (quick.rounds, quick.peer_rounds) == (1, 1)


class TestResults:
    def test_are_medians(self):
        ran = scenario(NO_LATENCY)
        measured = [
            Measured("ours", [sample(1), sample(5), sample(2, peak_rss=70_000_000)]),
            Measured("theirs", [sample(4, problem="other records")]),
            Measured("slow", [sample(30, finished=False)]),
        ]
        ours, theirs, slow = tabulate(ran, measured, "2026-01-02").rows
        assert (ours.seconds, ours.ratio, ours.records_per_second) == (2, 1, 50_000)
        assert (ours.peak_rss_mb, ours.rounds) == (70, [1, 5, 2])
        assert (theirs.ratio, theirs.problem) == (2, "other records")
        assert (slow.ratio, slow.records_per_second, slow.finished) == (
            None,
            None,
            False,
        )

    def test_survive_json(self, tmp_path):
        path = tmp_path / "results.json"
        assert load(path) is None
        killed = Killed("2026-01-02", 10, 2, 0, 3)
        before = results(table(NO_LATENCY, {}), killed=killed)
        path.write_text(to_json(before))
        assert from_json(path.read_text()) == before == load(path)
        path.write_text("{}")
        assert load(path) is None

    def test_are_merged(self):
        order = [LATENCY, NO_LATENCY]
        old = results(table(NO_LATENCY, {TAP: 9}), table(LATENCY, {}))
        new = results(table(NO_LATENCY, {}))
        merged = merge(old, new, order)
        assert [one.scenario for one in merged.tables] == order
        assert merged.tables[1].row(TAP).seconds == 1
        assert merge(None, new, order) == new
        elsewhere = old._replace(versions={})
        assert merge(elsewhere, new, order) == new

    def test_as_markdown(self):
        cut_off = table(NO_LATENCY, {}, finished=False, requests=7)
        text = report.markdown(results(cut_off, table(NOTHING_NEW, {})))
        assert "cut off after 7 of 100 pages" in text
        assert "a\\|b" not in text
        assert "| tap-akuity --version" in text
        widths = {len(line) for line in text.splitlines() if line.startswith("| --")}
        assert widths
        assert "Targets" not in report.markdown(results(cut_off), quick=True)

    def test_a_pipe_does_not_break_a_table(self):
        ran = scenario("duckdb")
        measured = [Measured(program.name, [sample()]) for program in ran.programs]
        text = report.scenario(tabulate(ran, measured, "2026-01-02"))
        assert "tap-akuity \\| target-duckdb" in text


class TestTargets:
    def test_reached_and_missed(self):
        latency = {"SDK default": 9.0, EIGHT_AT_A_TIME.name: 1.2}
        latency["tap-akuity, concurrency 1"] = 7.0
        found = targets(results(table(LATENCY, latency)))
        assert [one.met for one in found] == [True, False, False]
        assert found[1].measured == "7.50 times"

    def test_nothing_new(self):
        good, better = targets(results(table(NOTHING_NEW, {TAP: 1.2}, requests=1)))
        assert (good.met, better.met) == (True, True)
        assert not targets(results(table(NOTHING_NEW, {}, requests=2)))[0].met

    def test_killed(self):
        found = targets(results(killed=Killed("2026-01-02", 100, 20, 1, 10_000)))
        assert [one.met for one in found] == [False, True]

    def test_all(self):
        tables = [table(one.name, {}) for one in SCENARIOS]
        assert len(targets(results(*tables))) == 15


def test_cpu_model():
    assert machine.cpu_model("x: 1\nmodel name\t: A  B\nmodel name\t: A B\n") == "A B"
    assert machine.cpu_model("") == ""
    assert machine.describe()["cores"]


class TestProfile:
    def test_table(self):
        text = profile.table(["a;b 30", "a;b;c 60", "a 10"])
        assert [line.split() for line in text.splitlines()[1:]] == [
            ["60.0%", "60.0%", "c"],
            ["30.0%", "90.0%", "b"],
            ["10.0%", "100.0%", "a"],
        ]

    def test_slowest(self):
        lines = ["self | cumulative | name", "1 | 2 | a", "1 | 30 | b"]
        assert profile.slowest(lines) == [lines[0], lines[2], lines[1]]
