"""An HTTP session whose answers end in time, in size, and at the host asked."""

from __future__ import annotations

import os
import queue
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    _Function: TypeAlias = Callable[[], requests.Response]
    _Calls: TypeAlias = queue.SimpleQueue[_Function | None]
    _Outcomes: TypeAlias = queue.SimpleQueue[requests.Response | Exception]

MAX_BODY_BYTES = 64 << 20
"""How large a body may be, unpacked. The hop behind Akuity's gateway allows 4 MiB."""

MAX_ERROR_BODY_BYTES = 64 << 10
"""How much is read of the body of an error."""

_CHUNK_BYTES = 1 << 20
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


class BodyTooBigError(requests.RequestException):
    """The body of an answer is larger than `MAX_BODY_BYTES`."""


class BoundedSession(requests.Session):
    """Sends requests to one host, one at a time."""

    def __init__(self, url: str) -> None:
        """Begin, with no connection made yet.

        Args:
            url: What will be asked.
        """
        super().__init__()
        self._caller = _Caller()
        if urlsplit(url).scheme == "http":
            # Only for loopback: no proxy is to see the key.
            self.trust_env = False
        # requests heeds these only where it prepares and sends a request in one call.
        bundles = filter(None, map(os.environ.get, _CA_VARIABLES))
        self.verify = next(bundles, True)

    @override
    def send(
        self, request: requests.PreparedRequest, **kwargs: Any
    ) -> requests.Response:
        """Send a request, and read the whole answer.

        Args:
            request: From `prepare_request`.
            **kwargs: As for `requests.Session.send`. `timeout` is how many seconds the
                request may take in all; what requests calls by that name begins anew
                with every byte, and does not cover the look-up of the host.

        Returns:
            The answer with its body. That of an error may be cut.

        Raises:
            requests.Timeout: If it takes longer.
            BodyTooBigError: If the body of a good answer is too large.
            requests.RequestException: If there is no answer.
        """
        kwargs["stream"] = True
        seconds = kwargs["timeout"]
        try:
            return self._caller.call(lambda: self._exchange(request, kwargs), seconds)
        except queue.Empty:
            # What is still under way keeps its thread and its connection to itself.
            self._caller = _Caller()
            self.mount("https://", HTTPAdapter())
            self.mount("http://", HTTPAdapter())
            msg = f"no complete answer within {seconds:g} seconds"
            raise requests.Timeout(msg) from None

    def _exchange(
        self, request: requests.PreparedRequest, kwargs: dict[str, Any]
    ) -> requests.Response:
        chunks: list[bytes] = []
        size = 0
        with super().send(request, **kwargs) as response:
            most = MAX_BODY_BYTES if response.ok else MAX_ERROR_BODY_BYTES
            for chunk in response.iter_content(_CHUNK_BYTES):
                chunks.append(chunk)
                size += len(chunk)
                if size > most:
                    break
        if size > most and response.ok:
            msg = f"the body is larger than {MAX_BODY_BYTES >> 20} MiB"
            raise BodyTooBigError(msg, response=response)
        # There is no public way to give a streamed answer its content.
        response._content = b"".join(chunks)  # noqa: SLF001
        return response


class _Caller:
    """Makes calls in a thread of its own, and waits for each no longer than asked.

    The thread stays from call to call: a new one for each page of 500 KB takes 0.3 ms
    more, for memory that the last one had at hand. It ends with the caller.
    """

    def __init__(self) -> None:
        self._calls: _Calls = queue.SimpleQueue()
        self._outcomes: _Outcomes = queue.SimpleQueue()
        threading.Thread(
            target=_work, args=(self._calls, self._outcomes), daemon=True
        ).start()
        weakref.finalize(self, self._calls.put, None)

    def call(self, function: _Function, seconds: float) -> requests.Response:
        """Call a function.

        Raises:
            queue.Empty: If it takes longer. No other call can be made then.
            Exception: What the function raises.
        """
        self._calls.put(function)
        outcome = self._outcomes.get(timeout=seconds)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def _work(calls: _Calls, outcomes: _Outcomes) -> None:
    while function := calls.get():
        try:
            outcomes.put(function())
        except Exception as error:  # noqa: BLE001, raised where the answer is waited for
            outcomes.put(error)
        del function
