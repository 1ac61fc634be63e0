"""The plugin definitions, meta.yml and meltano.yml, against the tap itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft7Validator
from yamllint import linter
from yamllint.config import YamlLintConfig

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


# What follows restates the rules of Meltano Hub for `_data/meltano/extractors/`: what
# its JSON Schema demands, what its yamllint demands, and what its command `hub-utils`,
# which writes and updates the definitions there, would otherwise change.

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
ANY: dict[str, Any] = {}

HUB_SETTING = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "aliases": TEXTS,
        "description": TEXT,
        "docs": TEXT,
        "documentation": TEXT,
        "env": TEXT,
        "hidden": {"type": "boolean"},
        "kind": {
            "enum": [
                *("array", "boolean", "date_iso8601", "decimal", "email", "file"),
                *("hidden", "integer", "oauth", "object", "options", "password"),
                "string",
            ]
        },
        "label": TEXT,
        "name": TEXT,
        "oauth": {"type": "object", "required": ["provider"]},
        "options": {
            "type": "array",
            "items": {"type": "object", "properties": {"label": TEXT, "value": TEXT}},
        },
        "placeholder": TEXT,
        "sensitive": {"type": "boolean"},
        "tooltip": TEXT,
        "value": ANY,
        "value_post_processor": {"enum": ["nest_object", "stringify", "upcase_string"]},
        "value_processor": {"enum": ["nest_object", "stringify", "upcase_string"]},
    },
}
HUB_EXTRACTOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "namespace", "quality", "variant"],
    "properties": {
        "capabilities": {
            "type": "array",
            "items": {
                "enum": [
                    *("about", "activate-version", "batch", "catalog", "discover"),
                    *("log-based", "properties", "schema-flattening", "state"),
                    *("stream-maps", "structured-logging", "test"),
                ]
            },
        },
        "commands": {"type": "object"},
        "definition": TEXT,
        "description": TEXT,
        "docs": TEXT,
        "domain_url": {"type": ["string", "null"], "format": "uri"},
        "executable": TEXT,
        "hidden": {"type": "boolean"},
        "keywords": TEXTS,
        "label": TEXT,
        "log_parser": TEXT,
        "logo_url": {"type": ["string", "null"]},
        "maintenance_status": {
            "enum": ["active", "beta", "development", "inactive", "unknown"]
        },
        "metadata": {"type": "object"},
        "name": TEXT,
        "namespace": TEXT,
        "next_steps": TEXT,
        "pip_url": TEXT,
        "prereq": TEXT,
        "python": TEXT,
        "quality": {"enum": ["bronze", "gold", "silver", "unknown"]},
        "repo": TEXT,
        "requires": {"type": "object", "required": ["files"]},
        "schema": {"type": "object"},
        "select": TEXTS,
        "settings": {"type": "array", "items": HUB_SETTING},
        "settings_group_validation": {"type": "array", "items": TEXTS},
        "settings_preamble": TEXT,
        "supported_python_versions": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^3\.[0-9]+$"},
        },
        "usage": TEXT,
        "variant": TEXT,
    },
}
HUB_YAMLLINT = """
extends: default
rules:
  braces: {forbid: non-empty}
  document-start: {present: false}
  indentation: {indent-sequences: false, spaces: 2}
  key-ordering: enable
  line-length: disable
  truthy: disable
"""

# What the Hub has for every plugin, and what has to wait for a public repository.
NOT_YET = {
    "logo_url": "the path of a picture that the same pull request adds to the Hub",
    "repo": "the address of the public repository",
}
NO_OWNER_YET = "original"
"""In the place of the variant, which on the Hub is the repository's owner."""

# How the Hub writes what a mere capital would not do for.
SPELLING = {
    "api": "API",
    "gzip": "GZIP",
    "id": "ID",
    "ids": "IDs",
    "jsonl": "JSONL",
    "url": "URL",
}


def refused(definition: dict[str, Any]) -> list[str]:
    """Say what the Hub's JSON Schema has against a definition."""
    validator = Draft7Validator(HUB_EXTRACTOR)
    return [error.message for error in validator.iter_errors(definition)]


def test_meta_passes_the_schema_of_the_hub(meta: dict[str, Any]) -> None:
    Draft7Validator.check_schema(HUB_EXTRACTOR)
    assert refused(meta) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"quality": "best"}, "'best' is not one of"),
        ({"domain": "akuity.io"}, "'domain' was unexpected"),
        ({"capabilities": ["sync"]}, "'sync' is not one of"),
        ({"keywords": "api"}, "'api' is not of type 'array'"),
        ({"supported_python_versions": [3.1]}, "3.1 is not of type 'string'"),
        ({"settings": [{"label": "A"}]}, "'name' is a required property"),
        ({"settings": [{"name": "a", "kind": "number"}]}, "'number' is not one of"),
        ({"settings": [{"name": "a", "default": 1}]}, "'default' was unexpected"),
        ({"settings": [{"name": "a", "options": [{"value": 1}]}]}, "1 is not of type"),
    ],
)
def test_the_schema_of_the_hub_refuses(
    meta: dict[str, Any], change: dict[str, Any], problem: str
) -> None:
    (message,) = refused(meta | change)
    assert problem in message


@pytest.mark.parametrize("name", ["name", "namespace", "quality", "variant"])
def test_the_schema_of_the_hub_demands(meta: dict[str, Any], name: str) -> None:
    rest = {key: value for key, value in meta.items() if key != name}
    assert refused(rest) == [f"{name!r} is a required property"]


