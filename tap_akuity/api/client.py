"""The client of the Akuity API: takes a query, returns a page."""

import codecs
import logging
import sys
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from threading import Event, Lock
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import backoff
import msgspec
import requests
import urllib3
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api import errors
from tap_akuity.api.errors import (
    BadRequestError,
    LimitError,
    NotAPageError,
    PageTooBigError,
    RetriableError,
    UnreachableError,
)
from tap_akuity.api.query import Query
from tap_akuity.api.session import BodyTooBigError, BoundedSession, Response
from tap_akuity.text import timestamps
from tap_akuity.text.masking import one_line

_T = TypeVar("_T")

MAX_LIMIT = 1000
"""The largest limit that Akuity accepts, as its published definitions say."""

MAX_WAIT_SECONDS = 60.0
"""The longest wait between two attempts unless the server asks for a longer one."""

MAX_ATTEMPTS_UNREACHED = 5
"""How many attempts are made while no connection has ever been made: 15 seconds at
most, because `api_url` or a proxy may be wrong."""

MAX_CLOCK_SKEW = timestamps.DAY
"""How far a `Date` header may be off the local clock before it is ignored."""

_SHORTEST_TOLD = 0.05  # Seconds; less would be shown as 0.0.

_PIECE_BYTES = 1 << 14  # Text of more than 128 KB would be mapped and unmapped anew.

_DATE_SLACK = 5 * 60 * timestamps.SECOND  # A response takes its time to arrive.


class PageResponse(NamedTuple):
    """A page with its envelope decoded and its items still encoded."""

    items: msgspec.Raw
    """A JSON array, in UTF-8 and on one line."""

    total_count: int
    """The server's count of events in the range."""

    date: int | None
    """The server's clock, from the `Date` header: nanoseconds since the Unix epoch.
    None if it is absent or implausible."""


class _Envelope(msgspec.Struct, rename="camel"):
    items: msgspec.Raw
    total_count: int


# Not strict, because protojson writes 64-bit integers as text.
_decode_envelope = msgspec.json.Decoder(_Envelope, strict=False).decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode


