"""What the end-to-end tests share: the targets, PostgreSQL, and the summary."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from harness import HarnessError
from tests.e2e import environments
from tests.e2e.postgres import Postgres, serve
from tests.e2e.targets import PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.targets import Warehouse

LINES = pytest.StashKey[list[str]]()

_unavailable: dict[str, str] = {}
"""Why a target cannot be installed."""


def pytest_configure(config: pytest.Config) -> None:
    """Begin the summary."""
    config.stash[LINES] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was loaded and compared."""
    if lines := config.stash[LINES]:
        terminalreporter.section("loaded and compared")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def summary(request: pytest.FixtureRequest) -> list[str]:
    """Give the lines of the summary, to add to."""
    return request.config.stash[LINES]


def commands_of(kind: type[Warehouse]) -> Path:
    """Give the folder with a target's commands, or say in a sentence why not."""
    if kind.command not in _unavailable:
        try:
            return environments.build(kind.command, kind.requirements)
        except HarnessError as error:
            # No test tries again: each try may take minutes.
            _unavailable[kind.command] = str(error)
    pytest.fail(_unavailable[kind.command], pytrace=False)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Serve a real PostgreSQL."""
    commands = commands_of(PostgreSQL)
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(serve(commands))
        except HarnessError as error:
            problem = str(error)
        else:
            yield server
            return
    pytest.fail(problem, pytrace=False)
