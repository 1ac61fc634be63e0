"""The wheel in `dist`, installed where nothing else is."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from harness import ROOT, HarnessError
from sandbox.data import Dataset
from sandbox.server import Sandbox
from tap_akuity.settings import SCHEMA
from tests.helpers.commands import messages, write
from tests.helpers.environments import build
from tests.helpers.events import ids
from tests.helpers.running import config_for, records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture(scope="module")
def wheel() -> Path:
    wheels = list((ROOT / "dist").glob("*.whl"))
    if len(wheels) != 1:
        pytest.fail("Build the package first, with `make package`.", pytrace=False)
    return wheels[0]


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the commands of an environment that is made for this run."""
    home = tmp_path_factory.mktemp("environments")
    try:
        return build("tap-akuity", [str(wheel)], home)
    except HarnessError as error:
        problem = str(error)
    pytest.fail(problem, pytrace=False)


def run(commands: Path, name: str, arguments: Sequence[str], folder: Path) -> str:
    """Run a command, where nothing of the checkout is in its way."""
    done = subprocess.run(
        [str(commands / name), *arguments],
        cwd=folder,
        env={"PATH": str(commands)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_that_is_required_is_there(commands: Path, tmp_path: Path) -> None:
    run(commands, "python", ["-m", "pip", "check"], tmp_path)
    listed = run(commands, "python", ["-m", "pip", "list", "--format=json"], tmp_path)
    names = {package["name"] for package in json.loads(listed)}
    assert {"tap-akuity", "singer-sdk"} <= names
    assert not names & {"pytest", "starlette", "uvicorn", "duckdb"}


def test_version(commands: Path, wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]
    assert run(commands, "tap-akuity", ["--version"], tmp_path) == (
        f"tap-akuity v{version}, Meltano SDK v{sdk(commands, tmp_path)}\n"
    )


def sdk(commands: Path, folder: Path) -> str:
    code = "from importlib.metadata import version; print(version('singer-sdk'))"
    return run(commands, "python", ["-c", code], folder).strip()


def test_about(commands: Path, tmp_path: Path) -> None:
    arguments = ["--about", "--format=json"]
    about = json.loads(run(commands, "tap-akuity", arguments, tmp_path))
    assert about["name"] == "tap-akuity"
    assert SCHEMA["properties"].keys() <= about["settings"]["properties"].keys()


def test_a_sync(commands: Path, tmp_path: Path) -> None:
    data = list(Dataset(records=1_200))
    with Sandbox(data) as sandbox:
        config = write(tmp_path / "config.json", config_for(sandbox))
        arguments = ["--config", str(config)]
        catalog = tmp_path / "catalog.json"
        discovered = run(commands, "tap-akuity", [*arguments, "--discover"], tmp_path)
        catalog.write_text(discovered, encoding="utf-8")
        (stream,) = json.loads(discovered)["streams"]
        assert stream["tap_stream_id"] == "audit_logs"
        arguments += ["--catalog", str(catalog)]
        found = messages(run(commands, "tap-akuity", arguments, tmp_path))
    assert sorted(record["id"] for record in records(found)) == sorted(ids(data))
    assert found[-1]["type"] == "STATE"