class AkuityClient:
    """Fetches pages of one resource of the API. Several threads may fetch at a time."""

    def __init__(  # noqa: PLR0913, all by name
        self,
        url: str,
        *,
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest],
        headers: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
        timeout: float,
        max_attempts: int,
        logger: logging.Logger,
    ) -> None:
        """Create a client, without making a request.

        Args:
            url: The resource.
            auth: Adds the key to a request.
            headers: Of each request.
            params: Of each request, such as filters; a list is sent value by value.
            timeout: How many seconds a request may take in total. This and the next can
                be changed later.
            max_attempts: How many attempts to make if a request may succeed later.
            logger: Logs retries.
        """
        self._url = url
        self._auth = auth
        self._headers = headers
        self._params = dict(params or {})
        self.timeout = timeout
        self.max_attempts = max_attempts
        self._logger = logger
        self.requests = 0
        """How many requests were made, retries included."""

        self.retries = 0
        """How many of them were retries."""

        self._lock = Lock()
        self._closed = Event()
        self._problem = ""
        self._session: BoundedSession | None = None
        self._largest_page = sys.maxsize
        self._paused_until = 0.0
        self._date_doubted = False
        self._reached = False

    def fetch(self, query: Query) -> PageResponse:
        """Fetch one page, with retries.

        If the server rejects its limit, it is smaller, and so is every later one.

        Raises:
            PageTooBigError: If it is too big to be sent or read.
            BadRequestError: If the server rejects the query.
            FatalAPIError: If the server rejects the request, or no attempt gets a
                usable response.
        """
        limit = min(query.limit, self._largest_page)
        while True:
            pairs = self._params | _parameters(query._replace(limit=limit))
            try:
                page = self.get(
                    f"{self._url}?{urlencode(pairs, doseq=True)}", self._page
                )
            except LimitError as error:
                if limit == 1:
                    raise
                # Akuity's own maximum is the most likely one.
                limit = MAX_LIMIT if limit > MAX_LIMIT else limit // 2
                problem = error
            else:
                if limit < min(query.limit, self._largest_page):
                    self._largest_page = limit
                    self._logger.info(
                        "%s Requesting %d events per page.", problem, limit
                    )
                return page

    def get(
        self,
        url: str,
        read: Callable[[Response], _T],
        *,
        max_attempts: int | None = None,
    ) -> _T:
        """Make a GET request, and retry it as long as that may help.

        Args:
            url: The URL on the same host, including the query.
            read: Converts a response of any status to the result, or raises; on a
                `RetriableError` the request is retried.
            max_attempts: A lower number, for a request that the run can do without.

        Raises:
            PageTooBigError: If the body is too big.
            FatalAPIError: If `read` raises it, if no attempt gets a usable response, or
                if another request has failed for good.
        """
        try:
            return self._get(url, read, max_attempts or sys.maxsize)
        except BadRequestError:
            raise  # Another request may succeed.
        except FatalAPIError as error:
            if max_attempts is None:  # Threads that wait to make a request raise it.
                self._problem = self._problem or str(error)
                self._closed.set()
            raise

    def _get(self, url: str, read: Callable[[Response], _T], limit: int) -> _T:
        limit = min(limit, self.max_attempts)
        waits = backoff.expo(max_value=MAX_WAIT_SECONDS)
        next(waits)
        attempt = 0
        while True:
            attempt += 1
            # Set when Akuity rate limits any of the threads.
            self._wait_until(self._paused_until)
            with self._lock:
                self.requests += 1
                self.retries += attempt > 1
            try:
                response = self._get_once(url)
                self._reached = True
                return read(response)
            except RetriableError as error:
                most = min(error.max_attempts, limit)
                if isinstance(error, UnreachableError) and not self._reached:
                    most = min(most, MAX_ATTEMPTS_UNREACHED)
                else:
                    self._reached = True
                if attempt >= most:
                    raise FatalAPIError(f"{error} Attempts: {attempt}.") from error
                self._wait_until(0.0)  # Say nothing of a retry that will not be made.
                # Full jitter, but at least as long as the server requests.
                wait = max(backoff.full_jitter(next(waits)), error.retry_after)
                until = time.monotonic() + wait
                if error.is_rate_limit:
                    self._paused_until = max(self._paused_until, until)
                when = f"in {wait:.1f} seconds" if wait >= _SHORTEST_TOLD else "now"
                self._logger.warning(
                    "Attempt %d of %d failed; retrying %s: %s",
                    attempt,
                    most,
                    when,
                    error,
                )
            self._wait_until(until)

    def _wait_until(self, moment: float) -> None:
        if self._closed.wait(moment - time.monotonic()):
            raise FatalAPIError(self._problem)

    def _get_once(self, url: str) -> Response:
        try:
            with self._lock:
                if not self._session:
                    self._session = BoundedSession(self._url)
            return self._session.get(
                url, headers=self._headers, auth=self._auth, timeout=self.timeout
            )
        except BodyTooBigError as error:
            raise PageTooBigError(
                f"The page is too big to be read ({error})."
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise errors.of_transport(error, self._url) from error

    def _page(self, response: Response) -> PageResponse:
        errors.check_status(response, self._url)
        body = response.body
        try:
            if not body.isascii():
                _check_utf8(body)
            envelope = _decode_envelope(body)
            _check_array(envelope.items)
            items = _on_one_line(envelope.items, body)
        except msgspec.ValidationError as error:
            raise self._not_a_page(response, error) from error
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
            raise RetriableError(self._unreadable(response, error)) from error
        return PageResponse(items, envelope.total_count, self._date(response))

    def _not_a_page(self, response: Response, error: Exception) -> RetriableError:
        sentence = self._unreadable(response, error)
        try:
            _skip(response.body)
        except (msgspec.DecodeError, RecursionError):
            # It was truncated or is otherwise corrupt.
            return RetriableError(sentence)
        return NotAPageError(sentence)

    def _unreadable(self, response: Response, error: Exception) -> str:
        details = f"{errors.details(response, self._url)}, {one_line(str(error))}"
        return (
            f"{errors.base_url(self._url)} did not respond with events: check "
            f"`api_url` ({details})."
        )

    def _date(self, response: Response) -> int | None:
        here = time.time_ns()
        try:
            moment = parsedate_to_datetime(response.headers["Date"])
            there = int(moment.timestamp()) * timestamps.SECOND
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        if -MAX_CLOCK_SKEW - _DATE_SLACK < there - here <= MAX_CLOCK_SKEW:
            return there
        if not self._date_doubted:
            self._date_doubted = True
            self._logger.warning(
                "The server's clock (%s) is more than a day off the local clock, which "
                "is used instead: correct the local clock if it is wrong.",
                one_line(response.headers["Date"]),
            )
        return None


def _parameters(query: Query) -> dict[str, Any]:
    """Translate a query into the API's parameters.

    The API silently ignores unknown parameters, so a misspelt filter looks like
    success: mind the names.
    """
    return {
        "filters.startTime": timestamps.to_bound(query.start),
        "filters.endTime": timestamps.to_bound(query.end),
        "filters.offset": query.offset,
        "filters.limit": query.limit,
    }


def _check_array(json: msgspec.Raw) -> None:
    if bytes(memoryview(json)[:1]) != b"[":
        raise msgspec.ValidationError("`items` is not an array")


def _on_one_line(items: msgspec.Raw, body: bytes) -> msgspec.Raw:
    """Remove line breaks between JSON tokens; JSON strings contain none."""
    end = len(body) - 2  # Some servers end a body with a line break.
    if body.find(b"\n", 0, end) < 0 and body.find(b"\r", 0, end) < 0:
        return items
    return msgspec.Raw(msgspec.json.format(items, indent=-1))


def _check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError for bytes that are not UTF-8.

    Piece by piece, since text that is not ASCII may take four times the memory.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with memoryview(body) as view:
        for start in range(0, len(view), _PIECE_BYTES):
            decoder.decode(view[start : start + _PIECE_BYTES])
    decoder.decode(b"", final=True)
