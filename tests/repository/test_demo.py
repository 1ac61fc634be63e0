"""The demo checks every row, and fails if one is wrong."""

import pytest

from sandbox import truth
from sandbox.data import Dataset
from scripts import demo

COLUMNS = ["who", "type", "action", "object", "events"]
BUSIEST = [("a@example.com", "user", "synced", "app", 1_000), ("1", "-", "-", "-", 2)]
TABLE = """
  who            type    action    object      events
  a@example.com  user    synced    app          1,000
  1              -       -         -                2
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return what runs the demo on rows, as changed, instead of what Meltano loads."""
    monkeypatch.setattr(demo, "DATABASE", tmp_path / "demo.duckdb")
    monkeypatch.setattr(demo, "LOG", tmp_path / "log")
    monkeypatch.setattr(demo, "DATA", Dataset(30, seed=1))
    monkeypatch.setattr(demo, "ask", lambda *_: (COLUMNS, BUSIEST))

    def program(change=list, *, read=40):
        def meltano(*_, sandbox, log):
            log.write(b"target-duckdb Loading %d rows into akuity\n" % read)
            log.flush()
            rows = truth.truth(sandbox).values()
            stored = [truth.stored(row, blanks=False, lower=True) for row in rows]
            monkeypatch.setattr(demo, "rows", lambda _: change(stored))

        monkeypatch.setattr(demo, "meltano", meltano)
        return demo.main()

    return program


def test_succeeds(run, capsys):
    assert run() == 0
    said = capsys.readouterr().out
    assert "40 events added (40 read)" in said
    assert "the 70 rows are exactly the events of the sandbox" in said
    assert TABLE in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [*rows[:-1], rows[-1] | {"count": 99}], " is 99, not 1."),
        (lambda rows: [*rows[:-1], rows[-1] | {"details": None}], " is None, not {"),
        (lambda rows: [*rows[:-1], rows[-1] | {"timestamp": 1}], " is 1, not "),
        (lambda rows: rows[:-1], " is missing."),
        (lambda rows: [*rows, rows[0]], " is there twice."),
    ],
)
def test_fails_if_a_row_is_wrong(run, capsys, change, message):
    assert run(change) == 1
    error = capsys.readouterr().err
    assert "DuckDB does not hold the sandbox's events: " in error
    assert message in error


def test_fails_if_everything_is_read_again(run, capsys):
    assert run(read=70) == 1
    assert "The second run was not incremental" in capsys.readouterr().err
