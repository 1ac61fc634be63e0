"""Generate the tap's definition in `meta.yml` and `meltano.yml` from the tap itself.

The text of each setting is in `tap_akuity/settings.py`, or in the SDK if the SDK adds
the setting. That may depend on the SDK's version: pass the Python of each environment
to inspect, and the definition holds what they have in common. `make meta` passes those
with the oldest and the newest SDK that are allowed.

    python -m scripts.generate_plugin [--check] [PYTHON ...]
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

FILES = {"meta.yml": "", "meltano.yml": "    "}
"""The files, and the indent of the generated part in each."""

SPELLING = {"gzip": "GZIP", "jsonl": "JSONL"}


def about(python: str = sys.executable) -> dict[str, Any]:
    """Return the output of `--about` of the tap in an environment."""
    command = [python, "-m", "tap_akuity", "--about", "--format=json"]
    output = subprocess.check_output(command, cwd=ROOT)  # noqa: S603 - our own command
    return dict(json.loads(output))


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
        pattern = rf"^{indent}{key}:\n(?:{indent}[- ].*\n)*"
        found = re.search(pattern, text, flags=re.MULTILINE)
        if not found:
            message = f"there is no {key!r} to replace"
            raise LookupError(message)
        begin, end = found.span()
        text = text[:begin] + textwrap.indent(block, indent) + text[end:]
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
    types: set[str] = set()
    for one in schema.get("oneOf", [schema]):
        types.update([one["type"]] if isinstance(one["type"], str) else one["type"])
    types.discard("null")
    if len(types) > 1:  # no kind fits: take the one that can hold all of them
        return "array" if "array" in types else "string"
    (kind,) = types
    # As in Meltano Hub. There is a kind `decimal`, but Meltano (4.4) cannot write a
    # decimal from the environment into the tap's config file.
    return "integer" if kind == "number" else kind


def main() -> None:
    """Write the files, or check that they are up to date."""
    parser = ArgumentParser(prog="python -m scripts.generate_plugin")
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    parser.add_argument("--check", action="store_true", help="only check")
    arguments = parser.parse_args()
    generated = definition([about(python) for python in arguments.pythons])
    for name, indent in FILES.items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = updated(old, generated, indent)
        if arguments.check and new != old:
            sys.exit(f"{name} is out of date: run `make meta`.")
        path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
