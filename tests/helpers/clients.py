"""Clients and streams that need no server."""

import logging
from urllib.parse import urlsplit

from requests.auth import HTTPBasicAuth

from sandbox.errors import ApiError
from sandbox.faults import Page
from sandbox.query import parse
from sandbox.store import Behaviour, Store
from tap_akuity.api.client import AkuityClient
from tap_akuity.api.session import Response
from tap_akuity.streams import AuditLogsStream
from tap_akuity.tap import TapAkuity

ORGANIZATION_URL = "https://akuity.cloud/api/v1/organizations/org"
URL = f"{ORGANIZATION_URL}/audit-logs"


def client_of(url=URL, session=None, **options):
    given = {
        "auth": HTTPBasicAuth("key", "hush"),
        "headers": {},
        "timeout": 60,
        "max_attempts": 1,
        "logger": logging.getLogger("client"),
        **options,
    }
    client = AkuityClient(url, **given)
    client._session = session
    return client


def stream_of(**settings):
    config = {
        "organization_id": "org",
        "api_key_id": "key",
        "api_key_secret": "hush",
        "max_retries": 0,
        **settings,
    }
    return AuditLogsStream(TapAkuity(config=config))


class LocalSession:
    """Responds from a sandbox's store, without HTTP."""

    def __init__(self, items=(), page=Store.query, **behaviour):
        self.store = Store(items, Behaviour(**behaviour))
        self._page = page
        self.headers = {}
        self.asked = []
        """The queries, as the sandbox reads them."""

    def get(self, url, **_):
        if "/audit-logs?" not in url:
            return Response(404, {}, b"{}")
        query = parse(urlsplit(url).query)
        self.asked.append(query)
        try:
            rows, total = self._page(self.store, query)
        except ApiError as error:
            return _refusal(error)
        body = Page(b"[%b]" % b",".join(rows), total).body
        most = self.store.behaviour.too_big_bytes
        if most and len(body) > most:
            message = f"grpc: received message larger than max ({len(body)})"
            return _refusal(ApiError(429, message))
        return Response(200, self.headers, body)


def _refusal(error):
    return Response(error.status, {}, bytes(error.response().body))
