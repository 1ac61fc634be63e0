"""What all tests share."""

import json
import ssl
from pathlib import Path

import pytest
import trustme
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


@pytest.fixture(scope="session")
def authority():
    """Return a private authority for certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def bundle(authority, tmp_path_factory):
    """Return its certificate file."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def certificate(authority, bundle):
    """Return the file of a key and a certificate of that authority."""
    path = bundle.with_name("server.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.fixture(scope="session")
def context(certificate):
    """Return a context that serves with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
