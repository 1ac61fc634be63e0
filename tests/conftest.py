"""What the tests share: a sandbox, and ways to run the tap against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings

from sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

# The same examples each time, and no timing; to look for others, see CONTRIBUTING.md.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
# For `make mutants`, which does not need the simplest example.
settings.register_profile(
    "mutants",
    settings.get_profile("repeatable"),
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("repeatable")

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def sample() -> dict[str, Any]:
    """Give the sample record, as the API sends it."""
    text = (FIXTURES / "audit_log.json").read_text(encoding="utf-8")
    return json.loads(text)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Serve a small organization."""
    with Sandbox() as server:
        yield server
