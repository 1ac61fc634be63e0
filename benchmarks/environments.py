"""An environment for each program, made anew when what it is made of has changed."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

from benchmarks import ENVIRONMENTS, FOLDER
from harness import ROOT, environments

if TYPE_CHECKING:
    from pathlib import Path

# Not all are required directly, but they tell more than the rest.
NOTEWORTHY = ("duckdb", "msgspec", "orjson", "pyarrow", "requests", "simplejson")

_REQUIREMENT = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==", re.MULTILINE)


def requirements(name: str) -> Path:
    """Name the file with what an environment holds."""
    return FOLDER / "requirements" / f"{name}.txt"


def build(name: str) -> None:
    """Make an environment, unless it is there already.

    Raises:
        HarnessError: If pip failed.
    """
    path = requirements(name)
    made_of = path.read_text(encoding="utf-8")
    if "--editable" in made_of:
        # What the tap requires, without the settings of other tools.
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        made_of += project.partition("\n[tool.")[0]
    environments.build(ENVIRONMENTS / name, ["--requirement", str(path)], made_of)


def required(text: str) -> list[str]:
    """Read the names of the pinned packages out of a requirements file."""
    return [name.lower() for name in _REQUIREMENT.findall(text)]


def versions(name: str) -> str:
    """Tell the versions of the packages that matter."""
    wanted = {*required(requirements(name).read_text(encoding="utf-8")), *NOTEWORTHY}
    python = str(ENVIRONMENTS / name / "bin" / "python")
    # No shell, and nothing from outside in the command.
    done = subprocess.run(  # noqa: S603
        [python, "-m", "pip", "list", "--format=json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return ", ".join(
        f"{package['name']} {package['version']}"
        for package in json.loads(done.stdout)
        if package["name"].lower() in wanted
    )
