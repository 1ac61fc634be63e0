"""What the tests of the client share."""

from __future__ import annotations

import time

import backoff
import pytest


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Wait without waiting, and tell how long it would have been."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        if seconds:
            waited.append(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    monkeypatch.setattr(time, "monotonic", lambda: sum(waited))
    monkeypatch.setattr(backoff, "full_jitter", lambda value: value)
    return waited
