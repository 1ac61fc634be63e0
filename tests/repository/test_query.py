"""`scripts.query` shows every column, and runs files."""

import sys

import duckdb
import pytest

from scripts import ROOT
from scripts.query import main
from tests.helpers.readme import bash

QUERY = "FROM range(3) rows(n), (SELECT 'x' || chr(27) AS who, repeat('y', 80) AS wide)"


@pytest.fixture
def query(tmp_path, monkeypatch, capsys):
    """Return what runs SQL on a new database, and returns its lines."""
    monkeypatch.setenv("COLUMNS", "80")
    database = tmp_path / "a.duckdb"
    duckdb.connect(database).close()

    def run(*arguments, code=0):
        assert main(["--database", str(database), *arguments]) == code
        return capsys.readouterr().out.splitlines()

    return run


def test_a_wide_row_is_shown_in_full(query):
    assert query(f"{QUERY} LIMIT 1") == [
        "--- 1",
        "n     0",
        "who   x\\x1b",
        f"wide  {'y' * 80}",
    ]
    assert query("SELECT 'x' AS who")[1:4:2] == ["│   who   │", "├─────────┤"]


def test_csv_is_quoted(query):
    found = query("--csv", "SELECT 1 AS a, 'b,\"c' AS b, NULL AS c")
    assert found == ["a,b,c", '1,"b,""c",']


def test_a_file_may_create_views(query, tmp_path):
    views = tmp_path / "views.sql"
    views.write_text("CREATE VIEW a AS SELECT 1 AS x;\nCREATE VIEW b AS FROM a;\n")
    assert query("--file", str(views)) == []
    assert query("--csv", "FROM b") == ["x", "1"]
    # A query itself only reads.
    query("CREATE VIEW c AS FROM a", code=1)
    query("--file", "nothing.sql", code=1)


@pytest.mark.usefixtures("query")
def test_a_reader_that_stops_is_no_error(tmp_path):
    module = f"'{sys.executable}' -m scripts.query --database {tmp_path / 'a.duckdb'}"
    assert bash(f'{module} --csv "FROM range(100000)" | head -1', ROOT) == ""
