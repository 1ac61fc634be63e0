"""What all tests share."""

import json
from pathlib import Path

import pytest
from hypothesis import settings

from sandbox.server import Sandbox

# The same examples each time, and no timing; to look for others, see CONTRIBUTING.md.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("repeatable")

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="session")
def sample():
    """Return the sample record, as the API sends it."""
    return json.loads((FIXTURES / "audit_log.json").read_text(encoding="utf-8"))


@pytest.fixture
def sandbox():
    """Serve a small organization."""
    with Sandbox() as server:
        yield server
