"""The sandbox as a server in a thread of this process, on the loopback interface."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox.app import create_app
from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.state import Options, State
from sandbox.store import Behaviour, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

LOOPBACK = "127.0.0.1"
# Clients may pause between two requests; closing the connection meanwhile would be an
# unplanned fault.
KEEP_ALIVE_SECONDS = 600


class Sandbox:
    """A sandbox that runs for as long as its `with` block.

    Attributes:
        state: The store, options, faults and statistics; all may be replaced.
        url: The base URL.
    """

    def __init__(  # noqa: PLR0913 - callers name the few they need
        self,
        data: Iterable[Mapping[str, Any]] | None = None,
        *,
        behaviour: Behaviour | None = None,
        options: Options | None = None,
        faults: Plan | None = None,
        port: int = 0,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
    ) -> None:
        """Set up a sandbox that serves `data`: a `Dataset`, or any items."""
        data = Dataset() if data is None else data
        seed = data.seed if isinstance(data, Dataset) else 0
        self.state = State(
            Store(data, behaviour, seed),
            options or Options(),
            Faults(faults),
            seed=seed,
        )
        self._port = port
        self._config = uvicorn.Config(
            create_app(self.state),
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
        )

    @property
    def store(self) -> Store:
        """The records."""
        return self.state.store

    @property
    def organization_id(self) -> str:
        """The id of the organization."""
        return self.state.options.organization_id

    @property
    def api_key_id(self) -> str:
        """The id of the API key: the user name of basic authentication."""
        return self.state.options.api_key_id

    @property
    def api_key_secret(self) -> str:
        """The secret of the API key: the password of basic authentication."""
        return self.state.options.api_key_secret

    def __enter__(self) -> Self:
        """Start the server, and return when it is ready.

        Raises:
            OSError: The port is in use, or a certificate cannot be read.
            OverflowError: The port number is out of range.
            RuntimeError: The server did not start.
        """
        self._config.load()
        listener = _listen(self._port)
        scheme = "https" if self._config.is_ssl else "http"
        self.url = f"{scheme}://{LOOPBACK}:{listener.getsockname()[1]}"
        self._server = _Server(self._config)
        self._thread = threading.Thread(
            target=self._serve, args=(listener,), name="sandbox", daemon=True
        )
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            message = "the sandbox did not start"
            raise RuntimeError(message)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server, aborting requests in progress."""
        self._server.should_exit = True
        self._thread.join()

    def _serve(self, listener: socket.socket) -> None:
        try:
            self._server.run(sockets=[listener])
        finally:
            listener.close()
            self._server.ready.set()


def _listen(port: int) -> socket.socket:
    # asyncio disables Nagle's algorithm only if the protocol is named; with Nagle,
    # every small response takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen()
    except (OSError, OverflowError):
        listener.close()
        raise
    return listener


class _Protocol(H11Protocol):
    """Gives faults access to the connection, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Signals when it is ready, and shuts down without waiting for slow responses."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        for task in list(self.server_state.tasks):
            task.cancel()
        await super().shutdown(sockets)
