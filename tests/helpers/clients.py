"""Clients and streams that need no server."""

from __future__ import annotations

import logging
from typing import Any

from requests.auth import HTTPBasicAuth

from tap_akuity.api.client import AkuityClient
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity

ORGANIZATION_URL = "https://akuity.cloud/api/v1/organizations/org"
URL = f"{ORGANIZATION_URL}/audit-logs"


def client_of(**options: Any) -> AkuityClient:
    """Make a client, which needs no tap and no stream."""
    given = {
        "auth": HTTPBasicAuth("key", "hush"),
        "headers": {"User-Agent": "me"},
        "timeout": 60,
        "max_attempts": 1,
        "logger": logging.getLogger("client"),
        **options,
    }
    return AkuityClient(given.pop("url", URL), **given)


def stream_of(**settings: Any) -> AuditLogsStream:
    config = {
        "organization_id": "org",
        "api_key_id": "key",
        "api_key_secret": "hush",
        "max_retries": 0,
        **settings,
    }
    return AuditLogsStream(TapAkuity(config=config))
