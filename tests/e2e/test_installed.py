"""The wheel in `dist`, installed where nothing else is."""

import json
import subprocess

import pytest

from sandbox.data import Dataset
from sandbox.server import Sandbox
from scripts import ROOT
from scripts.environments import build
from tap_akuity.settings import SCHEMA
from tests.helpers.commands import messages, write
from tests.helpers.events import ids
from tests.helpers.running import config_for, records


@pytest.fixture(scope="module")
def wheel():
    (path,) = (ROOT / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Return what runs a command where nothing of the checkout is in its way."""
    folder = tmp_path_factory.mktemp("environments")
    commands = build("tap-akuity", str(wheel), home=folder)

    def output(name, *arguments):
        return subprocess.check_output(
            [commands / name, *arguments],
            cwd=folder,
            env={"PATH": str(commands)},
            text=True,
            timeout=60,
        )

    return output


def test_all_that_is_required_is_there(run):
    run("python", "-m", "pip", "check")
    listed = json.loads(run("python", "-m", "pip", "list", "--format=json"))
    names = {package["name"] for package in listed}
    assert {"tap-akuity", "singer-sdk"} <= names
    assert not names & {"pytest", "starlette", "uvicorn", "duckdb"}


def test_the_version_and_the_settings(run, wheel):
    version = wheel.name.split("-")[1]
    said = run("tap-akuity", "--version")
    assert said.startswith(f"tap-akuity v{version}, Meltano SDK v0.")
    about = json.loads(run("tap-akuity", "--about", "--format=json"))
    assert about["name"] == "tap-akuity"
    assert SCHEMA["properties"].keys() <= about["settings"]["properties"].keys()


def test_it_discovers_and_syncs_every_event(run, tmp_path):
    data = list(Dataset(records=1_200))
    with Sandbox(data) as sandbox:
        config = write(tmp_path / "config.json", config_for(sandbox))
        discovered = run("tap-akuity", "--config", config, "--discover")
        catalog = write(tmp_path / "catalog.json", json.loads(discovered))
        said = run("tap-akuity", "--config", config, "--catalog", catalog)
    found = messages(said)
    assert sorted(record["id"] for record in records(found)) == sorted(ids(data))
    assert found[-1]["type"] == "STATE"
