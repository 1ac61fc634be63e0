"""The sandbox as a server in a thread of this process, on the loopback."""

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
# Clients may pause between two requests; a connection closed meanwhile is a fault
# that nobody asked for.
KEEP_ALIVE_SECONDS = 600


class Sandbox:
    """A running sandbox, from `with` until its end.

    Attributes:
        state: The store, options, faults and statistics; all may be replaced.
        url: Where it is served.
    """

    def __init__(  # noqa: PLR0913 - a caller names the few that matter
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
        """Prepare to serve `data`: a `Dataset`, or any items."""
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
        """The organization that has the records."""
        return self.state.options.organization_id

    @property
    def api_key_id(self) -> str:
        """The user name."""
        return self.state.options.api_key_id

    @property
    def api_key_secret(self) -> str:
        """The password."""
        return self.state.options.api_key_secret

    def __enter__(self) -> Self:
        """Serve, and return when requests are answered.

        Raises:
            OSError: The port is taken, or a certificate can't be read.
            OverflowError: There is no such port.
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
        """Stop, whatever is under way."""
        self._server.should_exit = True
        self._thread.join()

    def _serve(self, listener: socket.socket) -> None:
        try:
            self._server.run(sockets=[listener])
        finally:
            listener.close()
            self._server.ready.set()


def _listen(port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off, but only where the protocol is named:
    # without it every small answer takes 40 ms.
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
    """Lets a fault reach the connection, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class _Server(uvicorn.Server):
    """Says when it is ready, and doesn't wait for slow or silent answers."""

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
