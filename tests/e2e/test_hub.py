"""The tap in a new Meltano project, added as the README says."""

import json
import shlex

import pytest
import yaml

from sandbox.server import Sandbox
from sandbox.truth import find, truth
from scripts import ROOT
from tests.helpers import history
from tests.helpers.projects import (
    RUN,
    TAP,
    Project,
    as_variables,
    read_yaml,
    use_installed,
)
from tests.helpers.readme import blocks, section
from tests.helpers.targets import DuckDB

# The first to ask for the project also waits for the tap's installation.
pytestmark = pytest.mark.timeout(300)

META = read_yaml(ROOT / "meta.yml")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(history.before()) as server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory, sandbox):
    project = Project(tmp_path_factory.mktemp("project"))
    project.meltano("init", ".")
    path = project.folder / "meltano.yml"
    loaders = read_yaml(ROOT / "meltano.yml")["plugins"]["loaders"]
    (pinned,) = (loader["pip_url"] for loader in loaders)
    loaders[0]["pip_url"] = "target-duckdb"
    content = read_yaml(path) | {"plugins": {"loaders": loaders}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    use_installed(project, "loaders")

    add, configure, pin = blocks(section("An existing Meltano project"), "sh")
    project.bash(add.replace("/path/to/tap-akuity", shlex.quote(str(ROOT))))
    project.meltano("config", "set", TAP, "api_url", sandbox.url)
    for value in ("organization-id", "key-id", "key-secret"):
        name = value.replace("key", "api_key").replace("-", "_")
        configure = configure.replace(f"your-{value}", getattr(sandbox, name))
    project.bash(configure.replace("2026-01-01", "2020-01-01"))
    project.bash(pin.partition("meltano install")[0])
    (loader,) = read_yaml(path)["plugins"]["loaders"]
    assert loader["pip_url"] == pinned
    return project


def test_the_pipeline_loads_all_and_shows_no_secret(project, sandbox):
    secrets = (sandbox.api_key_id, sandbox.api_key_secret)
    said = [
        project.meltano(*command)
        for command in (
            RUN,
            ("config", "list", TAP, "--all"),
            ("config", "print", TAP),
            ("config", "set", TAP, "api_key_secret", sandbox.api_key_secret),
            ("config", "test", TAP),
        )
    ]
    assert DuckDB(project.folder).problems(truth(sandbox)) == []
    kept = (project.folder / ".env").read_text(encoding="utf-8")
    assert all(secret in kept for secret in secrets)
    said.append((project.folder / "meltano.yml").read_text(encoding="utf-8"))
    assert not [text for text in said if any(secret in text for secret in secrets)]


# A setting of each kind, as it is typed or in the environment, and as the tap gets it.
VALUES = {
    "actions": ('["created", "deleted"]', ["created", "deleted"]),
    "batch_config.encoding.compression": ("gzip", "gzip"),
    "end_date": ("2025-06-01", "2025-06-01"),
    "flattening_enabled": ("true", True),
    "page_size": ("77", 77),
    "request_timeout_seconds": ("5", 5),
    "stream_map_config": ('{"salt": "a"}', {"salt": "a"}),
    "user_agent": ("of the tests", "of the tests"),
}


@pytest.mark.parametrize("by", ["config set", "environment"])
def test_settings_reach_the_tap_with_their_types(project, by):
    kinds = {setting["name"]: setting["kind"] for setting in META["settings"]}
    assert {kinds[name] for name in VALUES} == {*kinds.values()}

    path = project.folder / ("meltano.yml" if by == "config set" else ".env")
    before = path.read_text(encoding="utf-8")
    for name, (text, _) in VALUES.items():
        if by == "config set":
            project.meltano("config", "set", TAP, *name.split("."), text)
        else:
            ((variable, _),) = as_variables({name.replace(".", "_"): text}).items()
            with path.open("a", encoding="utf-8") as file:
                file.write(f"\n{variable}={shlex.quote(text)}")
    config = json.loads(
        project.meltano("--log-level=error", "invoke", "--dump=config", TAP)
    )
    path.write_text(before, encoding="utf-8")
    found = {name: find(config, name.split(".")) for name in VALUES}
    assert found == {name: value for name, (_, value) in VALUES.items()}
