"""Clients and streams that need no server."""

import logging

from requests.auth import HTTPBasicAuth

from tap_akuity.api.client import AkuityClient
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity

ORGANIZATION_URL = "https://akuity.cloud/api/v1/organizations/org"
URL = f"{ORGANIZATION_URL}/audit-logs"


def client_of(url=URL, **options):
    given = {
        "auth": HTTPBasicAuth("key", "hush"),
        "headers": {},
        "timeout": 60,
        "max_attempts": 1,
        "logger": logging.getLogger("client"),
        **options,
    }
    return AkuityClient(url, **given)


def stream_of(**settings):
    config = {
        "organization_id": "org",
        "api_key_id": "key",
        "api_key_secret": "hush",
        "max_retries": 0,
        **settings,
    }
    return AuditLogsStream(TapAkuity(config=config))
