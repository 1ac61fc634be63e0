"""What the end-to-end tests share: servers, and a sandbox with a past."""

import pytest

from sandbox.server import Sandbox
from tests.helpers import history
from tests.helpers.mariadb import INSTALLED, serve_mariadb
from tests.helpers.object_storage import serve_bucket
from tests.helpers.postgres import serve
from tests.helpers.search import serve_cluster
from tests.helpers.targets import PostgreSQL, commands_of


@pytest.fixture
def sandbox():
    """Serve what happened before the first run."""
    with Sandbox(history.before()) as server:
        yield server


@pytest.fixture(scope="session")
def postgres():
    with serve(commands_of(PostgreSQL)) as server:
        yield server


@pytest.fixture(scope="session")
def s3():
    with serve_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="session")
def mariadb():
    if not INSTALLED:
        pytest.skip("MariaDB is not tested: CONTRIBUTING.md says what to install")
    with serve_mariadb() as server:
        yield server


@pytest.fixture
def elasticsearch():
    with serve_cluster() as cluster:
        yield cluster
