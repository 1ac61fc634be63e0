"""What docs/recipes.md shows, run into a real target."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from harness import ROOT, HarnessError
from harness.processes import inherited
from sandbox.server import Sandbox
from tests.helpers import environments, history
from tests.helpers.commands import TAP, write
from tests.helpers.environments import commands_of
from tests.helpers.pipelines import run
from tests.helpers.running import config_for
from tests.helpers.targets import DuckDB, Jsonl, blanks_null, cut
from tests.helpers.truth import OBJECTS, Row, differences, find, flattened, truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(360)

_RECIPE = re.compile(r"^### (.+?)\n.*?^```json\n(.*?)^```", re.DOTALL | re.MULTILINE)

_PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
_TARGETS = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8")
_COLUMNS = _PAGE.partition("## Columns\n")[2].partition("\n## ")[0]

RECIPES: dict[str, dict[str, Any]] = {
    title: json.loads(text) for title, text in _RECIPE.findall(_COLUMNS)
}


def renamed(row: Row) -> Row:
    last = row.pop("lastOccurredTimestamp")
    return row | {"last_occurred_at": last}


def beside(row: Row) -> Row:
    return row | {
        "actor_id": find(row, ("actor", "id")),
        "object_type": find(row, ("object", "type")),
        "object_name": find(row, ("object", "id", "name")),
    }


def as_text(row: Row) -> Row:
    texts = {
        f"{name}_json": json.dumps(row.pop(name), ensure_ascii=False)
        for name in OBJECTS
    }
    return row | texts


EXPECTED: dict[str, Callable[[Row], Row]] = {
    "Names in snake_case": renamed,
    "Columns for what people ask for": beside,
    "Objects as JSON text": as_text,
    "Flat columns": flattened,
}


class Renamed(Jsonl):
    """JSON lines, with the name that the first recipe gives."""

    times = ("timestamp", "lastOccurredTimestamp", "last_occurred_at")


def test_each_recipe_is_tried() -> None:
    assert RECIPES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("title", EXPECTED)
def test_a_recipe(title: str, tmp_path: Path) -> None:
    kind = Renamed if EXPECTED[title] is renamed else Jsonl
    warehouse = kind(tmp_path)
    with Sandbox(history.before()) as sandbox:
        config = config_for(sandbox, **RECIPES[title])
        done = run(commands_of(kind), warehouse, tmp_path, config)
        assert (done.tap_code, done.target_code) == (0, 0), done.errors
        expected = {name: EXPECTED[title](row) for name, row in truth(sandbox).items()}
    assert differences(expected, warehouse.rows()) == []


def test_a_mapper_between_tap_and_target(tmp_path: Path) -> None:
    _, text = _PAGE.split("## Stream maps between the tap and the target\n")
    (plugins,) = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (mapper,) = yaml.safe_load(plugins)["plugins"]["mappers"]
    (mapping,) = mapper["mappings"]
    assert f"meltano run tap-akuity {mapping['name']} target-duckdb" in text
    try:
        commands = environments.build("mapper", [mapper["pip_url"]])
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)
    warehouse = Jsonl(tmp_path)
    with Sandbox(history.before()) as sandbox:
        messages = b""
        for command, config in (
            (TAP, config_for(sandbox)),
            (commands / mapper["executable"], mapping["config"]),
            (commands_of(Jsonl) / Jsonl.command, warehouse.settings()),
        ):
            path = write(tmp_path / "config.json", config)
            messages = subprocess.run(
                [command, "--config", path],
                input=messages,
                stdout=subprocess.PIPE,
                check=True,
                timeout=60,
            ).stdout
        expected = {
            name: {key: value for key, value in row.items() if key != "details"}
            | {"actor_id": find(row, ("actor", "id"))}
            for name, row in truth(sandbox).items()
        }
    assert differences(expected, warehouse.rows()) == []


@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_each_in_an_environment_of_its_own(tool: str, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", _TARGETS, re.DOTALL | re.MULTILINE)
    (script,) = (text for text in blocks if text.startswith(f"{tool} "))
    try:
        tools = environments.build("tools", ["pipx", "uv"])
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)
    commands = tmp_path / "bin"
    environment = inherited("MELTANO_", "TAP_AKUITY_", "TARGET_") | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(commands),
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(commands),
        "UV_PYTHON": sys.executable,
        "PIPX_DEFAULT_PYTHON": sys.executable,
    }
    done = subprocess.run(
        ["bash", "-euc", script],  # noqa: S607 - as a user would
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    warehouse = DuckDB(tmp_path)
    with Sandbox(history.before()) as sandbox:
        config = config_for(sandbox)
        tap = str(commands / "tap-akuity")
        loaded = run(commands, warehouse, tmp_path, config, tap_command=tap)
        assert (loaded.tap_code, loaded.target_code) == (0, 0), loaded.errors
        expected = {name: warehouse.stored(row) for name, row in truth(sandbox).items()}
    assert differences(expected, warehouse.rows()) == []


def test_a_backfill_by_duckdb_itself(tmp_path: Path) -> None:
    _, text = _TARGETS.split("### A large backfill, by DuckDB's own reader\n")
    blocks = dict(re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    settings = json.loads(blocks["json"])
    folder = tmp_path / "batches"
    folder.mkdir()
    settings["batch_config"]["storage"]["root"] = folder.as_uri()
    warehouse = DuckDB(tmp_path)
    with Sandbox(history.before()) as sandbox:
        config = write(tmp_path / "config.json", config_for(sandbox, **settings))
        done = subprocess.run(
            [TAP, "--config", config], capture_output=True, check=True, timeout=60
        )
        script = blocks["sql"].replace("batches/", f"{folder}/")
        with duckdb.connect(warehouse.settings()["filepath"]) as connection:
            connection.execute(script)
        before = truth(sandbox)
        # Other than target-duckdb, it keeps an empty text.
        expected = {name: _lower(cut(row)) for name, row in before.items()}
        assert differences(expected, warehouse.rows()) == []

        history.meanwhile(sandbox)
        *_, state = (
            message["value"]
            for line in done.stdout.splitlines()
            if (message := json.loads(line))["type"] == "STATE"
        )
        loaded = run(
            commands_of(DuckDB), warehouse, tmp_path, config_for(sandbox), state=state
        )
        assert (loaded.tap_code, loaded.target_code) == (0, 0), loaded.errors
        assert loaded.read < len(before)
        stored = {name: warehouse.stored(row) for name, row in truth(sandbox).items()}
    rows = [blanks_null(row) for row in warehouse.rows()]
    assert differences(stored, rows) == []


def _lower(row: Row) -> Row:
    return {name.lower(): value for name, value in row.items()}
