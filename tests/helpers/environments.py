"""Virtual environments of the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness import ROOT, HarnessError, environments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.helpers.targets import Warehouse

HOME = ROOT / ".venv-targets"


def build(name: str, requirements: Sequence[str], home: Path = HOME) -> Path:
    """Make an environment, and give the folder with its commands."""
    return environments.build(home / name, requirements)


_unavailable: dict[str, str] = {}
"""Why a target cannot be installed."""


def commands_of(kind: type[Warehouse]) -> Path:
    """Give the folder with a target's commands, or say in a sentence why not."""
    name = kind.environment or kind.command
    if name not in _unavailable:
        try:
            return build(name, kind.requirements)
        except HarnessError as error:
            # No test tries again: each try may take minutes.
            _unavailable[name] = str(error)
    pytest.fail(_unavailable[name], pytrace=False)
