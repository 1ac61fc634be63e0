"""The parts of the benchmark that can be wrong without anyone noticing."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks import FOLDER, loading, report, running
from benchmarks import __main__ as program
from benchmarks.checking import Digest, difference, digest
from benchmarks.measuring import Row, Sample, Table, largest_offset
from benchmarks.programs import PRESENT
from benchmarks.scenarios import EIGHT, SCENARIOS, options
from benchmarks.targets import TAP, targets
from harness import HarnessError
from sandbox.__main__ import parser
from sandbox.data import Dataset
from sandbox.instants import SHAPES
from sandbox.options import read_options
from tests.helpers.readme import NEEDS_DUCKDB

OTHER = "2025-11-21 16:26:40.139210001 +0000 UTC"


def sample_of(seconds=1.0, **fields):
    found = Sample(seconds, seconds / 2, 50_000_000, 100, 9500, None)
    return found._replace(**fields)


def table_of(name, seconds=None, **fields):
    """A table in which each case took what `seconds` says, or else one second."""
    scenario = next(one for one in SCENARIOS if one.name == name)
    rows = [
        Row(case, [sample_of((seconds or {}).get(case.name, 1.0), **fields)])
        for case in scenario.cases
    ]
    return Table(scenario, rows)


def test_smoke(capsys):
    # All modes, so each output is read, and compared with the sandbox's events.
    assert program.main(["--smoke", "modes"]) == 0
    text = capsys.readouterr().out
    assert all(f"| {row.case.name} " in text for row in table_of("modes").rows)


def test_wrong_events_fail_the_run(capsys, monkeypatch):
    wrong = table_of("modes", problem="3 of 4 events")
    monkeypatch.setattr(program, "measure", lambda *_, **__: wrong)
    assert program.main(["--smoke", "modes"]) == 1
    assert re.search(r"\| tap-akuity .*\| 3 of 4 events +\|", capsys.readouterr().out)


@NEEDS_DUCKDB
def test_loading(capsys, monkeypatch):
    here = Path(sys.executable).parent
    monkeypatch.setattr("tests.helpers.environments.build", lambda *_: here)
    for rows, code in ([1] * 50, 0), ([], 1):
        monkeypatch.setattr(loading.Reader, "rows", lambda *_, rows=rows: rows)
        names = ["duckdb", "duckdb-reader"]
        command = ["loading", "--events=50", "--rounds=1", *names]
        monkeypatch.setattr(sys, "argv", command)
        assert loading.main() == code
        text = capsys.readouterr().out
        assert all(f"| {name} " in text for name in names)
        assert ("0 of 50 events" in text) is bool(code)


@pytest.mark.parametrize(
    "change",
    [
        {"action": "x"},
        {"count": 10},
        {"actor": None},
        {"details": {"message": "x"}},
        {"timestamp": OTHER},
        {"lastOccurredTimestamp": ""},
    ],
)
def test_the_digest_sees_every_change(sample, change):
    other = {**sample, **change}
    kinds = [[], [sample], [sample] * 2, [other] * 2, [sample, other]]
    assert len({digest(items).digest for items in kinds}) == 5
    assert digest([sample, other]) == digest([other, sample])


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (Digest(2, 0, 7), None),
        (Digest(2, 2, 7), None),
        (Digest(2), None),
        (Digest(1, 0, 7), "1 of 2 events"),
        (Digest(2, 1, 7), "1 ids for 2 events"),
        (Digest(2, 2, 8), "other events"),
    ],
)
def test_difference(found, problem):
    assert difference(found, Digest(2, 0, 7)) == problem


def test_the_server_has_the_data():
    for data in {case.data for one in SCENARIOS for case in one.cases}:
        assert read_options(parser().parse_args(options(data)), Dataset) == data


def test_largest_offset():
    year = "startTime=2025-01-01T00:00:00Z&filters.endTime=2026-01-01T00:00:00Z"
    second = "startTime=2024-12-31T23:59:59.999Z&filters.endTime=2025-01-01T00:00:01Z"
    asked = [
        "filters.limit=10",
        "filters.limit=10&filters.offset=20",
        f"filters.{year}&filters.limit=10&filters.offset=30",
        f"filters.{year}&filters.limit=1&filters.offset=40",
        f"filters.{second}&filters.limit=10&filters.offset=50",
    ]
    assert [largest_offset([query]) for query in asked] == [0, 20, 30, 0, 0]
    assert (largest_offset([]), largest_offset(asked)) == (0, 30)


def test_usage_counts_what_a_program_starts_and_nothing_of_the_user(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("TAP_AKUITY_PAGE_SIZE", "1")
    ballast = bytearray(150_000_000)
    burn = "from time import process_time as t\nwhile t() < .3: pass"
    command = ["bash", "-c", '"$0" -c "$1" | cat; env', sys.executable, burn]
    usage = running.run(command, tmp_path)
    assert usage.seconds > usage.cpu_seconds - 0.1 > 0.2
    assert 1_000_000 < usage.peak_rss < len(ballast)
    assert "TAP_AKUITY" not in (tmp_path / "output").read_text()


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo why >&2; exit 3", "code 3:\nwhy"), ("sleep 60", "took over 0.2 seconds")],
)
def test_a_failure_and_the_time_limit(tmp_path, monkeypatch, script, message):
    monkeypatch.setattr(running, "LIMIT", 0.2 if "sleep" in script else 60)
    with pytest.raises(HarnessError, match=message):
        running.run(["bash", "-c", script], tmp_path)


def test_the_taps_have_the_same_sdk():
    texts = [(FOLDER / "requirements" / f"{name}.txt").read_text() for name in PRESENT]
    pins = [re.findall(r"singer-sdk(?:\[\w+\])?==(.*)", text) for text in texts]
    assert len(pins[0]) == 1
    assert pins[0] == pins[1]


def test_ratios_are_of_the_same_round():
    case = SCENARIOS[0].cases[0]
    ours = Row(case, [sample_of(1), sample_of(5), sample_of(2, peak_rss=70_000_000)])
    theirs = Row(case, [sample_of(4), sample_of(5, problem="why"), sample_of(4)])
    assert (ours.median("seconds"), ours.worst("peak_rss")) == (2, 70_000_000)
    # 4/1, 5/5 and 4/2.
    assert theirs.ratio("seconds", ours) == 2
    assert (ours.problem, theirs.problem) == (None, "why")


def shape(text):
    """Return the headings, the names of columns, and the first cell of each row."""
    found = []
    for block in text.split("\n\n"):
        head, *rows = block.splitlines()
        if head.startswith(("#", "|")):
            found.append(re.sub(" +", " ", head))
            found += [row.split("|")[1].strip() for row in rows[1:]]
    return found


def test_the_results_have_every_scenario_and_target():
    tables = [table_of(one.name, {"tap-akuity --version": 0.1}) for one in SCENARIOS]
    tables[-1] = table_of(tables[-1].scenario.name, max_offset=0)
    written = (FOLDER / "results.md").read_text(encoding="utf-8")
    names = ["dlt", "requests-orjson", "sdk-default", "tap-akuity"]
    versions = dict.fromkeys(names, "x 1")
    found = shape(report.markdown(tables, targets(tables), versions))
    assert found == shape(written)
    for table in tables:
        assert len({row.case.name for row in table.rows}) == len(table.rows)


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
            [True, False, False, False],
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
    assert [one.met for one in targets([table_of(name, seconds, **fields)])] == met