def lint(text: str) -> list[str]:
    config = YamlLintConfig(HUB_YAMLLINT)
    return [str(problem.desc) for problem in linter.run(text, config)]


def test_meta_passes_the_yamllint_of_the_hub() -> None:
    assert lint((ROOT / "meta.yml").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("b: 1\na: 1\n", "wrong ordering"),
        ("a:\n  - 1\n", "wrong indentation"),
        ("a: {b: 1}\n", "forbidden flow mapping"),
        ("---\na: 1\n", "found forbidden document start"),
        ("a: 1", "no new line character"),
        ("a: 1 \n", "trailing spaces"),
    ],
)
def test_the_yamllint_of_the_hub_refuses(text: str, problem: str) -> None:
    (found,) = lint(text)
    assert problem in found


def test_meta_has_the_names_of_the_hub(meta: dict[str, Any]) -> None:
    assert re.fullmatch("tap-[a-z0-9-]+", meta["name"])
    assert meta["namespace"] == meta["name"].replace("-", "_")
    assert meta["label"] == meta["name"].removeprefix("tap-").title()
    assert meta["variant"] == meta["variant"].lower()
    assert len(meta["keywords"]) == len(set(meta["keywords"]))


def test_meta_says_that_the_tap_is_made_with_the_sdk(
    about: dict[str, Any], meta: dict[str, Any]
) -> None:
    assert "meltano_sdk" in meta["keywords"]
    # The Hub's rating of a community's plugin that is, before it knows of many users.
    assert meta["quality"] == "silver"
    assert ("structured-logging" in meta["capabilities"]) == ("log_parser" in meta)
    assert meta["log_parser"] == "singer-sdk"
    assert meta["supported_python_versions"] == about["supported_python_versions"]


def test_meta_gives_addresses_that_are_encrypted(meta: dict[str, Any]) -> None:
    text = (ROOT / "meta.yml").read_text(encoding="utf-8")
    assert meta["domain_url"].startswith("https://")
    assert "http://" not in text


def test_meta_lacks_for_the_hub_only_what_needs_a_public_repository(
    meta: dict[str, Any],
) -> None:
    demanded = {
        *("capabilities", "description", "domain_url", "executable", "keywords"),
        *("label", "maintenance_status", "name", "namespace", "pip_url", "quality"),
        *("settings", "settings_group_validation", "variant", *NOT_YET),
    }
    assert demanded - {name for name in meta if meta[name]} == set(NOT_YET)
    assert meta["variant"] == NO_OWNER_YET


def spelled(word: str) -> str:
    return SPELLING.get(word.lower(), word[:1].upper() + word[1:])


def test_meta_has_labels_as_the_hub_writes_them(meta: dict[str, Any]) -> None:
    labels = [setting["label"] for setting in meta["settings"]]
    assert len(labels) == len(set(labels))
    labels += [
        option["label"]
        for setting in meta["settings"]
        for option in setting.get("options", [])
    ]
    assert labels == [" ".join(map(spelled, label.split())) for label in labels]


def test_meta_describes_in_whole_sentences(meta: dict[str, Any]) -> None:
    for setting in meta["settings"]:
        text = setting["description"]
        assert " ".join(text.split()) == text
        assert text.endswith(".")
        sentences = re.split(r"(?<!\be\.g)(?<!\bi\.e)\. ", text)
        assert all(sentence[0].isupper() for sentence in sentences), text


PYTHON_TYPES = {"array": list, "boolean": bool, "integer": int, "object": dict}


def test_meta_has_values_of_their_kinds(settings: dict[str, Any]) -> None:
    for name, setting in settings.items():
        assert ("options" in setting) == (setting["kind"] == "options"), name
        for option in setting.get("options", []):
            assert set(option) == {"label", "value"}, name
        if "value" in setting:
            # The Hub keeps no null for a value, and no date.
            assert setting["kind"] != "date_iso8601", name
            assert isinstance(
                setting["value"], PYTHON_TYPES.get(setting["kind"], str)
            ), name


def test_meta_demands_settings_that_there_are(
    meta: dict[str, Any], settings: dict[str, Any]
) -> None:
    (group,) = meta["settings_group_validation"]
    assert group == sorted(set(group))
    assert set(group) <= set(settings)
    # What is demanded has no value that would do.
    assert all("value" not in settings[name] for name in group)


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


def test_the_example_s_settings_are_those_of_meta(
    meta: dict[str, Any], project: dict[str, Any]
) -> None:
    path = ROOT / "examples" / "meltano" / "meltano.yml"
    example = yaml.safe_load(path.read_bytes())
    (extractor,) = example["plugins"]["extractors"]
    known = {setting["name"]: setting for setting in meta["settings"]}
    for setting in extractor["settings"]:
        names = {"name", "kind", "sensitive"}
        described = known[setting["name"]]
        assert setting == {n: described[n] for n in names & described.keys()}
    assert set(extractor["capabilities"]) <= set(meta["capabilities"])
    (loader,) = example["plugins"]["loaders"]
    assert loader["pip_url"] == project["plugins"]["loaders"][0]["pip_url"]
    assert example["requires_meltano"] == project["requires_meltano"]
    assert example["send_anonymous_usage_stats"] is False
    # Each variable is in `.env.example`, and no other.
    text = path.with_name(".env.example").read_text(encoding="utf-8")
    asked = re.findall(r"^(\w+)=$", text, re.MULTILINE)
    used = re.findall(r": \$(?!MELTANO)(\w+)$", path.read_text(), re.MULTILINE)
    assert sorted(asked) == sorted(used)
