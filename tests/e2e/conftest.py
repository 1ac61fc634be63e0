"""What the end-to-end tests share: servers, and a sandbox with a past."""

import pytest

from sandbox.server import Sandbox
from tests.helpers import history, servers
from tests.helpers.targets import PostgreSQL, commands_of


@pytest.fixture
def sandbox():
    """Serve what happened before the first run."""
    with Sandbox(history.before()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres():
    with servers.serve_postgres(commands_of(PostgreSQL)) as server:
        yield server


@pytest.fixture(scope="session")
def s3():
    with servers.serve_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="session")
def mariadb():
    if not servers.HAS_MARIADB:
        pytest.skip("MariaDB is not tested: CONTRIBUTING.md says what to install")
    with servers.serve_mariadb() as server:
        yield server


@pytest.fixture
def elasticsearch():
    with servers.serve_cluster() as cluster:
        yield cluster
