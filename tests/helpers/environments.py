"""Virtual environments of the targets."""

from pathlib import Path
from typing import Any

from scripts import ROOT, environments

HOME = ROOT / ".venv-targets"


def build(name: str, requirements: Any, home: Path = HOME) -> Path:
    """Create an environment, and return the folder with its commands."""
    return environments.build(home / name, requirements)


def commands_of(kind: Any) -> Path:
    """Return the folder with a target's commands."""
    return build(kind.environment or kind.command, kind.requirements)
