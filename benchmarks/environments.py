"""An environment for each program, made anew when what it is made of has changed."""

from __future__ import annotations

from benchmarks import ENVIRONMENTS, FOLDER
from harness import ROOT, environments


def requirements(name: str) -> str:
    """Read what an environment holds: pinned, so that results can be repeated."""
    return (FOLDER / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def build(name: str) -> None:
    """Make an environment, unless it is there already.

    Raises:
        HarnessError: If pip failed.
    """
    path = FOLDER / "requirements" / f"{name}.txt"
    made_of = requirements(name)
    if "--editable" in made_of:
        # What the tap requires, without the settings of other tools.
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        made_of += project.partition("\n[tool.")[0]
    environments.build(ENVIRONMENTS / name, ["--requirement", str(path)], made_of)


def versions(name: str) -> str:
    """Tell the versions of the packages that matter."""
    lines = requirements(name).splitlines()
    return ", ".join(line.replace("==", " ") for line in lines if "==" in line)
