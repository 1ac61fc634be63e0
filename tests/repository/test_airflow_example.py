"""What the example for Airflow does without Airflow: its shards, and its pipeline."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from akuity_config import Config, ConfigError, Organization, Shard, read
from akuity_pipeline import Command, PipelineError, run, variables
from harness import ROOT
from tests.helpers.commands import write

if TYPE_CHECKING:
    from pathlib import Path

DAGS = ROOT / "examples" / "airflow" / "dags"

ACME: dict[str, Any] = {
    "connection": "key",
    "start": "2025-11-20",
    "end": "2026-03-05",
    "settings": {"organization_id": "id-of-acme"},
}


def config(tmp_path: Path, **members: Any) -> Config:
    content = {
        "tap": "tap",
        "target": "target",
        "target_connection": "db",
        "organizations": {"acme": ACME},
        **members,
    }
    return read(write(tmp_path / "akuity.json", content))


def test_months(tmp_path: Path) -> None:
    ends = ["2025-11-20", "2025-12-01", "2026-01-01", "2026-02-01", "2026-03-01"]
    assert config(tmp_path).shards() == [
        Shard("acme", start, end) for start, end in pairwise([*ends, "2026-03-05"])
    ]


@pytest.mark.parametrize(
    ("start", "end", "shards"),
    [
        ("2026-01-01", "2026-01-01", []),
        ("2026-01-31", "2026-02-01", [("2026-01-31", "2026-02-01")]),
        ("2024-02-29", "2024-03-01", [("2024-02-29", "2024-03-01")]),
        ("2026-12-01", "2027-01-01", [("2026-12-01", "2027-01-01")]),
    ],
)
def test_ends_of_months(
    tmp_path: Path, start: str, end: str, shards: list[tuple[str, str]]
) -> None:
    acme = ACME | {"start": start, "end": end}
    found = config(tmp_path, organizations={"acme": acme})
    assert found.shards() == [Shard("acme", *shard) for shard in shards]


def test_the_schedule_begins_where_the_backfill_ends(tmp_path: Path) -> None:
    found = config(tmp_path)
    organization = found.organizations["acme"]
    assert organization.rest() == Shard("acme", found.shards()[-1].end or "", None)
    assert organization.end_of_backfill.isoformat() == "2026-03-05T00:00:00+00:00"
    states = [shard.state for shard in (*found.shards(), organization.rest())]
    assert len(set(states)) == len(states)
    assert organization.rest().state == "akuity_state.acme.2026-03-05.now"


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"tap": None, "organizations": None}, "correct it"),
        ({"organizations": {}}, "names no organization"),
        ({"organizations": {"a b": ACME}}, "'a b' has more than letters"),
        ({"organizations": {"a": ACME | {"start": "soon"}}}, "'soon'"),
        ({"organizations": {"a": ACME | {"end": "2025-01-01"}}}, "before it starts"),
        ({"organizations": {"a": {"connection": "key"}}}, "start"),
        ({"unknown": 1}, "unknown"),
        (
            {"organizations": {"a": ACME | {"settings": {"api_key_secret": "s3"}}}},
            "has `api_key_secret`: put it into an Airflow connection",
        ),
        ({"target_settings": {"password": "s3"}}, "has `password`"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, members: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        config(tmp_path, **members)
    assert said in str(caught.value)
    assert "akuity.json" in str(caught.value)
    assert "s3" not in str(caught.value)


def test_the_example_can_be_read() -> None:
    example = read(DAGS / "akuity.json")
    assert len(example.organizations) == 2
    assert len(example.shards()) == 11 + 5
    assert all(isinstance(one, Organization) for one in example.organizations.values())


def test_settings_as_variables() -> None:
    settings = {"a": "x", "b": 1, "c": ["d"], "e": None, "f": True}
    assert variables("TAP", settings) == {
        "TAP_A": "x",
        "TAP_B": "1",
        "TAP_C": '["d"]',
        "TAP_F": "true",
    }


class Programs:
    """A tap and a target of a few lines each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved: list[dict[str, Any]] = []
        self.said: list[str] = []

    def command(self, name: str, code: str, **environment: str) -> Command:
        path = self.folder / name
        code = f"import json, os, sys, time\n{code}"
        path.write_text(f"#!{sys.executable}\n{code}\n", encoding="utf-8")
        path.chmod(0o700)
        return Command(str(path), environment)

    def run(self, tap: str, target: str, state: dict[str, Any] | None = None) -> None:
        first = self.command("tap", tap, WHO="tap")
        second = self.command("target", target, WHO="target")
        run(first, second, state or {}, self.saved.append, self.said.append)


ECHO = "for line in sys.stdin: print(line, end='', flush=True)"
STATES = "for n in range(3): print(json.dumps({'n': n}), flush=True)"


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path)


def test_each_state_is_saved(programs: Programs) -> None:
    programs.run(STATES, ECHO)
    assert programs.saved == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_the_tap_gets_the_state(programs: Programs) -> None:
    tap = "print(open(sys.argv[sys.argv.index('--state') + 1]).read())"
    programs.run(tap, ECHO, {"bookmarks": {"é": 1}})
    assert programs.saved == [{"bookmarks": {"é": 1}}]


def test_a_tap_that_fails_keeps_what_is_loaded(programs: Programs) -> None:
    tap = f"{STATES}\nprint('first', 'why', sep=chr(10), file=sys.stderr); sys.exit(1)"
    with pytest.raises(PipelineError, match="tap ended with code 1: why"):
        programs.run(tap, ECHO)
    assert programs.saved[-1] == {"n": 2}
    assert programs.said == ["tap: first", "tap: why"]


def test_a_target_that_fails_keeps_what_it_passed_on(programs: Programs) -> None:
    # The tap waits, and would for long.
    tap = f"{STATES}\ntime.sleep(600)"
    target = "print(sys.stdin.readline(), end='{\"n\"'); sys.exit('the disk is full')"
    with pytest.raises(PipelineError, match="target ended with code 1: the disk"):
        programs.run(tap, target)
    assert programs.saved == [{"n": 0}]


def test_a_state_that_cannot_be_saved_ends_the_run(programs: Programs) -> None:
    def save(_: dict[str, Any]) -> None:
        raise ConnectionError

    tap = programs.command("tap", f"{STATES}\ntime.sleep(600)")
    with pytest.raises(ConnectionError):
        run(tap, programs.command("target", ECHO), {}, save, programs.said.append)


def test_nobody_gets_what_is_meant_for_others(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_X", "TAP_AKUITY_ACTIONS"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("OURS", "theirs")
    tell = (
        "print([os.environ['WHO'], *sorted(name for name, value in os.environ.items()"
        " if value == 'theirs')], *sys.argv[1:3], file=sys.stderr)\n"
    )
    programs.run(tell, tell + ECHO)
    assert sorted(programs.said) == [
        "tap: ['tap', 'OURS'] --config ENV",
        "target: ['target', 'OURS'] --config ENV",
    ]
