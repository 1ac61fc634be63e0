"""An HTTP session that limits the time and size of responses and follows no redirect.

The memory of one response is limited, whatever the server sends: `MAX_BODY_BYTES` for
the decompressed body, an eighth more while it grows, a few pieces of `_PIECE_BYTES`,
and the headers.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import itertools
import os
import ssl
import sys
import time
from concurrent.futures import TimeoutError as CallTimeoutError
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from tap_akuity.calls import DaemonPool

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

MAX_BODY_BYTES = 8 << 20
"""The largest page, decompressed. The hop behind Akuity's gateway allows 4 MiB."""

MAX_ERROR_BODY_BYTES = 64 << 10
"""The most that is read of the body of an error response."""

_MAX_OVERHEAD_BYTES = 4 << 20  # Headers, chunk sizes, read-ahead.
_PIECE_BYTES = 1 << 20

# An exchange enforces its own deadline, except while it resolves a host name.
_GRACE_SECONDS = 0.25

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

    body: bytes | bytearray
    """Decompressed. That of an error may be cut short."""


class BoundedSession:
    """Makes requests to one host, one at a time."""

    def __init__(self, url: str) -> None:
        """Create a session, without a connection.

        Args:
            url: The URL of the resource to request.

        Raises:
            CABundleError: If the environment names a certificate file that cannot be
                used.
        """
        self._is_loopback = urlsplit(url).scheme == "http"
        self._bundle = _ca_bundle()
        self._begin()

    def _begin(self) -> None:
        self._pool = DaemonPool(1)
        self._allowance = _Allowance()
        self._session = _Session()
        adapter = _Adapter(self._allowance)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.verify = self._bundle
        if self._is_loopback:  # No proxy may see the key.
            self._session.trust_env = False

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest],
        timeout: float,
    ) -> Response:
        """Make a GET request, and read the whole response.

        Args:
            url: The URL, including the query.
            headers: The headers of the request.
            auth: Authenticates the request.
            timeout: How many seconds it may take in total. The timeout of requests
                restarts with every byte, and does not cover the resolution of the host
                name.

        Returns:
            The response.

        Raises:
            requests.Timeout: If it takes longer. Reading stops then.
            BodyTooBigError: If the body of a page is too large.
            requests.RequestException: If there is no response.
        """
        accepted = {"Accept-Encoding": ", ".join(_ENCODINGS)}
        request = self._session.prepare_request(
            requests.Request("GET", url, headers={**headers, **accepted}, auth=auth)
        )
        self._allowance.renew(timeout)
        call = self._pool.submit(functools.partial(self._exchange, request, timeout))
        try:
            return call.result(timeout + _GRACE_SECONDS)
        except CallTimeoutError as error:
            self._begin()  # The abandoned exchange keeps the old session to itself.
            msg = f"no complete response within {timeout:g} seconds"
            raise requests.Timeout(msg) from error
        except requests.RequestException as error:
            if self._allowance.response:
                # urllib3 leaves a response with malformed headers open.
                self._allowance.response.close()
            if self._allowance.expired:
                msg = f"no complete response within {timeout:g} seconds"
                raise requests.Timeout(msg) from error
            raise

    def _exchange(self, request: requests.PreparedRequest, timeout: float) -> Response:
        body: bytes | bytearray = b""
        with self._send(request, timeout) as response:
            status = response.status_code
            if status == HTTPStatus.OK:
                body = _read(response, MAX_BODY_BYTES)
            else:
                # The status counts even if the body cannot be read.
                with contextlib.suppress(requests.RequestException):
                    body = _read(response, MAX_ERROR_BODY_BYTES)
        if status == HTTPStatus.OK and len(body) > MAX_BODY_BYTES:
            msg = f"the body is larger than {MAX_BODY_BYTES >> 20} MiB"
            raise BodyTooBigError(msg)
        return Response(status, response.headers, body)

    def _send(
        self, request: requests.PreparedRequest, timeout: float
    ) -> requests.Response:
        try:
            return self._session.send(
                request, stream=True, timeout=timeout, allow_redirects=False
            )
        except (TypeError, ValueError) as error:
            if isinstance(error, requests.RequestException):
                raise
            # Some malformed proxy URLs cause these.
            raise requests.exceptions.InvalidProxyURL(error) from error


