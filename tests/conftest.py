"""What all tests share."""

import json
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from sandbox.server import Sandbox

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


@pytest.fixture(scope="session")
def sample():
    """Return the sample record, as the API sends it."""
    path = Path(__file__).with_name("fixtures") / "audit_log.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def sandbox():
    """Serve a small organization."""
    with Sandbox() as server:
        yield server
