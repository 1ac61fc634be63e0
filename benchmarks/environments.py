"""An environment for each program, made anew when what it is made of has changed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks import ENVIRONMENTS, FOLDER, ROOT, BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NAMES = (
    "airbyte",
    "dlt",
    "requests-orjson",
    "sdk-default",
    "tap-akuity",
    "target-duckdb",
)
PROFILING = "profile"
"""The tap with a profiler beside it; not measured."""

# Not all are required directly, but they tell more than the rest.
NOTEWORTHY = ("duckdb", "msgspec", "orjson", "pyarrow", "requests", "simplejson")

_REQUIREMENT = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==", re.MULTILINE)


def requirements(name: str) -> Path:
    """Name the file with what an environment holds."""
    return FOLDER / "requirements" / f"{name}.txt"


def executable(environment: str, name: str) -> str:
    """Name a program of an environment."""
    return str(ENVIRONMENTS / environment / "bin" / name)


def build(name: str) -> bool:
    """Make an environment, unless it is there already.

    Args:
        name: One of `NAMES`, or `PROFILING`.

    Returns:
        Whether it was made.

    Raises:
        BenchmarkError: If pip failed.
    """
    folder, marker = ENVIRONMENTS / name, ENVIRONMENTS / name / "made"
    made_of = "\n".join(
        [
            sys.version,
            str(folder),
            requirements(name).read_text(encoding="utf-8"),
            _project() if name in {"tap-akuity", PROFILING} else "",
        ]
    )
    if marker.exists() and marker.read_text(encoding="utf-8") == made_of:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "install", "--quiet", "--upgrade", "pip"],
        [*pip, "install", "--quiet", "--requirement", str(requirements(name))],
    ):
        # No shell, and nothing from outside in the command.
        done = subprocess.run(  # noqa: S603
            command, cwd=ROOT, check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            message = f"The environment {name} could not be made:\n{done.stderr}"
            raise BenchmarkError(message)
    marker.write_text(made_of, encoding="utf-8")
    return True


def _project() -> str:
    """Read what the tap requires, and leave out the settings of other tools."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return text.partition("\n[tool.")[0]


def required(text: str) -> list[str]:
    """Read the names of the pinned packages out of a requirements file."""
    return [name.lower() for name in _REQUIREMENT.findall(text)]


def versions(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Tell the versions of the packages that matter, for each environment."""
    return {name: _versions(name) for name in names}


def _versions(name: str) -> dict[str, str]:
    wanted = {*required(requirements(name).read_text(encoding="utf-8")), *NOTEWORTHY}
    done = subprocess.run(  # noqa: S603, as above
        [executable(name, "python"), "-m", "pip", "list", "--format=json"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {
        package["name"]: package["version"]
        for package in json.loads(done.stdout)
        if package["name"].lower() in wanted
    }
