"""How the Akuity API is spoken to: URL, authentication, retries, what errors mean."""

from __future__ import annotations

import logging
import sys
import threading
import time
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import backoff
import msgspec
import requests
from requests.auth import HTTPBasicAuth
from singer_sdk.exceptions import FatalAPIError, RetriableAPIError
from singer_sdk.streams import RESTStream
from singer_sdk.streams.rest import PageContext

from tap_akuity.api import errors
from tap_akuity.api.errors import BadRequestError, PageTooBigError
from tap_akuity.api.query import Query
from tap_akuity.api.session import BodyTooBigError, BoundedSession
from tap_akuity.records import timestamps

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from backoff.types import Details
    from singer_sdk.helpers.types import Auth, Context
    from singer_sdk.tap_base import Tap

MAX_WAIT_SECONDS = 60.0
"""The longest wait between two tries that the tap chooses by itself."""

MAX_RETRY_AFTER_SECONDS = 300.0
"""The longest wait between two tries that the server may ask for."""

_CLIENT_CLOSED_REQUEST = 499  # nginx's and gRPC's "cancelled"; not in HTTPStatus

_TRANSPORT_ERRORS = (
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ConnectionError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.Timeout,
)


class PageAnswer(NamedTuple):
    """What came back."""

    items: list[Any]
    """Each as `item_type` says."""

    total_count: int
    """How many audit logs the range holds, says the server."""

    date: int | None
    """The server's clock, from the `Date` header: nanoseconds since the Unix epoch."""


_Item = TypeVar("_Item")


class _Body(msgspec.Struct, Generic[_Item], rename="camel"):
    items: list[_Item]
    total_count: int


_decode_raw = msgspec.json.Decoder(_Body[msgspec.Raw]).decode


