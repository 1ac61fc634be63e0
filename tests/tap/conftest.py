"""An environment for the tests of the tap."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _no_certificates_of_the_user_s_own():
    # Reading a bundle again and again would take half of the time of many tests.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            patch.delenv(name, raising=False)
        yield
