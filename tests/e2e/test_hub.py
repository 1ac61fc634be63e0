"""The tap in a new Meltano project, added from its definition as from Meltano Hub."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness import ROOT
from sandbox.server import Sandbox
from tests.helpers import history
from tests.helpers.projects import (
    MELTANO,
    RUN,
    TAP,
    NewProject,
    is_installed,
    settings_for,
)
from tests.helpers.readme import blocks, section
from tests.helpers.targets import DuckDB
from tests.helpers.truth import differences, truth

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first to ask for the project also waits for the tap's installation.
pytestmark = pytest.mark.timeout(300)

META: dict[str, Any] = yaml.safe_load((ROOT / "meta.yml").read_bytes())
SETTINGS: dict[str, Any] = {setting["name"]: setting for setting in META["settings"]}
(REQUIRED,) = META["settings_group_validation"]

PLACE = "/path/to/tap-akuity"


def readme(word: str) -> list[list[str]]:
    """Give the commands of the block that has a word, for this checkout."""
    title = "An existing Meltano project"
    (found,) = (one for one in blocks(section(title), "sh") if word in one)
    lines = found.replace(PLACE, str(ROOT)).splitlines()
    return [shlex.split(line) for line in lines]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Serve what happened before the first run."""
    with Sandbox(history.before()) as server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> NewProject:
    """Add the tap to a new project, as the README says."""
    if not is_installed():
        pytest.fail("Meltano is not installed here: run `make meltano`.", pytrace=False)
    project = NewProject(tmp_path_factory.mktemp("new") / "project")
    for command in readme("--from-ref"):
        assert command[0] == MELTANO.name
        project.meltano(None, *command[1:])
    for name, value in settings_for(sandbox).items():
        project.meltano(None, "config", "set", TAP, name, value)
    return project


def secrets(sandbox: Sandbox) -> list[str]:
    return [sandbox.api_key_id, sandbox.api_key_secret]


def test_the_definition_arrives_whole(project: NewProject) -> None:
    (extractor,) = project.content()["plugins"]["extractors"]
    assert extractor["pip_url"] == str(ROOT)
    names = ("name", "namespace", "label", "variant", "executable", "description")
    for name in (*names, "capabilities", "settings_group_validation"):
        assert extractor[name] == META[name]
    assert {one["name"]: one for one in extractor["settings"]} == SETTINGS


def test_the_settings_show_with_labels_and_descriptions(project: NewProject) -> None:
    said = project.meltano(None, "config", "list", TAP, "--all").stdout
    lines = said.splitlines()
    assert lines[0] == f"Required settings: {', '.join(sorted(REQUIRED))}"
    for name, setting in SETTINGS.items():
        variable = f"TAP_AKUITY_{name.upper().replace('.', '_')}"
        (index,) = (
            number
            for number, line in enumerate(lines)
            if line.startswith(f"{name} [env: {variable}] ")
        )
        explained = f"\t{setting['label']}: {setting['description']}"
        assert lines[index + 1] == explained
        redacted = "current value: (redacted)" in lines[index]
        assert redacted == setting.get("sensitive", False)


def test_no_secret_is_shown_or_in_meltano_yml(
    project: NewProject, sandbox: Sandbox
) -> None:
    (extractor,) = project.content()["plugins"]["extractors"]
    sensitive = {name for name, one in SETTINGS.items() if one.get("sensitive")}
    assert sensitive == {"api_key_id", "api_key_secret"}
    assert set(extractor["config"]) == {"api_url", "organization_id", "start_date"}

    kept = (project.folder / ".env").read_text(encoding="utf-8")
    assert all(secret in kept for secret in secrets(sandbox))

    shown = [
        project.meltano(None, *command)
        for command in (
            ("config", "list", TAP, "--all"),
            ("config", "print", TAP),
            ("config", "set", TAP, "api_key_secret", sandbox.api_key_secret),
            ("config", "test", TAP),
        )
    ]
    text = (project.folder / "meltano.yml").read_text(encoding="utf-8")
    for one in (text, *(done.stdout + done.stderr for done in shown)):
        assert not any(secret in one for secret in secrets(sandbox))


