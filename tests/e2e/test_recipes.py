"""What docs/recipes.md and docs/targets.md show, run into a real target."""

import json
import os
import re
import subprocess
import sys

import duckdb
import pytest

from sandbox.truth import OBJECTS, differences, find, flattened, truth
from scripts import ROOT
from scripts.environments import build
from scripts.processes import inherited
from tests.helpers import history
from tests.helpers.commands import TAP, write
from tests.helpers.pipelines import load
from tests.helpers.readme import blocks, section
from tests.helpers.running import config_for
from tests.helpers.targets import DuckDB, Jsonl

pytestmark = pytest.mark.timeout(600)


def renamed(row):
    last = row.pop("lastOccurredTimestamp")
    return row | {"last_occurred_at": last}


def beside(row):
    return row | {
        "actor_id": find(row, ("actor", "id")),
        "object_type": find(row, ("object", "type")),
        "object_name": find(row, ("object", "id", "name")),
    }


def as_text(row):
    texts = {
        f"{name}_json": json.dumps(row.pop(name), ensure_ascii=False)
        for name in OBJECTS
    }
    return row | texts


EXPECTED = {
    "Names in snake_case": renamed,
    "Columns for what people ask for": beside,
    "Objects as JSON text": as_text,
    "Flat columns": flattened,
}


def test_each_recipe_is_run():
    titles = re.findall(r"^### (.+)$", section("Columns"), re.MULTILINE)
    assert titles == list(EXPECTED)


@pytest.mark.parametrize("title", EXPECTED)
def test_a_recipe(title, tmp_path, sandbox):
    (recipe,) = blocks(section(title), "json")
    warehouse = Jsonl(tmp_path)
    load(warehouse, config_for(sandbox, **json.loads(recipe)))
    expected = {name: EXPECTED[title](row) for name, row in truth(sandbox).items()}
    assert differences(expected, warehouse.rows()) == []


@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_each_in_an_environment_of_its_own(tool, tmp_path, sandbox):
    scripts = blocks(section("Separate environments"), "sh")
    (script,) = (text for text in scripts if text.startswith(f"{tool} "))
    tools = build("tools")
    commands = tmp_path / "bin"
    environment = inherited("MELTANO_", "TAP_AKUITY_", "TARGET_") | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(commands),
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(commands),
        "UV_PYTHON": sys.executable,
    }
    subprocess.run(
        ["bash", "-euc", script],  # noqa: S607
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=300,
    )
    warehouse = DuckDB(tmp_path)
    load(warehouse, config_for(sandbox), commands=commands)
    assert warehouse.problems(truth(sandbox)) == []


class BlanksKept(DuckDB):
    """DuckDB's own reader keeps empty text; target-duckdb does not."""

    blanks = True


def test_a_backfill_by_duckdb_itself(tmp_path, sandbox):
    page = section("A large backfill, by DuckDB's own reader")
    (text,), (sql,) = blocks(page, "json"), blocks(page, "sql")
    batches = tmp_path / "batches"
    batches.mkdir()
    text = text.replace("file:///home/me/audit/batches", batches.as_uri())
    settings = config_for(sandbox, **json.loads(text))
    path = write(tmp_path / "config.json", settings)
    messages = subprocess.check_output([TAP, "--config", path], timeout=60).splitlines()
    warehouse = BlanksKept(tmp_path)
    with duckdb.connect(warehouse.settings()["filepath"]) as connection:
        connection.execute(sql.replace("batches/", f"{batches}/"))
    before = truth(sandbox)
    assert warehouse.problems(before) == []

    history.meanwhile(sandbox)
    found = map(json.loads, messages)
    *_, state = (message["value"] for message in found if message["type"] == "STATE")
    assert load(warehouse, config_for(sandbox), state).read < len(before)
    rows = [
        {name: None if value == "" else value for name, value in row.items()}
        for row in warehouse.rows()
    ]
    assert DuckDB(tmp_path).problems(truth(sandbox), rows) == []
