import ssl

import backoff
import pytest


@pytest.fixture
def hasty(monkeypatch):
    """Hardly wait between attempts."""
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.001)


@pytest.fixture(scope="session")
def context(certificate):
    """Serve with a certificate of the private authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