def test_a_test_of_the_settings_shows_a_sentence(project: NewProject) -> None:
    project.meltano(None, "config", "set", TAP, "page_size", "0")
    try:
        with project.started(None, "config", "test", TAP) as process:
            output, errors = process.communicate(timeout=60)
    finally:
        project.meltano(None, "config", "unset", TAP, "page_size")
    assert process.returncode != 0
    sentence = "Setting `page_size` must be an integer from 1 to 10000."
    assert sentence in (output + errors).splitlines()


def test_about(project: NewProject) -> None:
    text = project.meltano(None, "invoke", TAP, "--about").stdout
    assert f"Name: {TAP}\n" in text
    assert "  - Name: api_key_secret\n" in text
    about = json.loads(
        project.meltano(None, "invoke", TAP, "--about", "--format=json").stdout
    )
    assert about["name"] == META["name"]
    assert sorted(about["capabilities"]) == META["capabilities"]
    assert sorted(about["settings"]["required"]) == REQUIRED
    # It is the tap in the project's own environment, not the one of this checkout.
    assert (project.folder / ".meltano" / "extractors" / TAP / "venv").is_dir()


# A setting of each kind, as it is typed or put into the environment, and as the tap
# gets it.
VALUES: dict[str, tuple[str, Any]] = {
    "actions": ('["created", "deleted"]', ["created", "deleted"]),
    "batch_config.encoding.compression": ("gzip", "gzip"),
    "end_date": ("2025-06-01", "2025-06-01"),
    "flattening_enabled": ("true", True),
    "page_size": ("77", 77),
    "request_timeout_seconds": ("5", 5),
    "stream_map_config": ('{"salt": "a"}', {"salt": "a"}),
    "user_agent": ("of the tests", "of the tests"),
}


def config(project: NewProject) -> dict[str, Any]:
    """Give the config file that Meltano writes for the tap."""
    said = project.meltano(None, "invoke", "--dump=config", TAP)
    content: dict[str, Any] = json.loads(said.stdout)
    return content


def get(config: dict[str, Any], name: str) -> Any:
    for part in name.split("."):
        config = config[part]
    return config


def test_a_setting_of_each_kind_is_among_them() -> None:
    kinds = {SETTINGS[name]["kind"] for name in VALUES}
    assert kinds == {setting["kind"] for setting in SETTINGS.values()}


def test_settings_reach_the_tap_with_their_types(project: NewProject) -> None:
    before = config(project)
    for name, (text, _) in VALUES.items():
        project.meltano(None, "config", "set", TAP, *name.split("."), text)
    try:
        after = config(project)
    finally:
        for name in VALUES:
            project.meltano(None, "config", "unset", TAP, *name.split("."))
    assert {name: get(after, name) for name in VALUES} == {
        name: value for name, (_, value) in VALUES.items()
    }
    assert config(project) == before


def test_the_environment_reaches_the_tap_with_its_types(
    project: NewProject,
) -> None:
    path = project.folder / ".env"
    before = path.read_text(encoding="utf-8")
    lines = [
        f"TAP_AKUITY_{name.upper().replace('.', '_')}={shlex.quote(text)}"
        for name, (text, _) in VALUES.items()
    ]
    path.write_text("\n".join([before, *lines, ""]), encoding="utf-8")
    try:
        after = config(project)
    finally:
        path.write_text(before, encoding="utf-8")
    assert {name: get(after, name) for name in VALUES} == {
        name: value for name, (_, value) in VALUES.items()
    }


def test_the_pipeline_loads_all(
    project: NewProject, sandbox: Sandbox, summary: list[str]
) -> None:
    *_, test = readme("--test")
    project.meltano(None, *test[1:])

    before = truth(sandbox)
    first = project.meltano(None, *RUN)
    stored = DuckDB(project.folder).stored
    expected = {name: stored(row) for name, row in before.items()}
    assert differences(expected, project.rows(project.environment)) == []

    history.meanwhile(sandbox)
    after = truth(sandbox)
    second = project.meltano(None, *RUN)
    expected = {name: stored(row) for name, row in after.items()}
    assert differences(expected, project.rows(project.environment)) == []
    assert len(after) > len(before)
    for said in (first, second):
        shown = said.stdout + said.stderr
        assert not any(secret in shown for secret in secrets(sandbox))
    summary.append(
        f"{'tap-akuity from meta.yml in a new project':70} "
        f"{len(before)} rows loaded, {len(after)} compared"
    )
