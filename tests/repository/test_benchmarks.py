"""The parts of the benchmark that can be wrong without anyone noticing."""

from __future__ import annotations

import ast
import gzip
import json
import re
import sys
from itertools import pairwise

import pytest

from benchmarks import __main__ as program
from benchmarks import distributions, report, running
from benchmarks.data import END_DATE, START_DATE, Data
from benchmarks.digest import (
    FORMS,
    MICROSECONDS,
    Digest,
    digest,
    singer,
    singer_batches,
    singer_flattened,
)
from benchmarks.environments import required, requirements
from benchmarks.killing import Killed, read
from benchmarks.measuring import Row, Sample, Table, difference
from benchmarks.programs import MODES, PRESENT
from benchmarks.scenarios import EIGHT, SCENARIOS, warm_up
from benchmarks.serving import largest_offset, serve, stats
from benchmarks.targets import TAP, lines, targets
from harness import ROOT
from sandbox.timestamps import from_record, from_rfc3339
from tests.helpers.running import config_for, records, sync

SDK_PIN = re.compile(r"singer-sdk(?:\[\w+\])?==(.*)")
PEERS = ROOT / "benchmarks" / "peers"


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


class TestDistributions:
    @pytest.mark.parametrize("name", distributions.NAMES)
    @pytest.mark.parametrize("width", [1, 1_000, 10**9, 3600 * 10**9 + 7, 2 * 10**17])
    @pytest.mark.parametrize("count", [0, 1, 1000])
    def test_sorted_and_in_the_range(self, name, width, count):
        start = 1_700_000_000_123_456_789
        made = distributions.instants(name, count, start, start + width)
        assert made == sorted(made)
        assert len(made) == count
        assert all(start <= instant < start + width for instant in made)
        assert made == distributions.instants(name, count, start, start + width)

    def test_are_what_their_names_say(self):
        start, end = 1_577_836_800 * 10**9, 1_767_225_600 * 10**9
        made = {
            name: distributions.instants(name, 20_000, start, end)
            for name in distributions.NAMES
        }

        def share(name, since, until):
            first, last = (start + int(part * (end - start)) for part in (since, until))
            return sum(first <= one < last for one in made[name]) / 20_000

        assert share("even", 0, 0.1) == 0.1
        assert share("growth", 0.875, 1) == pytest.approx(0.5, abs=0.02)
        assert share("crowded", 0.6, 0.62) == pytest.approx(0.51, abs=0.02)
        assert share("early-start", 0, 0.95) == 0
        nights = made["nights-and-weekends"]
        weekend = [one for one in nights if (one // 86400_000_000_000 + 3) % 7 >= 5]
        assert len(weekend) / 20_000 < 0.03
        bursts = made["bursts"]
        near = [b - a < 10**9 for a, b in pairwise(bursts)]
        assert sum(near) / 20_000 > 0.9


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

    def test_of_flattened_records(self, tmp_path, sample):
        flat = {
            "timestamp": sample["timestamp"],
            "object__id__name": "a",
            "object__id": None,
            "actor__ip": None,
        }
        path = tmp_path / "messages"
        path.write_text(json.dumps({"type": "RECORD", "record": flat}))
        nested = {"timestamp": flat["timestamp"], "object": {"id": {"name": "a"}}}
        assert [*singer_flattened(path)] == [nested]

    def test_of_batches(self, tmp_path, sample):
        batch = tmp_path / "batch.gz"
        with gzip.open(batch, "wt") as lines:
            lines.write(json.dumps(sample) + "\n" + json.dumps(sample))
        path = tmp_path / "messages"
        message = {"type": "BATCH", "manifest": [f"file://{batch}"]}
        path.write_text(json.dumps(message))
        assert [*singer_batches(path)] == [sample, sample]

    def test_forms(self, sample):
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
    def test_difference(self, found, problem):
        assert difference(found, Digest(2, None, "a")) == problem


class TestServer:
    @pytest.mark.parametrize("distribution", ["organization", *distributions.NAMES])
    def test_has_the_data(self, distribution):
        made = [*Data(30, distribution).items()]
        assert len(made) == 30
        start, end = map(from_rfc3339, (START_DATE, END_DATE))
        assert all(start <= from_record(one["timestamp"]) < end for one in made)

    def test_serves_it(self):
        data = Data(30, "even", unknown=True, patch_bytes=2000)
        with serve(data) as server:
            assert server.records == 30
            assert stats(server) == (0, 0)
            served = server.ask("GET", "/sandbox/events")
        assert served == [*data.items()]
        assert all(one["actor"]["device"] for one in served)
        assert {len(one["details"]["patch"]) for one in served} == {2000}

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
    def run(self, tmp_path, *scripts, limit=30.0):
        return running.run(
            [[sys.executable, "-c", script] for script in scripts],
            folder=tmp_path,
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
    def test_have_what_programs_need(self):
        programs = {case.program.environment for one in SCENARIOS for case in one.cases}
        assert programs >= {*PRESENT}
        assert all(required(requirements(name).read_text()) for name in programs)

    def test_have_the_same_sdk(self):
        pins = [SDK_PIN.findall(requirements(name).read_text()) for name in PRESENT]
        assert len(pins[0]) == 1
        assert pins[0] == pins[1]

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
        for one in SCENARIOS:
            assert len({case.name for case in one.cases}) == len(one.cases)

    def test_warm_up_has_each_program_once(self):
        names = [case.program.name for case in warm_up(SCENARIOS).cases]
        assert len(names) == len({*names})
        assert {TAP, EIGHT.name} < {*names}

    def test_smoke(self, capsys):
        assert program.main(["--smoke", "modes"]) == 0
        text = capsys.readouterr().out
        scenario = next(one for one in SCENARIOS if one.name == "modes")
        assert all(f"| {case.name} " in text for case in scenario.cases)

    def test_a_wrong_digest_fails_the_run(self, monkeypatch, capsys):
        monkeypatch.setattr(
            "benchmarks.measuring._truth", lambda *_: Digest(250, None, "other")
        )
        assert program.main(["--smoke", "unknown-member"]) == 1
        assert "other events" in capsys.readouterr().out

    def test_an_unknown_name(self, capsys):
        with pytest.raises(SystemExit):
            program.main(["nonsense"])
        assert "there are no-latency, " in capsys.readouterr().err


class TestResults:
    def test_are_medians(self):
        case = SCENARIOS[0].cases[0]
        ours = Row(case, [sample(1), sample(5), sample(2, peak_rss=70_000_000)])
        theirs = Row(case, [sample(4), sample(5, problem="other events")])
        assert (ours.median("seconds"), ours.worst("peak_rss")) == (2, 70_000_000)
        # 4/1 and 5/5: of the same round each.
        assert theirs.ratio("seconds", ours) == 2.5
        assert (ours.problem, theirs.problem) == (None, "other events")

    def test_as_markdown(self):
        tables = [
            table("no-latency", problem="3 of 4 events"),
            table("nothing-new", {TAP: 2.0}),
            table("duckdb"),
        ]
        text = report.markdown(tables, targets(tables), {"dlt": "dlt 1"})
        assert "3 of 4 events" in text
        assert "| tap-akuity \\| target-duckdb" in text
        assert "| dlt           | dlt 1" in text
        assert "**missed**" in text
        assert "| tap-akuity --version" in text
        assert text.count("\n## ") == 4
        heading = text[text.index("`duckdb`") :].splitlines()[2]
        assert [name.strip() for name in heading.split("|")] == [
            "",
            "Program",
            "Seconds",
            "Ratio",
            "CPU, s",
            "CPU ratio",
            "Events/s",
            "Peak RSS, MB",
            "Requests",
            "Largest offset",
            "",
        ]

    def test_cpu_model(self):
        lines = "x: 1\nmodel name\t: A  B\nmodel name\t: A B\n"
        assert report.cpu_model(lines) == "A B"
        assert report.cpu_model("") == ""


class TestTargets:
    def test_reached_and_missed(self):
        found = targets([table("latency", {"SDK default": 9.0, EIGHT.name: 1.2})])
        assert [one.met for one in found] == [True, False]
        assert found[1].measured == "7.50 times"

    def test_nothing_new(self):
        good, slow = targets([table("nothing-new", {TAP: 1.2}, requests=1)])
        assert (good.met, slow.met) == (True, False)
        assert not targets([table("nothing-new", requests=2)])[0].met

    def test_start_up_does_not_count(self):
        seconds = {"tap-akuity --version": 1.0}
        for name in distributions.NAMES:
            seconds[f"tap-akuity, concurrency 8: {name}"] = 2.0
            seconds[f"tap-akuity, concurrency 1: {name}"] = 7.4
        found = targets([table("speed-up", seconds)])
        assert {(one.measured, one.met) for one in found} == {("6.40 times", False)}

    def test_requests(self):
        found = targets([table("requests", requests=116, max_offset=11_001)])
        assert [one.target for one in found[:4]] == [
            "at most 215",
            "at most 11,000",
            "at most 115",
            "at most 11,000",
        ]
        assert [one.met for one in found[:4]] == [True, False, False, False]

    def test_an_unknown_member(self):
        name = "tap-akuity: unknown member"
        [found] = targets([table("unknown-member", {name: 1.06})])
        assert not found.met
        [found] = targets([table("unknown-member", {name: 1.05})])
        assert found.met

    def test_killed(self):
        found = targets([], Killed(100, 20, 1, 10_000))
        assert [one.met for one in found] == [False, True]

    def test_all_scenarios_can_be_checked(self):
        every = targets(
            table(one.name, {"tap-akuity --version": 0.1}) for one in SCENARIOS
        )
        assert len({one.what for one in every}) == len(every) > 40

    def test_lines(self):
        assert "at most" in lines().target
