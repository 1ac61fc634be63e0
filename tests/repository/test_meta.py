"""The plugin definitions in meta.yml and meltano.yml, compared with the tap itself."""

import re

import yaml

from scripts import ROOT
from scripts.generate_plugin import about, definition
from tap_akuity.settings import SCHEMA

META = yaml.safe_load((ROOT / "meta.yml").read_bytes())
PROJECT = yaml.safe_load((ROOT / "meltano.yml").read_bytes())
EXAMPLE = yaml.safe_load((ROOT / "examples" / "meltano" / "meltano.yml").read_bytes())


def named(settings):
    return {one["name"]: one for one in settings}


def test_the_definitions_are_as_generated():
    said = about()
    generated = definition([said])
    settings = named(generated["settings"])
    for name in SCHEMA["properties"]:
        assert named(META["settings"]).get(name) == settings[name], "run: make meta"
    # Another version of the SDK may add more, and describe what it adds differently:
    # `make test-oldest` compares that, too.
    assert named(META["settings"]).keys() <= settings.keys()
    assert set(META["capabilities"]) <= set(generated["capabilities"])
    assert META["settings_group_validation"] == generated["settings_group_validation"]
    assert META["supported_python_versions"] == said["supported_python_versions"]
    for key in generated:
        assert PROJECT["plugins"]["extractors"][0][key] == META[key]


def test_env_example_sets_settings_that_there_are():
    names = {
        f"{plugin['name']}_{setting['name']}".upper().replace("-", "_")
        for plugins in PROJECT["plugins"].values()
        for plugin in plugins
        for setting in plugin["settings"]
    }
    text = (ROOT / ".env.example").read_text()
    used = re.findall(r"^(?:# )?(\w+)=", text, re.MULTILINE)
    assert len(used) > 3
    assert set(used) <= names


def test_the_example_s_settings_are_those_of_meta():
    (extractor,) = EXAMPLE["plugins"]["extractors"]
    for setting in extractor["settings"]:
        assert setting.items() <= named(META["settings"])[setting["name"]].items()
    assert set(extractor["capabilities"]) <= set(META["capabilities"])
    assert EXAMPLE["requires_meltano"] == PROJECT["requires_meltano"]
    # target-duckdb loses rows with another version of DuckDB.
    loaders = [project["plugins"]["loaders"][0] for project in (EXAMPLE, PROJECT)]
    assert loaders[0]["pip_url"] == loaders[1]["pip_url"]
