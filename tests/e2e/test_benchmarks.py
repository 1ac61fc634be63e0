"""The parts of the benchmark that can be wrong without anyone noticing."""

import json
import re
import sys
from dataclasses import replace

import pytest

from benchmarks import __main__ as program
from benchmarks import measuring
from benchmarks.checking import same_count, same_events
from benchmarks.measuring import Runs, Sample
from benchmarks.scenarios import AWKWARD, SCENARIOS
from sandbox.state import Options
from sandbox.truth import TIMES, row
from scripts import CommandError

CASE = SCENARIOS[0].cases[0]
SAMPLE = Sample(1.0, 0.5, 50_000_000, 100)


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
    row = Runs(CASE._replace(**limits), [SAMPLE, SAMPLE._replace(**change)])
    monkeypatch.setattr(program, "measure", lambda *_, **__: [row])
    assert program.main(["--smoke", "modes"]) == 1
    row = Runs(CASE._replace(most_requests=100, most_megabytes=50), [SAMPLE])
    assert program.main(["--smoke", "modes"]) == 0


def test_awkward_patches_are_short_and_hold_every_trap():
    items = list(replace(AWKWARD, records=1000))
    patches = [item["details"]["patch"] for item in items]
    assert {min(map(len, patches)), max(map(len, patches))} == {0, 400}
    for trap in ("\u2028", '"', "\t", "\n", "\\", "🚀", "تمت", "緊", "ß"):
        assert 100 < sum(trap in patch for patch in patches) < 1000


LATER = "2025-11-21T16:26:40.139210001Z"


@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows[::-1], ""),
        (lambda rows: rows[1:], "is missing"),
        (lambda rows: [*rows, rows[0]], "is there twice"),
        (lambda rows: [rows[0], rows[0]], "is there twice; "),
        (lambda rows: [*rows, rows[0] | {"id": "x", "action": "x"}], " is none of "),
        *(
            (lambda rows, other=other: [rows[0], rows[1] | other], " is ")
            for other in (
                {"timestamp": LATER},
                {"actor": None},
                {"count": 10},
                {"details": {"message": "", "patch": "other", "actionType": ""}},
            )
        ),
    ],
)
def test_each_difference_is_found(sample, tmp_path, change, problem, has_ids):
    sample = sample | dict.fromkeys(TIMES, "2025-11-21T16:26:40.139210Z")
    items = [sample, sample | {"action": "other"}]
    expected = [row(item, Options.organization_id) for item in items]
    if has_ids:
        for item, one in zip(items, expected, strict=True):
            item |= {"id": one["id"], "organization_id": Options.organization_id}
    path = tmp_path / "output"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in change(items)))
    found = same_events(path, expected, dict, has_ids=has_ids)
    assert (problem in found) if problem else found == ""


def test_a_count_that_differs(tmp_path):
    (tmp_path / "output").write_text("3\n")
    assert same_count(tmp_path / "output", [{}] * 3) == ""
    assert same_count(tmp_path / "output", [{}] * 2) == "3 of 2 events"


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
        Runs(CASE, [SAMPLE._replace(seconds=one) for one in seconds])
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
