"""What the example for Airflow does without Airflow: its shards, and its pipeline."""

import sys
from itertools import pairwise

import pytest

from akuity_config import ConfigError, Shard, read
from akuity_pipeline import Command, PipelineError, run, variables
from scripts import ROOT
from tests.helpers.commands import write

ACME = {"connection": "key", "start": "2025-11-20", "end": "2026-03-05"}
CONTENT = {"tap": "tap", "target": "target", "target_connection": "db"}


@pytest.mark.parametrize(
    "days",
    [
        ["2025-11-20", "2025-12-01", "2026-01-01", "2026-02-01", "2026-02-28"],
        ["2026-01-31", "2026-02-01"],
        ["2026-01-01"],
    ],
)
def test_a_shard_is_a_month_and_the_schedule_follows(tmp_path, days):
    acme = ACME | {"start": days[0], "end": days[-1]}
    content = CONTENT | {"organizations": {"acme": acme}}
    found = read(write(tmp_path / "akuity.json", content))
    assert found.shards() == [Shard("acme", *ends) for ends in pairwise(days)]
    organization = found.organizations["acme"]
    assert organization.rest() == Shard("acme", days[-1], None)
    assert organization.end_of_backfill.isoformat() == f"{days[-1]}T00:00:00+00:00"
    for shard in (*found.shards(), organization.rest()):
        ends = f"{shard.start}.{shard.end or 'now'}"
        assert shard.state == f"akuity_state.acme.{ends}"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"organizations": {}}, "names no organization"),
        ({"organizations": {"a b": ACME}}, "'a b' has more than letters"),
        ({"organizations": {"a": ACME | {"start": "soon"}}}, "correct it"),
        ({"organizations": {"a": ACME | {"end": "2025-01-01"}}}, "before it starts"),
        (
            {"organizations": {"a": ACME | {"settings": {"api_key_secret": "s3"}}}},
            "has `api_key_secret`: put it into an Airflow connection",
        ),
        (
            {"organizations": {"a": ACME}, "target_settings": {"password": "s3"}},
            "has `password`",
        ),
    ],
)
def test_a_wrong_config_is_refused_without_its_secret(tmp_path, members, said):
    with pytest.raises(ConfigError) as caught:
        read(write(tmp_path / "akuity.json", CONTENT | members))
    message = str(caught.value)
    assert said in message
    assert "akuity.json" in message
    assert "s3" not in message


def test_the_example_can_be_read():
    example = read(ROOT / "examples" / "airflow" / "dags" / "akuity.json")
    assert len(example.shards()) == 11 + 5


def test_settings_become_variables_if_they_are_set():
    settings = {"a": "x", "b": 1, "c": ["d"], "e": None, "f": True}
    expected = {"TAP_A": "x", "TAP_B": "1", "TAP_C": '["d"]', "TAP_F": "true"}
    assert variables("TAP", settings) == expected


@pytest.fixture
def pipeline(tmp_path):
    """Return a function that runs a tap and a target of a few lines of code each."""

    def command(name, code):
        path = tmp_path / name
        code = f"#!{sys.executable}\nimport json, os, sys, time\n{code}\n"
        path.write_text(code, encoding="utf-8")
        path.chmod(0o700)
        return Command(str(path), {"WHO": name})

    def start(tap, target, save, say=print, state=None):
        run(command("tap", tap), command("target", target), state or {}, save, say)

    return start


ECHO = "for line in sys.stdin: print(line, end='', flush=True)"
STATES = "for n in range(3): print(json.dumps({'n': n}), flush=True)"


def test_the_tap_gets_the_state_and_each_state_is_saved(pipeline):
    tap = "print(open(sys.argv[sys.argv.index('--state') + 1]).read())"
    saved: list[object] = []
    pipeline(f"{tap}\n{STATES}", ECHO, saved.append, state={"bookmarks": {"é": 1}})
    assert saved == [{"bookmarks": {"é": 1}}, {"n": 0}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    ("tap", "target", "words", "states"),
    [
        (f"{STATES}\nsys.exit('first\\nwhy')", ECHO, "tap: why", 3),
        # The tap waits, and would for long.
        (
            f"{STATES}\ntime.sleep(600)",
            "print(sys.stdin.readline(), end='{\"n\"')\nsys.exit('the disk is full')",
            "target: the disk is full",
            1,
        ),
    ],
)
def test_what_fails_keeps_what_is_loaded(pipeline, tap, target, words, states):
    saved: list[object] = []
    said: list[str] = []
    with pytest.raises(PipelineError, match=words.replace(":", " ended with code 1:")):
        pipeline(tap, target, saved.append, said.append)
    assert saved == [{"n": n} for n in range(states)]
    assert said[-1] == words


def test_a_state_that_cannot_be_saved_ends_the_run(pipeline):
    def save(_):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        pipeline(f"{STATES}\ntime.sleep(600)", ECHO, save)


def test_nobody_gets_what_is_meant_for_others(pipeline, monkeypatch):
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_X", "TAP_AKUITY_ACTIONS"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("OURS", "theirs")
    tell = (
        "print([os.environ['WHO'], *sorted(name for name, value in os.environ.items()"
        " if value == 'theirs')], *sys.argv[1:3], file=sys.stderr)\n"
    )
    said: list[str] = []
    pipeline(tell, tell + ECHO, None, said.append)
    assert sorted(said) == [
        "tap: ['tap', 'OURS'] --config ENV",
        "target: ['target', 'OURS'] --config ENV",
    ]
