import ssl

import backoff
import pytest
import trustme


@pytest.fixture
def hasty(monkeypatch):
    """Hardly wait between attempts."""
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.001)


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """Return the certificate file of a private authority."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


authority = trustme.CA()


@pytest.fixture(scope="session")
def context():
    """Serve with a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
