"""Errors of requests, explained for users."""

import http.client
import re
import sys
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api.session import CABundleError, Response
from tap_akuity.text.masking import one_line

MAX_RETRY_AFTER_SECONDS = 300.0
"""The longest wait between two attempts that the server may request."""

EU_API_URL = "https://eu.akuity.cloud"

_CLIENT_CLOSED_REQUEST = 499  # nginx's and gRPC's "cancelled"; not in HTTPStatus
_TOO_BIG = re.compile(r"message (after decompression )?larger than max")
# Not "rate limit exceeded", which a smaller page would not mend.
_LIMIT = re.compile(r"(?<!rate )\b(limit|page ?size)\b(?! exceeded)")
_BAD_TEXT = "invalid utf-8"  # Of a filter; the status is 500.
_REGION = f"(for the EU region: {EU_API_URL})"

_ADVICE = {
    HTTPStatus.BAD_REQUEST: "Akuity refused the request: check the settings",
    HTTPStatus.UNAUTHORIZED: (
        "Akuity refused the API key: check `api_key_id` and `api_key_secret`, that the "
        "key has not expired, been revoked or been limited to other IP addresses, and "
        f"that `api_url` is its region's {_REGION}"
    ),
    HTTPStatus.FORBIDDEN: (
        "The API key may not read the audit log: give it a custom role that may get "
        "`organization/audit-log`, or else the Owner role"
    ),
    HTTPStatus.NOT_FOUND: (
        "There is no organization at {url}: check `organization_id` and `api_url` "
        f"{_REGION}"
    ),
    HTTPStatus.CONFLICT: "Akuity aborted the request: try again later",
    HTTPStatus.TOO_MANY_REQUESTS: (
        "Rate limited by Akuity: lower `concurrency`, or try again later"
    ),
    _CLIENT_CLOSED_REQUEST: "Akuity aborted the request: try again later",
    HTTPStatus.NOT_IMPLEMENTED: (
        "Akuity does not support the request: report it as a bug of the tap"
    ),
}


class BadRequestError(FatalAPIError):
    """The server rejects the query."""


class LimitError(BadRequestError):
    """The server rejects the query, possibly because of its limit."""


class PageTooBigError(BadRequestError):
    """A page is too big for the server or the client."""


