"""The plugin definitions, meta.yml and meltano.yml, against the tap itself."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from harness import ROOT
from scripts.generate_plugin import FILES, about, definition, updated
from tap_akuity.settings import SCHEMA

META: dict[str, Any] = yaml.safe_load((ROOT / "meta.yml").read_bytes())
PROJECT: dict[str, Any] = yaml.safe_load((ROOT / "meltano.yml").read_bytes())


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    return about()


def test_every_setting_of_the_tap_is_as_generated(said: dict[str, Any]) -> None:
    generated = {one["name"]: one for one in definition([said])["settings"]}
    settings = {one["name"]: one for one in META["settings"]}
    names = SCHEMA["properties"].keys()
    assert {name: settings.get(name) for name in names} == {
        name: generated[name] for name in names
    }, "run: make meta"


def test_nothing_is_said_that_the_installed_sdk_does_not_do(
    said: dict[str, Any],
) -> None:
    # That nothing is left out either is checked where there are the oldest and the
    # newest SDK: see `make test-oldest`.
    generated = definition([said])
    assert set(META["capabilities"]) <= set(generated["capabilities"])
    assert {one["name"] for one in META["settings"]} <= {
        one["name"] for one in generated["settings"]
    }
    required = sorted(SCHEMA["required"])
    assert META["settings_group_validation"] == [required]
    assert META["supported_python_versions"] == said["supported_python_versions"]


def test_what_one_sdk_lacks_is_left_out(said: dict[str, Any]) -> None:
    other = copy.deepcopy(said)
    del other["settings"]["properties"]["flattening_max_depth"]
    other["settings"]["properties"]["added"] = {"type": "string", "title": "Added"}
    other["capabilities"].remove("batch")
    other["capabilities"].append("added")
    alone, both = definition([said]), definition([said, other])
    assert both["capabilities"] == [
        one for one in alone["capabilities"] if one != "batch"
    ]
    assert both["settings"] == [
        one for one in alone["settings"] if one["name"] != "flattening_max_depth"
    ]


def test_generated_keys_are_replaced_and_nothing_else() -> None:
    text = "a: 1\n  b:\n  - 1\n    # gone\n  - 2\n  # kept\n  b:\n  - 3\nc: 4\n"
    assert updated(text, {"b": ["é"]}, "  ") == (
        "a: 1\n  b:\n  - é\n  # kept\n  b:\n  - 3\nc: 4\n"
    )
    with pytest.raises(LookupError, match="no 'd'"):
        updated(text, {"d": []}, "  ")


def test_both_files_say_the_same() -> None:
    (extractor,) = PROJECT["plugins"]["extractors"]
    shared = set(extractor) & set(META) - {"pip_url"}
    assert shared >= {"capabilities", "settings", "settings_group_validation"}
    assert {name: extractor[name] for name in shared} == {
        name: META[name] for name in shared
    }
    assert set(FILES) == {"meta.yml", "meltano.yml"}


def test_env_example_sets_settings_that_there_are() -> None:
    names = {
        f"{plugin['name']}_{setting['name']}".upper().replace("-", "_")
        for plugins in PROJECT["plugins"].values()
        for plugin in plugins
        for setting in plugin["settings"]
    }
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    used = re.findall(r"^(?:# )?(\w+)=", text, re.MULTILINE)
    assert used
    assert set(used) <= names


def test_the_example_s_settings_are_those_of_meta() -> None:
    path = ROOT / "examples" / "meltano" / "meltano.yml"
    example = yaml.safe_load(path.read_bytes())
    (extractor,) = example["plugins"]["extractors"]
    known = {setting["name"]: setting for setting in META["settings"]}
    for setting in extractor["settings"]:
        names = {"name", "kind", "sensitive"}
        described = known[setting["name"]]
        assert setting == {n: described[n] for n in names & described.keys()}
    assert set(extractor["capabilities"]) <= set(META["capabilities"])
    (loader,) = example["plugins"]["loaders"]
    assert loader["pip_url"] == PROJECT["plugins"]["loaders"][0]["pip_url"]
    # Each variable is in `.env.example`, and no other.
    text = path.with_name(".env.example").read_text(encoding="utf-8")
    asked = re.findall(r"^(\w+)=$", text, re.MULTILINE)
    used = re.findall(r": \$(?!MELTANO)(\w+)$", path.read_text(), re.MULTILINE)
    assert sorted(asked) == sorted(used)


@pytest.mark.parametrize("path", ["meltano.yml", "examples/meltano/meltano.yml"])
def test_meltano_is_as_private_as_it_can_be(path: str) -> None:
    project = yaml.safe_load((ROOT / path).read_bytes())
    assert project["send_anonymous_usage_stats"] is False
    assert project["requires_meltano"] == PROJECT["requires_meltano"]
