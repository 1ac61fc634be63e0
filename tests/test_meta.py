"""The plugin definitions, meta.yml and meltano.yml, against the tap itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

# What the tap sets by itself, and a definition would have to follow at each release.
NOT_A_CONSTANT = {"user_agent"}

KINDS = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    "object": "object",
    "string": "string",
    # As Meltano Hub has it. There is a kind `decimal`, but Meltano (4.4) cannot write
    # one that comes from the environment into the tap's config file.
    "number": "integer",
}


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / name).read_bytes())
    return content


def flat(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Name nested settings with dots, as Meltano does."""
    for name, setting in schema["properties"].items():
        # Names such as `__else__` are words of a language, not settings.
        names = [key for key in setting.get("properties", {}) if key[:2] != "__"]
        if names:
            yield from flat(setting, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", setting


def kind(setting: dict[str, Any]) -> str:
    if "enum" in setting:
        return "options"
    if setting.get("format") == "date-time":
        return "date_iso8601"
    types: set[str] = set()
    for alternative in setting.get("oneOf", [setting]):
        one_or_more = alternative["type"]
        types |= {one_or_more} if isinstance(one_or_more, str) else set(one_or_more)
    types -= {"null"}
    if len(types) > 1:  # there is no kind for this: take the one that can hold all
        return "array" if "array" in types else "string"
    return KINDS[types.pop()]


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    command = [sys.executable, "-m", "tap_akuity", "--about", "--format=json"]
    output = subprocess.check_output(command, cwd=ROOT)
    information: dict[str, Any] = json.loads(output)
    return information


@pytest.fixture(scope="module")
def expected(about: dict[str, Any]) -> dict[str, Any]:
    return dict(flat(about["settings"]))


@pytest.fixture(scope="module")
def meta() -> dict[str, Any]:
    return load("meta.yml")


@pytest.fixture(scope="module")
def settings(meta: dict[str, Any]) -> dict[str, Any]:
    return {setting["name"]: setting for setting in meta["settings"]}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return load("meltano.yml")


def test_meta_names_the_tap(about: dict[str, Any], meta: dict[str, Any]) -> None:
    assert meta["name"] == meta["executable"] == meta["pip_url"] == about["name"]
    assert meta["namespace"] == about["name"].replace("-", "_")


def test_meta_has_every_setting(
    expected: dict[str, Any], settings: dict[str, Any], meta: dict[str, Any]
) -> None:
    assert set(settings) == set(expected)
    assert len(meta["settings"]) == len(settings)


def test_meta_has_the_kinds(expected: dict[str, Any], settings: dict[str, Any]) -> None:
    assert {name: setting["kind"] for name, setting in settings.items()} == {
        name: kind(setting) for name, setting in expected.items()
    }


def test_meta_has_the_options(
    expected: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert {
        name: [option["value"] for option in setting["options"]]
        for name, setting in settings.items()
        if "options" in setting
    } == {
        name: setting["enum"] for name, setting in expected.items() if "enum" in setting
    }


def test_meta_has_the_secrets(
    expected: dict[str, Any], settings: dict[str, Any]
) -> None:
    sensitive = {name for name, setting in settings.items() if setting.get("sensitive")}
    assert sensitive == {
        name for name, setting in expected.items() if "secret" in setting
    }
    assert "api_key_secret" in sensitive


def test_meta_has_the_defaults(
    expected: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert {
        name: setting["value"]
        for name, setting in settings.items()
        if "value" in setting
    } == {
        name: setting["default"]
        for name, setting in expected.items()
        if setting.get("default") is not None and name not in NOT_A_CONSTANT
    }


def test_meta_has_the_titles(
    expected: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert {name: setting["label"] for name, setting in settings.items()} == {
        name: setting["title"] for name, setting in expected.items()
    }
    assert all(setting["description"] for setting in settings.values())


def test_meta_has_the_required_settings(
    about: dict[str, Any], meta: dict[str, Any]
) -> None:
    assert meta["settings_group_validation"] == [sorted(about["settings"]["required"])]


def test_meta_has_the_capabilities(about: dict[str, Any], meta: dict[str, Any]) -> None:
    assert meta["capabilities"] == sorted(about["capabilities"])


def test_meta_is_in_the_order_of_meltano_hub(meta: dict[str, Any]) -> None:
    names = [setting["name"] for setting in meta["settings"]]
    assert names == sorted(names)
    for mapping in (meta, *meta["settings"]):
        assert list(mapping) == sorted(mapping)


def test_meltano_yml_has_what_meta_has(
    meta: dict[str, Any], project: dict[str, Any]
) -> None:
    (extractor,) = project["plugins"]["extractors"]
    shared = set(extractor) & set(meta) - {"pip_url"}
    assert {name: extractor[name] for name in shared} == {
        name: meta[name] for name in shared
    }
    assert shared >= {"capabilities", "settings", "settings_group_validation"}


def test_meltano_yml_sets_settings_that_there_are(project: dict[str, Any]) -> None:
    environments = {
        each["name"]: each.get("config") for each in project["environments"]
    }
    assert project["default_environment"] in environments
    for config in filter(None, environments.values()):
        for group, plugins in config["plugins"].items():
            for plugin in plugins:
                (defined,) = (
                    candidate
                    for candidate in project["plugins"][group]
                    if candidate["name"] == plugin["name"]
                )
                names = {setting["name"] for setting in defined["settings"]}
                assert set(plugin["config"]) <= names


def test_env_example_sets_settings_that_there_are(project: dict[str, Any]) -> None:
    names = {
        f"{plugin['name']}_{setting['name']}".upper().replace("-", "_")
        for plugins in project["plugins"].values()
        for plugin in plugins
        for setting in plugin["settings"]
    }
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    used = [line.split("=")[0] for line in lines if "=" in line]
    assert used
    assert set(used) <= names


def test_meltano_is_as_private_as_it_can_be(project: dict[str, Any]) -> None:
    assert project["send_anonymous_usage_stats"] is False


def test_duckdb_is_held_back_for_target_duckdb(project: dict[str, Any]) -> None:
    # See the comment in meltano.yml: with a later DuckDB, rows are lost without a word.
    (loader,) = project["plugins"]["loaders"]
    assert loader["pip_url"].split() == ["target-duckdb==0.8.0", "duckdb>=1.2,<1.3"]
