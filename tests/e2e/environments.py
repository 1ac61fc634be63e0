"""Virtual environments of the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import ROOT, environments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOME = ROOT / ".venv-targets"


def build(name: str, requirements: Sequence[str], home: Path = HOME) -> Path:
    """Make an environment, and give the folder with its commands."""
    return environments.build(home / name, requirements)
