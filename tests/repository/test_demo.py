"""The demo checks every row, and fails if one is wrong."""

from contextlib import contextmanager

import pytest

from sandbox import truth
from sandbox.data import Dataset
from scripts import demo
from scripts.sandboxes import Sandbox

FIRST, LATER = (list(Dataset(records, seed=1)) for records in (30, 5))
ORGANIZATION = "sandbox"


class Sandboxed(Sandbox):
    """A sandbox without a server."""

    def ask(self, method, _path):
        return LATER if method == "POST" else [*FIRST, *LATER]


def loaded(items):
    """Return the rows that target-duckdb would store."""
    rows = truth.rows_by_id(items, ORGANIZATION).values()
    return [truth.stored(row, blanks=False, lower=True) for row in rows]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return what runs the demo on rows instead of what Meltano loads."""
    monkeypatch.setattr(demo, "DATABASE", tmp_path / "demo.duckdb")
    monkeypatch.setattr(demo, "LOG", tmp_path / "log")

    @contextmanager
    def serve(*_, **__):
        yield Sandboxed("", ORGANIZATION, "", "", len(FIRST))

    monkeypatch.setattr(demo, "serve", serve)

    def program(rows, *, read=5):
        results = iter([loaded(FIRST), rows])

        def meltano(*arguments, log, **_):
            if arguments[0] == "run":
                log.write(b"target-duckdb Loading %d rows into akuity\n" % read)
                log.flush()
                monkeypatch.setattr(demo, "rows", lambda _: next(results))

        monkeypatch.setattr(demo, "meltano", meltano)
        monkeypatch.setattr(demo, "ask", lambda *_: (["who", "events"], [("me", 1)]))
        return demo.main()

    return program


def test_succeeds(run, capsys):
    assert run(loaded([*FIRST, *LATER])) == 0
    said = capsys.readouterr().out
    assert "5 events added (5 read)" in said
    assert "the 35 rows are exactly the events of the sandbox" in said


@pytest.mark.parametrize("change", [{"count": 99}, {"details": None}, {"timestamp": 1}])
def test_fails_if_a_row_is_wrong(run, capsys, change):
    *rows, last = loaded([*FIRST, *LATER])
    assert run([*rows, last | change]) == 1
    assert "DuckDB does not hold the sandbox's events: " in capsys.readouterr().err


def test_fails_if_a_row_is_missing_or_twice(run, capsys):
    rows = loaded([*FIRST, *LATER])
    assert run(rows[:-1]) == 1
    assert " is missing." in capsys.readouterr().err
    assert run([*rows, rows[0]]) == 1
    assert " is there twice." in capsys.readouterr().err


def test_fails_if_everything_is_read_again(run, capsys):
    assert run(loaded([*FIRST, *LATER]), read=35) == 1
    assert "The second run was not incremental" in capsys.readouterr().err


def test_a_table():
    rows = [("a@example.com", 1_000), ("b", 2)]
    assert demo.table(["who", "events"], rows) == [
        "who            events",
        "a@example.com   1,000",
        "b                   2",
    ]
