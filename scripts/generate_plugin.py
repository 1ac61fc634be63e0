"""Generate the tap's definition in `meta.yml` and `meltano.yml` from the tap itself.

It holds what the environments of the PYTHONs have in common, because settings that the
SDK adds depend on its version: `make meta` passes the oldest and the newest.
"""

import json
import re
import subprocess
import sys
import textwrap
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from scripts import ROOT

FILES = {"meta.yml": "", "meltano.yml": "    "}  # with the indent of what is generated
SPELLING = {"gzip": "GZIP", "jsonl": "JSONL"}


def about(python: str = sys.executable) -> dict[str, Any]:
    """Return the output of `--about` of the tap in an environment."""
    command = [python, "-m", "tap_akuity", "--about", "--format=json"]
    return dict(json.loads(subprocess.check_output(command, cwd=ROOT)))  # noqa: S603


def definition(abouts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what all outputs of `--about` share, described as in the first."""
    capabilities = set.intersection(*(set(one["capabilities"]) for one in abouts))
    settings = [dict(_flat(one["settings"])) for one in abouts]
    names = set.intersection(*map(set, settings))
    return {
        "capabilities": sorted(capabilities),
        "settings": [_setting(name, settings[0][name]) for name in sorted(names)],
        "settings_group_validation": [sorted(abouts[0]["settings"]["required"])],
    }


def updated(text: str, generated: dict[str, Any], indent: str) -> str:
    """Return YAML with the first of each key at that indent replaced as generated."""
    for key, value in generated.items():
        block = yaml.safe_dump({key: value}, allow_unicode=True, width=88 - len(indent))
        pattern = rf"(?m)^{indent}{key}:\n(?:{indent}[- ].*\n)*"
        before, after = re.split(pattern, text, maxsplit=1)
        text = before + textwrap.indent(block, indent) + after
    return text


def _flat(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings by name, with dots in the names of nested ones as in Meltano."""
    for name, setting in schema["properties"].items():
        # Names such as `__else__` are keywords of stream maps, not settings.
        names = [key for key in setting.get("properties", {}) if key[:2] != "__"]
        if names:
            yield from _flat(setting, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", setting


def _setting(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    setting = {
        "name": name,
        "label": schema["title"],
        "description": schema["description"],
        "kind": _kind(schema),
    }
    if "enum" in schema:
        setting["options"] = [
            {"label": SPELLING.get(value, value.title()), "value": value}
            for value in schema["enum"]
        ]
    if schema.get("secret"):
        setting["sensitive"] = True
    # The default of `user_agent` contains the tap's version, which changes.
    if schema.get("default") is not None and name != "user_agent":
        setting["value"] = schema["default"]
    return setting


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "options"
    if schema.get("format") == "date-time":
        return "date_iso8601"
    types = [one["type"] for one in schema.get("oneOf", [schema])]
    kinds = {kind for one in types for kind in ([one] if isinstance(one, str) else one)}
    if (
        len(kinds - {"null"}) > 1
    ):  # no kind fits: take the one that can hold all of them
        return "array" if "array" in kinds else "string"
    (kind,) = kinds - {"null"}
    # As in Meltano Hub. There is a kind `decimal`, but Meltano (4.4) cannot write a
    # decimal from the environment into the tap's config file.
    return "integer" if kind == "number" else str(kind)


def main() -> None:
    """Write the files, or check that they are up to date."""
    parser = ArgumentParser(prog="python -m scripts.generate_plugin")
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    parser.add_argument("--check", action="store_true", help="only check")
    arguments = parser.parse_args()
    generated = definition([about(python) for python in arguments.pythons])
    for name, indent in FILES.items():
        old = (ROOT / name).read_text(encoding="utf-8")
        new = updated(old, generated, indent)
        if arguments.check and new != old:
            sys.exit(f"{name} is out of date: run `make meta`.")
        (ROOT / name).write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
