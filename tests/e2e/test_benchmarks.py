"""The parts of the benchmark that can be wrong without anyone noticing."""

import re
import sys

import pytest

from benchmarks import __main__ as program
from benchmarks import measuring
from benchmarks.checking import difference, digest
from benchmarks.measuring import Row, Sample
from benchmarks.scenarios import SCENARIOS, options
from sandbox.__main__ import parser
from sandbox.data import Dataset
from sandbox.options import read_options
from scripts import CommandError

CASE = SCENARIOS[0].cases[0]
SAMPLE = Sample(1.0, 0.5, 50_000_000, 100, None)


def test_every_form_of_output_is_right(capsys):
    assert program.main(["--smoke", "modes", "nothing-new"]) == 0
    assert "| SDK default, batches, gzip " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("limits", "change"),
    [
        ({}, {"problem": "3 of 4 events"}),
        ({"most_requests": 99}, {}),
        ({"most_megabytes": 49}, {}),
    ],
)
def test_wrong_events_and_limits_fail_the_run(limits, change, monkeypatch):
    row = Row(CASE._replace(**limits), [SAMPLE, SAMPLE._replace(**change)])
    monkeypatch.setattr(program, "measure", lambda *_, **__: [row])
    assert program.main(["--smoke", "modes"]) == 1
    row = Row(CASE._replace(most_requests=100, most_megabytes=50), [SAMPLE])
    assert program.main(["--smoke", "modes"]) == 0


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
    details = {**sample["details"], "patch": "other"}
    for change in (
        {"timestamp": later},
        {"actor": None},
        {"count": 10},
        {"details": details},
    ):
        assert found(sample, {**other, **change}) == "other events"


def test_the_server_has_the_data():
    for data in {case.data for one in SCENARIOS for case in one.cases}:
        assert read_options(parser().parse_args(options(data)), Dataset) == data


def test_usage_is_of_what_a_program_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("TAP_AKUITY_PAGE_SIZE", "1")
    ballast = bytearray(150_000_000)
    burn = "from time import process_time as t\nwhile t() < .3: pass"
    command = ["bash", "-c", '"$0" -c "$1" | cat; env', sys.executable, burn]
    usage = measuring.run(command, tmp_path)
    assert usage.seconds > usage.cpu_seconds - 0.1 > 0.2
    assert 1_000_000 < usage.peak_rss < len(ballast)
    assert "TAP_AKUITY" not in (tmp_path / "output").read_text()


def test_a_failure_and_the_time_limit(tmp_path, monkeypatch):
    with pytest.raises(CommandError, match="exit code 3:\nwhy"):
        measuring.run(["bash", "-c", "echo why >&2; exit 3"], tmp_path)
    monkeypatch.setattr(measuring, "LIMIT", 0.2)
    with pytest.raises(CommandError, match=r"took over 0\.2 seconds"):
        measuring.run(["sleep", "60"], tmp_path)


def test_ratios_are_of_the_same_round():
    ours, theirs = (
        Row(CASE, [SAMPLE._replace(seconds=one) for one in seconds])
        for seconds in ((1, 5, 2), (4, 5, 4))
    )
    assert (ours.median("seconds"), ours.worst("seconds")) == (2, 5)
    assert theirs.ratio("seconds", ours) == 2  # of 4/1, 5/5 and 4/2


def test_the_page_has_every_scenario():
    prose, figures = program.PAGE.read_text(encoding="utf-8").split(program.START)
    assert re.findall(r"^### (.*)$", figures, re.MULTILINE) == [
        scenario.title for scenario in SCENARIOS
    ]
    limits = [case.most_requests for one in SCENARIOS for case in one.cases]
    assert {str(limit) for limit in limits if limit and limit > 1} <= {
        *re.findall(r"\d+", prose)
    }
