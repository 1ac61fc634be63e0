"""What the tests share: a sandbox, and ways to run the tap against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.server import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

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