class RetriableError(FatalAPIError):
    """The same request may succeed, after `retry_after` seconds at the earliest.

    If it was rate limited, that is true of all requests.
    """

    max_attempts = sys.maxsize
    """The most attempts that make sense, whatever the settings allow."""

    def __init__(
        self, message: str, *, retry_after: float = 0.0, is_rate_limit: bool = False
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.is_rate_limit = is_rate_limit


class NotAPageError(RetriableError):
    """A response is valid JSON but not a page: worth one retry."""

    max_attempts = 2


class UnreachableError(RetriableError):
    """No connection was made: the host is unknown, or nothing listens there."""


class _Body(msgspec.Struct):
    message: str = ""


def check_status(response: Response, url: str) -> None:
    """Raise an error unless a response has status 200.

    Raises:
        RetriableError: If the same request may succeed later.
        PageTooBigError: If only a smaller page can succeed.
        LimitError: If the query is rejected, and a smaller page may succeed.
        BadRequestError: If the query is rejected.
        FatalAPIError: If no such request can succeed.
    """
    status = response.status
    if status == HTTPStatus.OK:
        return
    message = _message(response).lower()
    if status == HTTPStatus.TOO_MANY_REQUESTS and _TOO_BIG.search(message):
        sentence = f"The page is too big for Akuity to send ({details(response, url)})."
        raise PageTooBigError(sentence)
    sentence = f"{_advice(response, url)} ({details(response, url)})."
    if _BAD_TEXT in message:
        raise FatalAPIError(
            f"{_ADVICE[HTTPStatus.BAD_REQUEST]} ({details(response, url)})."
        )
    if _may_pass(status):
        raise RetriableError(
            sentence,
            retry_after=_retry_after(response),
            is_rate_limit=status == HTTPStatus.TOO_MANY_REQUESTS,
        )
    if status == HTTPStatus.BAD_REQUEST:
        raise (LimitError if _LIMIT.search(message) else BadRequestError)(sentence)
    raise FatalAPIError(sentence)


def of_transport(error: Exception, url: str) -> FatalAPIError:
    """Explain why there is no response, and whether to retry.

    Returns a `RetriableError` if the same request may succeed later.
    """
    base = base_url(url)
    if isinstance(error, CABundleError):
        return FatalAPIError(f"{one_line(str(error))}.")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return FatalAPIError(
            f"The certificate of {base} is not trusted: if it is from a private "
            f"authority, name its file in REQUESTS_CA_BUNDLE ({reason(error)})."
        )
    if isinstance(
        error,
        requests.exceptions.InvalidURL
        | requests.exceptions.InvalidSchema
        | requests.exceptions.MissingSchema
        | urllib3.exceptions.LocationValueError,
    ):
        return FatalAPIError(
            f"Could not send a request to {base}: correct the proxy in HTTPS_PROXY, or "
            f"`api_url` ({reason(error)})."
        )
    is_connected = not isinstance(_cause(error), urllib3.exceptions.NewConnectionError)
    kind = RetriableError if is_connected else UnreachableError
    if isinstance(error, requests.exceptions.ProxyError):
        return kind(
            f"The proxy did not connect to {base}: check HTTPS_PROXY and NO_PROXY "
            f"({reason(error)})."
        )
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return kind(
            f"The response from {base} could not be decoded: check the proxy, which "
            f"may have changed it, and `api_url` ({reason(error)})."
        )
    return kind(
        f"Could not get a response from {base}: check `api_url`, the network and the "
        f"proxy ({reason(error)})."
    )


def base_url(url: str) -> str:
    """Return the scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def details(response: Response, url: str) -> str:
    """Collect what support asks for: status, host, message, request id and version."""
    parts = [f"HTTP {response.status} from {urlsplit(url).netloc}"]
    if message := one_line(_message(response)):
        parts.append(f"“{message}”")
    parts += [
        f"{name} {one_line(response.headers[name])}"
        for name in ("cf-ray", "x-version")
        if name in response.headers
    ]
    return ", ".join(parts)


def reason(error: BaseException) -> str:
    """Return the text of the root cause, which requests wraps several times."""
    error = _cause(error)
    match error:
        case urllib3.exceptions.DecodeError():
            text = "the body is not encoded as its header says"
        case http.client.IncompleteRead():
            text = "the connection was closed in the middle of the response"
        case http.client.RemoteDisconnected():
            text = "the connection was closed without a response"
        case ConnectionResetError():
            text = "the connection was reset"
        case http.client.BadStatusLine():
            text = f"not an HTTP response: {error}"
        case _:
            # urllib3 begins with the connection: `HTTPConnection(host='…', port=1): `.
            pattern = r"^\w+\(.*?\): |<[^<>]* object at 0x[0-9a-f]+>:? ?"
            text = re.sub(pattern, "", str(error))
    return one_line(text).rstrip(".") or type(error).__name__


def _cause(error: BaseException) -> BaseException:
    while not isinstance(error, urllib3.exceptions.DecodeError):
        causes = (getattr(error, "reason", None), *reversed(error.args))
        inner = next((one for one in causes if isinstance(one, BaseException)), None)
        if inner is None:
            break
        error = inner
    return error


def _advice(response: Response, url: str) -> str:
    status = response.status
    if status in _ADVICE:
        return _ADVICE[status].format(url=url)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return (
            f"{base_url(url)} redirects to {_target(response)}, where the API key must "
            "not go: correct `api_url`"
        )
    if _may_pass(status):
        return "Akuity is having trouble: try again later"
    return "Akuity responded in an unexpected way: check `api_url`"


def _may_pass(status: int) -> bool:
    return (
        status
        in {
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.CONFLICT,
            HTTPStatus.TOO_MANY_REQUESTS,
            _CLIENT_CLOSED_REQUEST,
        }
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ) and status != HTTPStatus.NOT_IMPLEMENTED


def _target(response: Response) -> str:
    try:
        host = urlsplit(response.headers.get("Location", "")).hostname
    except ValueError:
        host = None
    return one_line(host or "nowhere")


def _message(response: Response) -> str:
    """Read Akuity's error message; empty if another server responded."""
    try:
        return msgspec.json.decode(response.body, type=_Body).message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""


def _retry_after(response: Response) -> float:
    """Return the seconds in `Retry-After`, which is a number or an HTTP date."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        seconds = (
            float(value)
            if value.isdecimal()
            else parsedate_to_datetime(value).timestamp() - time.time()
        )
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
