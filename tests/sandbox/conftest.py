"""A sandbox over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.faults import Faults
from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.stats import Stats
from sandbox.store import Store
from tests.helpers.sandbox import ITEMS, Client

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running() -> Iterator[Client]:
    with Sandbox(ITEMS) as server:
        client = Client(server)
        with client.session:
            yield client


@pytest.fixture
def client(running: Client) -> Client:
    """Give the running sandbox, as if it had just been started."""
    state = running.server.state
    state.store = Store(ITEMS)
    state.options = Options()
    state.faults = Faults()
    state.stats = Stats()
    return running