def _read(response: requests.Response, most: int) -> bytes | bytearray:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", *_ENCODINGS}:
        msg = "the body is encoded in a way that was not asked for"
        raise requests.exceptions.ContentDecodingError(msg)
    # Most pages come in one piece, which need not be copied.
    pieces = response.iter_content(_PIECE_BYTES)
    first: bytes = next(pieces, b"")
    second: bytes = next(pieces, b"")
    if not second:
        return first
    body = bytearray(first)
    del first
    for piece in itertools.chain([second], pieces):
        body += piece
        if len(body) > most:
            break
    return body


def _ca_bundle() -> str | bool:
    # requests reads these only if it prepares and sends a request in one call.
    for variable in _CA_VARIABLES:
        if bundle := os.environ.get(variable):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            is_folder = os.path.isdir(bundle)  # noqa: PTH112, as requests asks it
            try:
                context.load_verify_locations(
                    **{"capath" if is_folder else "cafile": bundle}
                )
            except OSError as error:
                msg = (
                    f"{variable} names {bundle}, which cannot be read as certificates: "
                    "correct or unset it"
                )
                raise CABundleError(msg) from error
            return bundle
    return True


class _Session(requests.Session):
    """A session that ignores the target of a redirect.

    Otherwise requests would read the whole body of a redirect that it does not follow.
    """

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Allowance:
    """The time and the bytes that a request has left to read from its connection."""

    def __init__(self) -> None:
        self._deadline = 0.0
        self._bytes = 0
        self.response: _WireResponse | None = None

    def renew(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._bytes = MAX_BODY_BYTES + _MAX_OVERHEAD_BYTES

    @property
    def expired(self) -> bool:
        return time.monotonic() >= self._deadline

    def seconds(self) -> float:
        """Return how long the next read may wait."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            msg = "timed out"
            raise TimeoutError(msg)
        return left

    def spend(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            msg = "the response is too long"
            raise http.client.HTTPException(msg)


class _Adapter(HTTPAdapter):
    """Creates connections that count every byte of a response, headers included."""

    def __init__(self, allowance: _Allowance) -> None:
        super().__init__()
        self._allowance = allowance

    @override
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if not issubclass(pool.ConnectionCls, _Bounded):
            pool.ConnectionCls = type(
                "BoundedConnection",
                (_Bounded, pool.ConnectionCls),
                {
                    "response_class": staticmethod(
                        functools.partial(_WireResponse, allowance=self._allowance)
                    )
                },
            )
        return pool


class _Bounded:
    """Marks a class of connections whose responses are `_WireResponse`."""


class _WireResponse(http.client.HTTPResponse):
    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        *,
        allowance: _Allowance,
    ) -> None:
        super().__init__(sock, debuglevel, method)
        unbounded, self.fp = self.fp, _Reader(_Wire(sock, allowance))
        unbounded.close()
        allowance.response = self


class _Wire(io.RawIOBase):
    """Reads from a socket within the limits of time and size."""

    def __init__(self, sock: socket.socket, allowance: _Allowance) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._allowance = allowance

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._allowance.seconds())
        count = self._raw.readinto(buffer)
        self._allowance.spend(count or 0)
        return count

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reader(io.BufferedReader):
    @override
    def read(self, size: int | None = -1, /) -> bytes:
        # urllib3 accepts -1 as the size of a chunk, which would read without a limit.
        if size is None or size < 0:
            msg = "the size of a chunk is malformed"
            raise http.client.HTTPException(msg)
        return super().read(size)
