"""An environment for the tests of the tap."""

import threading
import time

import backoff
import pytest

from tests.helpers.commands import write


@pytest.fixture(autouse=True, scope="session")
def _no_certificates_of_the_user_s_own():
    # Reading a bundle again and again would take half of the time of many tests.
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def json_logs(tmp_path):
    """Return the environment in which Meltano runs the tap: it logs JSON to stderr."""
    formatter = {"()": "singer_sdk.logging.StructuredFormatter"}
    handler = {"class": "logging.StreamHandler", "formatter": "json"}
    logs = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {"console": handler},
        "root": {"level": "DEBUG", "handlers": ["console"]},
    }
    path = write(tmp_path / "logging.json", logs)
    return {"SINGER_SDK_LOG_CONFIG": str(path), "MELTANO_PROJECT_ROOT": str(tmp_path)}


@pytest.fixture
def waits(monkeypatch):
    """Wait without waiting, with a jitter of a half, and tell how long it would be."""
    waited: list[float] = []
    wait = threading.Event.wait

    def skip(event, seconds=None):
        if seconds is None:  # A thread that starts.
            return wait(event)
        waited.extend([seconds] * (seconds > 0))
        return event.is_set()

    monkeypatch.setattr(threading.Event, "wait", skip)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waited))
    monkeypatch.setattr(backoff, "full_jitter", lambda value: value / 2)
    return waited


@pytest.fixture
def hasty(monkeypatch):
    """Hardly wait between attempts."""
    monkeypatch.setattr(backoff, "full_jitter", lambda _: 0.001)
