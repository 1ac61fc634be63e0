"""The SDK's own suite, against the sandbox."""

import pytest
from singer_sdk.testing import get_tap_test_class

from sandbox.server import Sandbox
from tap_akuity.tap import TapAkuity
from tests.helpers.catalogs import CONFIG
from tests.helpers.running import config_for

# The suite makes the tap when it is collected, before there is a sandbox: the URL
# follows when the tests begin.
_CONFIG = dict(CONFIG)


class TestStandard(get_tap_test_class(TapAkuity, config=_CONFIG)):  # type: ignore[misc]
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _served(cls):
        with Sandbox() as sandbox:
            _CONFIG.update(config_for(sandbox))
            yield
