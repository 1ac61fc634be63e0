"""An HTTP session that limits the time and size of responses and follows no redirect.

The memory of one response is limited, whatever the server sends: `_MAX_HEADER_BYTES`
for the headers, `MAX_BODY_BYTES` for the decompressed body, twice that while it grows,
and a few pieces of `_PIECE_BYTES`. No cookie is kept.
"""

import contextlib
import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from typing_extensions import override

MAX_BODY_BYTES = 8 << 20
"""The largest page, decompressed. The hop behind Akuity's gateway allows 4 MiB."""

MAX_ERROR_BODY_BYTES = 64 << 10
"""The most that is read of the body of an error response."""

_MAX_HEADER_BYTES = 256 << 10
_MAX_OVERHEAD_BYTES = 4 << 20  # Chunk sizes, read-ahead.
_PIECE_BYTES = 1 << 20
_MAX_IDLE_CONNECTIONS = 32

# No nesting: a few KB of `gzip, gzip` expand to GBs within a single piece.
_ENCODINGS = ("gzip", "deflate")

_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class BodyTooBigError(requests.RequestException):
    """The body of a page is larger than `MAX_BODY_BYTES`."""


class CABundleError(requests.RequestException):
    """A certificate file cannot be used; the text says which one and what to do."""


class Response(NamedTuple):
    """A response, read completely."""

    status: int

    headers: Mapping[str, str]
    """By name, case-insensitive."""

    body: bytes
    """Decompressed. That of an error may be cut short."""


class BoundedSession:
    """Makes requests to one host. Several threads may do so at a time."""

    def __init__(self, url: str) -> None:
        """Create a session for the host of a URL, without a connection.

        Raises:
            CABundleError: If the environment names an unusable certificate file.
        """
        self._session = _Session()
        self._session.headers["Accept-Encoding"] = ", ".join(_ENCODINGS)
        self._session.trust_env = False
        scheme, context = urlsplit(url).scheme, None
        if scheme == "https":
            self._session.proxies = get_environ_proxies(url)
            context = _tls_context()
        self._session.mount(f"{scheme}://", _Adapter(context))

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest],
        timeout: float,
    ) -> Response:
        """Make a GET request, and read the whole response.

        The timeout limits the total, in seconds, but for two things: the resolver sets
        its own limit, and each address that does not respond, and a proxy, may take as
        long.

        Raises:
            requests.Timeout: If it takes longer. Reading stops then.
            BodyTooBigError: If the body of a page is too large.
            requests.RequestException: If there is no response.
        """
        deadline = time.monotonic() + timeout
        # What is left of the total becomes the timeout of the socket: see `_Wire`.
        total: Any = urllib3.Timeout(total=timeout)
        options = {"timeout": total, "stream": True, "allow_redirects": False}
        try:
            with self._session.get(url, headers=headers, auth=auth, **options) as got:
                return Response(got.status_code, got.headers, _body(got))
        except requests.RequestException as error:
            if time.monotonic() < deadline:
                raise
            raise requests.Timeout(
                f"no complete response within {timeout:g} seconds"
            ) from error
        except (TypeError, ValueError) as error:
            # Some malformed proxy URLs cause these.
            raise requests.exceptions.InvalidProxyURL(error) from error


def _body(response: requests.Response) -> bytes:
    if response.status_code != HTTPStatus.OK:
        # The status counts even if the body cannot be read.
        with contextlib.suppress(requests.RequestException):
            return _read(response, MAX_ERROR_BODY_BYTES)
        return b""
    body = _read(response, MAX_BODY_BYTES)
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooBigError(f"the body is larger than {MAX_BODY_BYTES >> 20} MiB")
    return body


def _read(response: requests.Response, most: int) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", *_ENCODINGS}:
        raise requests.exceptions.ContentDecodingError(
            "the body is encoded in a way that was not requested"
        )
    body = b""  # Most pages come in one piece, which this does not copy.
    for piece in response.iter_content(_PIECE_BYTES):
        body += piece
        if len(body) > most:
            break
    return body


def _tls_context() -> ssl.SSLContext:
    """Load the certificates of the trusted authorities."""
    for variable in _CA_VARIABLES:
        if bundle := os.environ.get(variable):
            is_folder = os.path.isdir(bundle)  # noqa: PTH112
            try:
                if is_folder:
                    return ssl.create_default_context(capath=bundle)
                return ssl.create_default_context(cafile=bundle)
            except OSError as error:
                raise CABundleError(
                    f"{variable} names {bundle}, which cannot be read as certificates: "
                    "correct or unset it"
                ) from error
    return ssl.create_default_context(cafile=certifi.where())


class _Session(requests.Session):
    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        # Otherwise requests would read the whole body of a redirect.
        return None


class _Adapter(HTTPAdapter):
    """Creates connections with one TLS context, and with `_Response`."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        super().__init__(pool_maxsize=_MAX_IDLE_CONNECTIONS)

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    @override
    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        contexts = {"ssl_context": self._context, "proxy_ssl_context": self._context}
        return super().proxy_manager_for(proxy, **kwargs, **contexts)

    @override
    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Do not load the authorities for each connection: the context has them."""

    @override
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if pool.ConnectionCls.response_class is not _Response:
            bounded = {"response_class": _Response}
            pool.ConnectionCls = type("Connection", (pool.ConnectionCls,), bounded)
        return pool


class _Response(http.client.HTTPResponse):
    """Reads a response within its limits, without cookies."""

    def __init__(
        self, sock: socket.socket, debuglevel: int = 0, method: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method)
        self._wire = _Wire(sock, self.fp.detach())
        self.fp = io.BufferedReader(self._wire)

    @override
    def begin(self, **options: Any) -> None:
        super().begin(**options)
        del self.headers["Set-Cookie"]
        self._wire.left = MAX_BODY_BYTES + _MAX_OVERHEAD_BYTES


class _Wire(io.RawIOBase):
    """Reads at most `left` bytes, and no longer than the timeout of the socket."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self.left = _MAX_HEADER_BYTES
        self._deadline = time.monotonic() + (sock.gettimeout() or 0)
        self._sock = sock
        self._raw = raw

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(seconds)
        count = self._raw.readinto(buffer)
        self.left -= count or 0
        if self.left < 0:
            raise http.client.HTTPException("the response is too long")
        return count

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()