class AkuityStream(RESTStream[Query]):
    """A stream of the Akuity API, read page by page through `fetch`."""

    item_type: type = msgspec.Raw
    """What the items of a page are decoded to. If one does not fit, all stay `Raw`."""

    # The key must not follow a redirect, to wherever it may lead.
    allow_redirects = False

    def __init__(self, tap: Tap) -> None:
        """Begin, with no request made yet.

        Args:
            tap: The tap that the stream belongs to.
        """
        super().__init__(tap)
        body_type = _Body[self.item_type]  # type: ignore[name-defined]
        self._decode = msgspec.json.Decoder(body_type).decode
        self._threads = threading.local()
        self._largest_page = sys.maxsize
        self._paused_until = 0.0

    @property
    @override
    def url_base(self) -> str:
        return f"{self.config['api_url']}/api/v1"

    @override
    def get_url(self, context: Context | None) -> str:
        organization_id = quote(self.config["organization_id"], safe="")
        return self.url_base + self.path.format(organization_id=organization_id)

    @cached_property
    @override
    def authenticator(self) -> Auth:
        # Given as bytes, because requests would encode text as Latin-1.
        return HTTPBasicAuth(
            self.config["api_key_id"].encode(), self.config["api_key_secret"].encode()
        )

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json"}

    @cached_property
    @override
    def user_agent(self) -> str:
        version = self._tap.plugin_version
        return str(self.config.get("user_agent", f"{self.tap_name}/{version}"))

    @property
    @override
    def timeout(self) -> float:  # type: ignore[override]
        return float(self.config["request_timeout_seconds"])

    @property
    @override
    def requests_session(self) -> requests.Session:
        # One for each thread, because requests promises nothing else.
        session: BoundedSession | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = BoundedSession(self.url_base)
        return session

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: Query | None
    ) -> dict[str, Any]:
        """Return the query parameters of one page.

        A parameter whose name the API does not know is ignored there without a word,
        so that a misspelt filter looks like success: mind the names.

        Args:
            context: Not used.
            next_page_token: The page.

        Returns:
            Parameters; one with a list is sent once for each value.
        """
        params: dict[str, Any] = {
            "filters.action": self.config.get("actions", []),
            "filters.actorType": self.config.get("actor_types", []),
            "filters.actorId": self.config.get("actor_ids", []),
        }
        if next_page_token is not None:
            start, end, offset, limit = next_page_token
            params["filters.startTime"] = timestamps.to_bound(start)
            params["filters.endTime"] = timestamps.to_bound(end)
            params["filters.offset"] = offset
            params["filters.limit"] = limit
        return params

    def fetch(self, query: Query) -> PageAnswer:
        """Fetch one page, and try again as long as that may help.

        May be called by several threads at a time.

        Args:
            query: The page.

        Returns:
            The page's items and what the server says about the range. A page that is
            too big for the server comes smaller, and so does every one after it.

        Raises:
            FatalAPIError: If the server refuses the request, or if it could not be
                reached or understood in any of the tries.
        """
        limit = min(query.limit, self._largest_page)
        try:
            answer: PageAnswer = self.request_decorator(self._fetch_once)(
                query._replace(limit=limit)
            )
        except PageTooBigError as error:
            if limit == 1:
                raise
            self._largest_page = min(self._largest_page, limit // 2)
            self.log("%s Asking for %d at a time.", error, self._largest_page)
            return self.fetch(query)
        except RetriableAPIError as error:
            msg = f"{error} Tries: {self.backoff_max_tries()}."
            raise FatalAPIError(msg) from error
        except _TRANSPORT_ERRORS as error:
            if errors.is_distrust(error):
                msg = (
                    f"The certificate of {self.config['api_url']} is not trusted: if "
                    "it is from a private authority, name its file in "
                    f"REQUESTS_CA_BUNDLE ({errors.reason(error)})."
                )
            else:
                msg = (
                    f"Could not get an answer from {self.config['api_url']}: check "
                    f"`api_url`, the network and the proxy ({errors.reason(error)}). "
                    f"Tries: {self.backoff_max_tries()}."
                )
            raise FatalAPIError(msg) from error
        return answer

    @override
    def request_decorator(self, func: Callable[..., Any]) -> Callable[..., Any]:
        # As the SDK does it, but for the log lines that backoff writes on its own.
        return backoff.on_exception(
            self.backoff_wait_generator,
            (RetriableAPIError, *_TRANSPORT_ERRORS),
            max_tries=self.backoff_max_tries(),
            giveup=errors.is_distrust,
            jitter=None,
            on_backoff=self.backoff_handler,
            logger=None,
        )(func)

    def _fetch_once(self, query: Query) -> PageAnswer:
        # Set when Akuity asked any of the threads for fewer requests.
        time.sleep(max(0.0, self._paused_until - time.monotonic()))
        request = self.get_http_request(page=PageContext(None, query))
        prepared = self.build_prepared_request(
            request.method,
            request.url,
            params=request.encode_params(),
            headers=request.headers,
        )
        try:
            response = self.requests_session.send(
                prepared,
                timeout=self.timeout,
                allow_redirects=self.allow_redirects,
            )
        except BodyTooBigError as error:
            msg = f"Akuity sent a page that is too big ({error})."
            raise PageTooBigError(msg) from error
        self.validate_response(response)
        return self.parse_page(response)

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Tell a usable answer from an error that can pass and from one that cannot.

        Args:
            response: The answer.

        Raises:
            RetriableAPIError: If the same request may succeed later.
            PageTooBigError: If a smaller page may.
            BadRequestError: If what was asked for is refused.
            FatalAPIError: If nothing of the kind will succeed.
        """
        status = response.status_code
        if status == HTTPStatus.OK:
            return
        if errors.is_too_big(response):
            msg = f"Akuity cannot send a page so big ({errors.particulars(response)})."
            raise PageTooBigError(msg)
        if (
            status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
            or status == _CLIENT_CLOSED_REQUEST
            or (
                status >= HTTPStatus.INTERNAL_SERVER_ERROR
                and status != HTTPStatus.NOT_IMPLEMENTED
            )
        ):
            raise RetriableAPIError(self.response_error_message(response), response)
        message = self.response_error_message(response)
        if status == HTTPStatus.BAD_REQUEST:
            raise BadRequestError(message)
        raise FatalAPIError(message)

    @override
    def response_error_message(self, response: requests.Response) -> str:
        return errors.explain(
            response,
            api_url=self.config["api_url"],
            organization_id=self.config["organization_id"],
        )

    def parse_page(self, response: requests.Response) -> PageAnswer:
        """Read a page out of an answer.

        Args:
            response: An answer with status 200.

        Returns:
            The page.

        Raises:
            RetriableAPIError: If the body is no page; never does that count as an
                empty one.
        """
        try:
            body = self._decode_body(response.content)
        except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError) as error:
            msg = (
                f"{self.config['api_url']} did not answer with audit logs: check "
                f"`api_url` ({errors.particulars(response)}, {error})."
            )
            raise RetriableAPIError(msg, response) from error
        return PageAnswer(body.items, body.total_count, _date(response))

    def _decode_body(self, content: bytes) -> _Body[Any]:
        try:
            body: _Body[Any] = self._decode(content)
        except msgspec.DecodeError:
            # Nothing in a `Raw` is looked at, not even whether it is UTF-8.
            content.decode()
            body = _decode_raw(content)
        return body

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        for item in self.parse_page(response).items:
            yield msgspec.json.decode(msgspec.json.encode(item))

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        """Wait exponentially longer, by chance shorter, but as long as the server asks.

        The chance (full jitter) is here and not in `backoff_jitter`, where it would
        shorten what the server asks for.

        Yields:
            Seconds to wait.
        """
        growing = backoff.expo(max_value=MAX_WAIT_SECONDS)
        next(growing)
        error = yield 0
        for longest in growing:
            wait = backoff.full_jitter(longest)
            error = yield max(wait, _retry_after(error))

    @override
    def backoff_max_tries(self) -> int:
        return int(self.config["max_retries"]) + 1

    @override
    def backoff_handler(self, details: Details) -> None:
        error = details.get("exception")
        wait = details.get("wait") or 0.0
        response = getattr(error, "response", None)
        if (
            response is not None
            and response.status_code == HTTPStatus.TOO_MANY_REQUESTS
        ):
            self._paused_until = max(self._paused_until, time.monotonic() + wait)
        reason = (
            str(error) if isinstance(error, RetriableAPIError) else errors.reason(error)
        )
        self.log(
            "Try %d failed, the next follows in %.1f seconds: %s",
            details["tries"],
            wait,
            reason,
            level=logging.WARNING,
        )


def _date(response: requests.Response) -> int | None:
    try:
        moment = parsedate_to_datetime(response.headers["Date"])
        return int(moment.timestamp()) * timestamps.SECOND
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _retry_after(error: object) -> float:
    """Read how many seconds the server asks to wait: a number, or an HTTP date."""
    response = getattr(error, "response", None)
    if response is None:
        return 0
    value = response.headers.get("Retry-After", "").strip()
    try:
        seconds = (
            float(value)
            if value.isdecimal()
            else parsedate_to_datetime(value).timestamp() - time.time()
        )
    except (TypeError, ValueError, OverflowError):
        return 0
    return min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS)
