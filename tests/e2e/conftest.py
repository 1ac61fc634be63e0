"""What the end-to-end tests share: the targets, PostgreSQL, and the summary."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from harness import HarnessError
from tests.helpers import environments
from tests.helpers.environments import commands_of
from tests.helpers.mariadb import (
    INSTALL,
    MariaDBServer,
    missing_programs,
    serve_mariadb,
)
from tests.helpers.object_storage import MOTO, Bucket, serve_bucket
from tests.helpers.postgres import Postgres, serve
from tests.helpers.search import Cluster, serve_cluster
from tests.helpers.targets import PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Iterator


LINES = pytest.StashKey[list[str]]()


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


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    """Serve a bucket."""
    try:
        commands = environments.build("moto", MOTO)
    except HarnessError as error:
        problem = str(error)
    else:
        with serve_bucket(commands) as bucket:
            yield bucket
        return
    pytest.fail(problem, pytrace=False)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    """Serve a real MariaDB, where Debian's packages of it are installed."""
    if missing := missing_programs():
        pytest.skip(f"MariaDB is NOT tested: no {missing[0]}; {INSTALL}")
    with serve_mariadb() as server:
        yield server


@pytest.fixture
def elasticsearch() -> Iterator[Cluster]:
    """Take what is sent to Elasticsearch."""
    with serve_cluster() as cluster:
        yield cluster
