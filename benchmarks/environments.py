"""An environment for each program, rebuilt when its requirements change."""

from __future__ import annotations

from benchmarks import ENVIRONMENTS, FOLDER
from harness import ROOT, environments


def requirements(name: str) -> str:
    """Return the requirements of an environment: pinned, for reproducible results."""
    return (FOLDER / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def build(name: str) -> None:
    """Create an environment, unless it is up to date.

    Raises:
        HarnessError: The environment cannot be created.
    """
    path = FOLDER / "requirements" / f"{name}.txt"
    made_of = requirements(name)
    if "--editable" in made_of:
        # The metadata of the tap, without the settings of tools.
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        made_of += project.partition("\n[tool.")[0]
    environments.build(ENVIRONMENTS / name, ["--requirement", str(path)], made_of)


def versions(name: str) -> str:
    """Return the versions of the pinned packages."""
    lines = requirements(name).splitlines()
    return ", ".join(line.replace("==", " ") for line in lines if "==" in line)
