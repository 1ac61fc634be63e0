"""What `docs/operations.md` and the recipes for delivery show works."""

import fcntl
import gzip
import json
import re
import shlex
import subprocess

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from scripts.warehouse import TABLE
from tests.helpers.events import event_of, ids
from tests.helpers.questions import event
from tests.helpers.readme import NEEDS_DUCKDB, Folder, block, blocks, section
from tests.helpers.running import config_for, sync

PERSON = "ann@example.com"
DATA = [
    event("2020-01-01 12:00:00", "created", f"user {PERSON}"),
    event("2020-01-01 12:00:00", "created", kind="member", name=PERSON, details=None),
    event("2020-01-01 12:00:00", "created", details={"message": f"by {PERSON}"}),
    *Dataset(records=100),
]


@pytest.fixture
def ran(tmp_path):
    """Put a `sync.sh` that fails into `audit`, and return the file that it writes."""
    (tmp_path / "audit").mkdir()
    script = 'touch "$(dirname "$0")/ran"; exit 3\n'
    (tmp_path / "audit" / "sync.sh").write_text(script, encoding="utf-8")
    return tmp_path / "audit" / "ran"


def test_the_line_for_cron(tmp_path, ran, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (line,) = re.findall(r"^\d+ \* \* \* \* (.*)$", block("cron", "text"), re.MULTILINE)
    command = ["sh", "-c", line]
    with (tmp_path / "audit" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert subprocess.run(command, check=False).returncode == 75
        assert not ran.exists()
    assert subprocess.run(command, check=False).returncode == 3
    assert ran.exists()


def test_the_units_for_systemd(tmp_path, ran):
    service, timer = (
        dict(re.findall("^(.*?)=(.*)$", unit, re.MULTILINE))
        for unit in blocks(section("systemd"), "ini")
    )
    assert (service["Type"], timer["OnCalendar"]) == ("oneshot", "hourly")
    command = shlex.split(service["ExecStart"].replace("%h", str(tmp_path)))
    assert subprocess.run(command, check=False).returncode == 3
    assert ran.exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with Sandbox(DATA) as sandbox:
        path = tmp_path_factory.mktemp("audit")
        folder = Folder(path, sandbox, start_date="2000-01-01")
        folder.run()
        yield folder


@NEEDS_DUCKDB
def test_how_fresh_the_table_is(folder):
    for hours, stale in ((25, True), (23, False)):
        moment = f"now() AT TIME ZONE 'UTC' - INTERVAL '{hours} hours'"
        folder.ask(f"UPDATE {TABLE} SET timestamp = {moment}")  # noqa: S608
        [(_, found)] = folder.ask(block("Alerts", "sql"))
        assert found is stale


@NEEDS_DUCKDB
def test_a_person_is_deleted(folder):
    shown = block("Deleting a person's data", "sql")
    (placeholder,) = set(re.findall(r"[\w.]+@[\w.]+", shown))
    before = folder.ids()
    folder.ask(shown.replace(placeholder, PERSON))
    assert {*before} - {*folder.ids()} == {*ids(DATA[:3])}


@NEEDS_DUCKDB
def test_a_reader_of_the_file_stops_the_load(folder):
    import duckdb  # noqa: PLC0415

    before = folder.state()
    with duckdb.connect(str(folder.path / "audit.duckdb"), read_only=True):
        said = folder.run(code=1)
    text = section("Reading DuckDB while it is loaded").replace("\n", " ")
    (sentence,) = re.findall(r'"(Could .*?)"', text)
    assert sentence in said
    assert folder.state() == before


@NEEDS_DUCKDB
def test_commands_of_the_tap(folder):
    folder.run(block("Keys", "sh", "--test"))
    folder.run(block("Upgrades", "sh", "--discover"))
    catalog = json.loads((folder.path / "catalog.json").read_bytes())
    assert catalog["streams"][0]["tap_stream_id"] == "audit_logs"


def test_batch_files(tmp_path):
    recipe = json.loads(block("Batch files", "json"))
    recipe["batch_config"]["storage"]["root"] = tmp_path.as_uri()
    with Sandbox(DATA) as sandbox:
        sync(config_for(sandbox, **recipe))
    files = [gzip.decompress(path.read_bytes()) for path in tmp_path.glob("audit-*")]
    found = [json.loads(line)["id"] for line in b"".join(files).splitlines()]
    assert sorted(found) == sorted(ids(DATA))


def test_the_size_of_an_event():
    (size,) = re.findall(r"one\s+in\s+JSON\s+lines\s+about\s+(\d+)", section("Size"))
    sizes = [len(event_of(item, "sandbox").json) for item in Dataset(records=500)]
    assert sum(sizes) / len(sizes) == pytest.approx(int(size), rel=0.1)
