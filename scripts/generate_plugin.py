"""Generate what `meta.yml` and `meltano.yml` say of the tap from the tap itself.

Settings have one text, which is in `tap_akuity/settings.py`, or in the SDK for those
that it adds. What the SDK adds may depend on its version: name the Python of each
environment to ask, and what all of them agree on is written. `make meta` names those
with the oldest and the newest SDK that are allowed.

    python -m scripts.generate_plugin [--check] [PYTHON ...]
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
FILES = {"meta.yml": "", "meltano.yml": "    "}
"""The files, and how far what is generated is indented there."""

CALCULATED = {"user_agent"}
"""Settings whose default has the tap's version in it, which changes."""

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
SPELLING = {"gzip": "GZIP", "jsonl": "JSONL"}


def about(python: str = sys.executable) -> dict[str, Any]:
    """Return what the tap in an environment says of itself."""
    command = [python, "-m", "tap_akuity", "--about", "--format=json"]
    output = subprocess.check_output(command, cwd=ROOT)  # noqa: S603 - our own command
    information: dict[str, Any] = json.loads(output)
    return information


def definition(abouts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the generated part of a plugin definition.

    Args:
        abouts: What the tap says of itself with each version of the SDK.

    Returns:
        Whatever all of them have, in the words of the first.
    """
    first, *others = abouts
    described = [dict(_flat(one["settings"])) for one in abouts]
    return {
        "capabilities": sorted(
            set(first["capabilities"]).intersection(
                *(other["capabilities"] for other in others)
            )
        ),
        "settings": [
            _setting(name, described[0][name])
            for name in sorted(described[0])
            if all(name in one for one in described)
        ],
        "settings_group_validation": [sorted(first["settings"]["required"])],
    }


def updated(text: str, generated: dict[str, Any], indent: str) -> str:
    """Return the text of a file with the generated keys in the place of the old ones.

    Args:
        text: YAML, where each of the keys is there.
        generated: The keys, and what they are to hold.
        indent: Of the keys. Where a key is there more than once, the first is meant.
    """
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
    """Name nested settings with dots, as Meltano does."""
    for name, setting in schema["properties"].items():
        # Names such as `__else__` are words of a language, not settings.
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
    if schema.get("default") is not None and name not in CALCULATED:
        setting["value"] = schema["default"]
    return setting


def _kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "options"
    if schema.get("format") == "date-time":
        return "date_iso8601"
    types: set[str] = set()
    for alternative in schema.get("oneOf", [schema]):
        one_or_more = alternative["type"]
        types |= {one_or_more} if isinstance(one_or_more, str) else set(one_or_more)
    types -= {"null"}
    if len(types) > 1:  # there is no kind for this: take the one that can hold all
        return "array" if "array" in types else "string"
    return KINDS[types.pop()]


def main() -> None:
    """Write the files, or check that they are up to date."""
    parser = ArgumentParser(prog="python -m scripts.generate_plugin")
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    parser.add_argument("--check", action="store_true", help="write nothing")
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
