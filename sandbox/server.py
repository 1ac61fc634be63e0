"""The sandbox as a server in a thread of this process, on the loopback interface."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Self

import uvicorn
from anyio.from_thread import start_blocking_portal
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from sandbox.app import create_app
from sandbox.data import Dataset
from sandbox.faults import Faults, Plan
from sandbox.state import Options, State
from sandbox.store import Behaviour, Store

LOOPBACK = "127.0.0.1"
SETTINGS: dict[str, Any] = {
    "ws": "none",
    "lifespan": "off",
    "log_config": None,
    "log_level": "critical",
    "access_log": False,
    "date_header": False,
    "server_header": False,
    # Clients may pause between two requests; closing the connection meanwhile would be
    # an unplanned fault.
    "timeout_keep_alive": 600,
}


class Sandbox:
    """A sandbox that runs for as long as its `with` block.

    Its `state` has the store, options, faults and statistics; all may be replaced.
    """

    url: str

    def __init__(
        self,
        data: Iterable[Mapping[str, Any]] | None = None,
        *,
        behaviour: Behaviour | None = None,
        options: Options | None = None,
        faults: Plan | None = None,
        port: int = 0,
        **config: Any,  # noqa: ANN401 - what uvicorn.Config takes
    ) -> None:
        """Set up a sandbox that serves `data`: a `Dataset`, or any items."""
        data = Dataset() if data is None else data
        seed = data.seed if isinstance(data, Dataset) else 0
        store, options = Store(data, behaviour), options or Options()
        self.state = State(store, options, Faults(faults), seed)
        self.organization_id = options.organization_id
        self.api_key_id = options.api_key_id
        self.api_key_secret = options.api_key_secret
        self._port = port
        app = create_app(self.state)
        self._config = uvicorn.Config(app, **SETTINGS, **config)

    @property
    def store(self) -> Store:
        """The records."""
        return self.state.store

    def __enter__(self) -> Self:
        """Start the server, and return when it is ready."""
        self._config.load()
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            serving = portal.wrap_async_context_manager(self._serve())
            self.url = stack.enter_context(serving)
            self._running = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server, aborting requests in progress."""
        self._running.close()

    @asynccontextmanager
    async def _serve(self) -> AsyncIterator[str]:
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: _Protocol(self._config, state, {}),
            LOOPBACK,
            self._port,
            ssl=self._config.ssl if self._config.is_ssl else None,
        )
        try:
            scheme = "https" if self._config.is_ssl else "http"
            yield f"{scheme}://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for connection in list(state.connections):
                connection.transport.abort()
            for task in state.tasks:
                task.cancel()


class _Protocol(H11Protocol):
    """Gives faults access to the connection, as `request.state.transport`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
