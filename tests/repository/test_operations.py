"""What `docs/operations.md` and the recipes for delivery show works."""

from __future__ import annotations

import configparser
import gzip
import json
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from demo.warehouse import TABLE
from sandbox.data import Dataset
from sandbox.server import Sandbox
from tests.helpers.commands import TAP, run, write
from tests.helpers.events import event_of, ids
from tests.helpers.readme import NEEDS_DUCKDB, Folder, blocks, section
from tests.helpers.running import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = list(Dataset(records=400))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(DATA) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, sandbox: Sandbox) -> Folder:
    path = tmp_path / "audit"
    path.mkdir()
    return Folder(path, sandbox, start_date="2000-01-01")


@NEEDS_DUCKDB
def test_the_line_for_cron(folder: Folder) -> None:
    (line,) = blocks(section("cron"), "text")
    assert re.match(r"\d+ \* \* \* \* cd ", line)
    folder.run(line.split(None, 5)[5], HOME=str(folder.path.parent))
    assert sorted(folder.ids()) == sorted(ids(DATA))


@NEEDS_DUCKDB
def test_two_runs_of_cron_do_not_overlap(folder: Folder) -> None:
    (line,) = blocks(section("cron"), "text")
    with subprocess.Popen(
        ["flock", "lock", "sh", "-c", "echo; read _"],  # noqa: S607
        cwd=folder.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(subprocess.CalledProcessError):
            folder.run(line.split(None, 5)[5], HOME=str(folder.path.parent))
        other.communicate(b"\n")
    assert not (folder.path / "audit.duckdb").exists()


@NEEDS_DUCKDB
def test_the_units_for_systemd(folder: Folder) -> None:
    units = []
    for text in blocks(section("systemd"), "ini"):
        unit = configparser.ConfigParser(interpolation=None)
        unit.optionxform = str  # type: ignore[assignment,method-assign]
        unit.read_string(text)
        units.append(unit)
    service, timer = units
    assert service["Service"]["Type"] == "oneshot"
    assert timer["Timer"]["OnCalendar"] == "hourly"
    command = service["Service"]["ExecStart"].replace("%h", str(folder.path.parent))
    subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=60)
    assert sorted(folder.ids()) == sorted(ids(DATA))


@NEEDS_DUCKDB
def test_how_fresh_the_table_is(folder: Folder, sandbox: Sandbox) -> None:
    (query,) = blocks(section("Alerts"), "sql")
    old = [item for item in DATA if item["timestamp"] < DATA[-1]["timestamp"][:10]]
    with Sandbox(old[:50]) as server:
        write(folder.path / "config.json", config_for(server))
        folder.run("bash sync.sh old")
    folder.run("true")
    [(newest, is_stale)] = folder.ask(query, "old")
    assert is_stale
    write(folder.path / "config.json", config_for(sandbox))
    sandbox.state.happen(1)
    folder.run("bash sync.sh")
    [(later, is_stale)] = folder.ask(query)
    assert not is_stale
    assert later > newest


@NEEDS_DUCKDB
def test_a_person_is_deleted(folder: Folder) -> None:
    import duckdb  # noqa: PLC0415

    folder.run("bash sync.sh")
    name = "alice.nguyen@northwind.example"
    (shown,) = blocks(section("Deleting a person's data"), "sql")
    (placeholder,) = set(re.findall(r"[\w.]+@[\w.]+", shown))
    naming = f"SELECT count(*) FROM {TABLE} AS t WHERE CAST(t AS text) LIKE '%{name}%'"  # noqa: S608
    [(before,)] = folder.ask(naming)
    with duckdb.connect(str(folder.path / "audit.duckdb")) as connection:
        connection.execute(shown.replace(placeholder, name))
    assert 0 < before < len(DATA)
    assert folder.ask(naming) == [(0,)]
    assert len(folder.ids()) == len(DATA) - before


@NEEDS_DUCKDB
def test_a_reader_of_the_file_stops_the_load_and_nothing_is_lost(
    folder: Folder, sandbox: Sandbox
) -> None:
    folder.run("bash sync.sh")
    sandbox.state.happen(5)
    program = (
        "import duckdb; c = duckdb.connect('audit.duckdb', read_only=True); "
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=folder.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        with pytest.raises(subprocess.CalledProcessError) as caught:
            folder.run("bash sync.sh")
        reader.communicate(b"\n")
    text = section("Reading DuckDB while it is loaded").replace("\n", " ")
    (said,) = re.findall(r'"(Could .*?)"', text)
    assert said in caught.value.stderr.decode()
    folder.run("bash sync.sh")
    assert len(folder.ids()) == len(DATA) + 5


@pytest.mark.parametrize(
    ("title", "option"), [("Keys", "--test"), ("Upgrades", "--discover")]
)
def test_commands_of_the_tap(folder: Folder, title: str, option: str) -> None:
    commands = blocks(section(title), "sh")
    (command,) = (one for one in commands if "tap-akuity --config" in one)
    assert option in command
    folder.run(command)
    if option == "--discover":
        catalog = json.loads((folder.path / "catalog.json").read_bytes())
        assert catalog["streams"][0]["tap_stream_id"] == "audit_logs"


def test_batch_files(sandbox: Sandbox, tmp_path: Path) -> None:
    (text,) = blocks(section("Batch files"), "json")
    recipe: dict[str, Any] = json.loads(text)
    recipe["batch_config"]["storage"]["root"] = tmp_path.as_uri()
    config = write(tmp_path / "config.json", config_for(sandbox, **recipe))
    done = run("--config", config, command=(TAP,))
    assert done.returncode == 0, done.stderr
    lines = [
        line
        for path in tmp_path.glob("audit-*")
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    assert sorted(json.loads(line)["id"] for line in lines) == sorted(ids(DATA))


def test_the_size_of_an_event() -> None:
    (size,) = re.findall(r"one\s+in\s+JSON\s+lines\s+about\s+(\d+)", section("Size"))
    sizes = [len(event_of(item, "sandbox").json) for item in Dataset(records=2_000)]
    assert sum(sizes) / len(sizes) == pytest.approx(int(size), rel=0.1)
