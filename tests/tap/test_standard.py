"""The SDK's own suite, against the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.testing import get_tap_test_class

from sandbox.server import Sandbox
from tap_akuity.tap import TapAkuity
from tests.helpers.running import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# The suite makes the tap when it is collected, before there is a sandbox: the URL
# follows when the tests begin.
_CONFIG: dict[str, Any] = {
    "organization_id": "sandbox",
    "api_key_id": "sandbox-key-id",
    "api_key_secret": "sandbox-key-secret",
}

_Suite = get_tap_test_class(TapAkuity, config=_CONFIG)


class TestStandard(_Suite):  # type: ignore[misc, valid-type]
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _served(cls) -> Iterator[None]:
        with Sandbox() as sandbox:
            _CONFIG.update(config_for(sandbox))
            yield
