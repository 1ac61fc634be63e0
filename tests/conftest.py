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
