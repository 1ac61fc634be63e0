"""The parts of the benchmark that can be wrong without anyone noticing."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks import FOLDER, loading, report, running
from benchmarks import __main__ as program
from benchmarks.checking import difference, digest
from benchmarks.measuring import Row, Sample, Table, largest_offset
from benchmarks.scenarios import EIGHT, SCENARIOS, options
from benchmarks.targets import targets
from sandbox.__main__ import parser
from sandbox.data import Dataset
from sandbox.options import read_options
from scripts import CommandError
from tests.helpers.readme import NEEDS_DUCKDB

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
SAMPLE = Sample(1.0, 0.5, 50_000_000, 100, 9500, None)


def measured(name, seconds, **fields):
    """Return a table in which a case took what `seconds` says, or else one second."""
    table = Table(BY_NAME[name], [])
    for case in table.scenario.cases:
        sample = SAMPLE._replace(seconds=seconds.get(case.name, 1.0), **fields)
        table.rows.append(Row(case, [sample]))
    return table


def test_smoke(capsys):
    # Every form of output is compared with the server's events.
    assert program.main(["--smoke", "modes"]) == 0
    assert "| SDK default, batches, gzip " in capsys.readouterr().out


def test_wrong_events_fail_the_run(monkeypatch):
    wrong = measured("modes", {}, problem="3 of 4 events")
    monkeypatch.setattr(program, "measure", lambda *_, **__: wrong)
    assert program.main(["--smoke", "modes"]) == 1


@NEEDS_DUCKDB
def test_loading(monkeypatch):
    here = Path(sys.executable).parent
    monkeypatch.setattr("tests.helpers.environments.build", lambda *_: here)
    names = ["duckdb", "duckdb-reader"]
    monkeypatch.setattr(sys, "argv", ["", "--events=50", "--rounds=1", *names])
    assert loading.main() == 0


def test_each_difference_is_found(sample):
    other = {**sample, "action": "other"}

    def found(*items):
        return difference(digest(items), digest([sample, other]))

    assert found(other, sample) is None
    assert found({**sample, "id": "a"}, {**other, "id": "b"}) is None
    assert found({**sample, "id": "a"}, {**other, "id": "a"}) == "1 ids for 2 events"
    assert found(sample) == "1 of 2 events"
    assert found(sample, sample) == "other events"
    later = "2025-11-21 16:26:40.139210001 +0000 UTC"
    for change in ({"timestamp": later}, {"actor": None}, {"count": 10}):
        assert found(sample, {**other, **change}) == "other events"


def test_the_server_has_the_data():
    for data in {case.data for one in SCENARIOS for case in one.cases}:
        assert read_options(parser().parse_args(options(data)), Dataset) == data


def test_largest_offset():
    start, end = "filters.startTime=2025-01-01T00:00:00Z", "filters.endTime=2025-01-01"
    offsets = {
        "filters.limit=10&filters.offset=20": 20,
        f"filters.limit=10&filters.offset=30&{start}&{end}T00:00:03Z": 30,
        f"filters.limit=1&filters.offset=40&{start}&{end}T00:00:03Z": 0,
        f"filters.limit=10&filters.offset=50&{start}&{end}T00:00:02Z": 0,
    }
    assert {query: largest_offset([query]) for query in offsets} == offsets
    assert largest_offset(offsets) == 30


def test_usage_is_of_what_a_program_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("TAP_AKUITY_PAGE_SIZE", "1")
    ballast = bytearray(150_000_000)
    burn = "from time import process_time as t\nwhile t() < .3: pass"
    command = ["bash", "-c", '"$0" -c "$1" | cat; env', sys.executable, burn]
    usage = running.run(command, tmp_path)
    assert usage.seconds > usage.cpu_seconds - 0.1 > 0.2
    assert 1_000_000 < usage.peak_rss < len(ballast)
    assert "TAP_AKUITY" not in (tmp_path / "output").read_text()


def test_a_failure_and_the_time_limit(tmp_path, monkeypatch):
    with pytest.raises(CommandError, match="exit code 3:\nwhy"):
        running.run(["bash", "-c", "echo why >&2; exit 3"], tmp_path)
    monkeypatch.setattr(running, "LIMIT", 0.2)
    with pytest.raises(CommandError, match=r"took over 0\.2 seconds"):
        running.run(["sleep", "60"], tmp_path)


def test_ratios_are_of_the_same_round():
    ours, theirs = (
        Row(SCENARIOS[0].cases[0], [SAMPLE._replace(seconds=one) for one in seconds])
        for seconds in ((1, 5, 2), (4, 5, 4))
    )
    assert (ours.median("seconds"), ours.worst("seconds")) == (2, 5)
    assert theirs.ratio("seconds", ours) == 2  # of 4/1, 5/5 and 4/2


def test_the_results_have_every_scenario_and_target():
    tables = [measured(name, {"tap-akuity --version": 0.1}) for name in BY_NAME]
    tables[-1] = measured("nothing-new", {}, max_offset=0)
    names = ["dlt", "requests-orjson", "sdk-default", "tap-akuity"]
    text = report.markdown(tables, targets(tables), dict.fromkeys(names, "pin"))
    written = (FOLDER / "results.md").read_text(encoding="utf-8")
    # Headings, names of columns, and what is in the first one.
    layout = re.compile(r"^(?:(?:#|\| Program).*|\| [^|]*)", re.MULTILINE)
    assert layout.findall(text) == layout.findall(written)


def test_targets():
    latency = measured("latency", {"SDK default": 9.0, EIGHT.name: 1.2})
    requests = measured("requests", {}, requests=116, max_offset=11_001)
    found = targets([latency, requests])
    assert [one.met for one in found] == [True, False, True, False, False, False]
