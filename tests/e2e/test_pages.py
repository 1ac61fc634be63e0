"""What the README and the pages in `docs/` show works, where it takes `sync.sh`."""

import json
import os
import re
import sys

import duckdb
import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from sandbox.truth import truth
from scripts import ROOT
from scripts.environments import build
from tests.helpers import history
from tests.helpers.commands import TAP, write
from tests.helpers.events import ids
from tests.helpers.readme import Folder, bash, block, blocks, section
from tests.helpers.running import config_for, last_state, stats, sync
from tests.helpers.targets import DuckDB, load

# The first to ask for a target also waits for its installation.
pytestmark = pytest.mark.timeout(600)

UNTIL = history.UNTIL.replace(year=2026, month=5)
EVENTS = list(Dataset(records=300, until=UNTIL, days=480, distribution="even"))


def ids_between(start, end):
    return sorted(ids(one for one in EVENTS if start <= one["timestamp"] < end))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Do what "Without Meltano" says."""
    with Sandbox(EVENTS) as server:
        folder = Folder(tmp_path_factory.mktemp("audit")).prepare(server)
        folder.run(block("Without Meltano", "sh", "bash sync.sh"))
        yield folder


def test_without_meltano(folder):
    assert folder.ids() == ids_between("2026", "2027")
    shown = block("What you get", "sql")
    [(made,)] = folder.ask("SELECT sql FROM duckdb_tables()")
    assert re.sub(r"\s+", "", shown) == re.sub(r"\s+", "", made)


def test_a_lost_state_loses_no_row(folder):
    before = folder.ids()
    (folder.path / "audit.state.json").unlink()
    folder.run(block("I lost the state. What now?", "sh"))
    assert folder.ids() == before


def test_a_quarter_on_a_machine_of_its_own(folder):
    title = "How do I load a year on four machines, without Airflow?"
    folder.run(block(title, "sh"))
    assert folder.ids("2026-q1") == ids_between("2026-01", "2026-04")


def test_a_reader_of_the_file_stops_the_load_but_loses_nothing(folder):
    before = folder.state()
    with duckdb.connect(str(folder.path / "audit.duckdb"), read_only=True):
        said = folder.run(code=1)
    text = section("Reading DuckDB while it is loaded").replace("\n", " ")
    (sentence,) = re.findall(r'"(Could .*?)"', text)
    assert sentence in said
    assert folder.state() == before


def test_commands_of_the_tap(folder):
    folder.run(block("Keys", "sh", "--test"))
    folder.run(block("Upgrades", "sh", "--discover"))
    catalog = json.loads((folder.path / "catalog.json").read_bytes())
    assert catalog["streams"][0]["tap_stream_id"] == "audit_logs"


def test_shards_make_up_the_whole_when_they_are_merged(folder):
    folder.run(block("Backfill in shards", "sh", "sync.sh"))
    shards = [path.stem for path in folder.path.glob("backfill-*.duckdb")]
    assert len(shards) == 3
    found = [one for shard in shards for one in folder.ids(shard)]
    assert sorted(found) == ids_between("2025", "2026")
    merge = block("Backfill in shards", "python")
    (folder.path / "merge.py").write_text(merge, encoding="utf-8")
    folder.run(f"'{sys.executable}' merge.py")
    assert folder.ids() == sorted(ids(EVENTS))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_run_costs_the_requests_of_the_table(number):
    cells = section("What does it cost in requests?").replace(",", "")
    (what, most), *_ = re.findall(r"^\| (.*) \| (\d+) \|$", cells, re.MULTILINE)[
        number:
    ]
    records = 0 if what == "nothing new" else int(what.split()[0])
    with Sandbox(Dataset(records or 10, days=330)) as server:
        config = config_for(server)
        state = last_state(sync(config))
        if not records:
            server.state.stats.reset()
            sync(config, state)
        made = stats(server)["requests"] + sum(stats(server)["account"].values())
    assert made == pytest.approx(int(most), rel=0.1)


@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_each_in_an_environment_of_its_own(tool, tmp_path, sandbox, monkeypatch):
    scripts = blocks(section("Separate environments"), "sh")
    (script,) = (text for text in scripts if text.startswith(f"{tool} "))
    commands = tmp_path / "bin"
    for name, value in {
        "PATH": f"{build('tools')}{os.pathsep}{os.environ['PATH']}",
        "PIPX_HOME": tmp_path / "pipx",
        "PIPX_BIN_DIR": commands,
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "UV_TOOL_DIR": tmp_path / "uv",
        "UV_TOOL_BIN_DIR": commands,
        "UV_PYTHON": sys.executable,
    }.items():
        monkeypatch.setenv(name, str(value))
    bash(script, ROOT)
    warehouse = DuckDB(tmp_path)
    load(warehouse, config_for(sandbox), commands=commands)
    assert warehouse.problems(truth(sandbox)) == []


class BlanksKept(DuckDB):
    """DuckDB's own reader keeps empty text; target-duckdb does not."""

    blanks = True


def test_a_backfill_by_duckdb_itself(tmp_path, sandbox):
    page = section("A large backfill, by DuckDB's own reader")
    (text,), (sql,) = blocks(page, "json"), blocks(page, "sql")
    (tmp_path / "batches").mkdir()
    batches = (tmp_path / "batches").as_uri()
    settings = json.loads(text.replace("file:///home/me/audit/batches", batches))
    write(tmp_path / "config.json", config_for(sandbox, **settings))
    bash(f"'{TAP}' --config config.json > messages.jsonl", tmp_path)
    Folder(tmp_path).ask(sql.replace("batches/", f"{tmp_path}/batches/"))
    before = truth(sandbox)
    assert BlanksKept(tmp_path).problems(before) == []

    history.meanwhile(sandbox)
    lines = (tmp_path / "messages.jsonl").read_text("utf-8").splitlines()
    state = last_state(map(json.loads, lines))
    warehouse = DuckDB(tmp_path)
    assert load(warehouse, config_for(sandbox), state).read < len(before)
    rows = [
        {name: None if value == "" else value for name, value in row.items()}
        for row in warehouse.rows()
    ]
    assert warehouse.problems(truth(sandbox), rows) == []
