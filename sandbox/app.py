"""The ASGI application, which behaves like Akuity's gateway."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import access, control, query
from sandbox.answers import Page, wrong_answer
from sandbox.errors import ApiError, Code
from sandbox.timestamps import SECOND
from sandbox.wire import BROKEN, broken_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sandbox.query import Query
    from sandbox.state import State
    from sandbox.store import Behaviour

ORGANIZATION = "/api/v1/organizations/{organization_id}"
NEIGHBOURS = {
    ORGANIZATION: access.organization,
    "/api/v1/apikeys/{api_key_id}": access.api_key,
}
UNROUTED = {
    404: ApiError(Code.NOT_FOUND, "Not Found"),
    405: ApiError(Code.UNIMPLEMENTED, "Method Not Allowed"),
}
VERSION = "v0.27.0-sandbox"


def create_app(state: State) -> Starlette:
    """Return the whole sandbox as an ASGI application."""
    app = Starlette(
        routes=[
            Route(f"{ORGANIZATION}/audit-logs", AuditLogs(state)),
            *(_neighbour(path, read, state) for path, read in NEIGHBOURS.items()),
            *control.routes(state),
        ],
        middleware=[Middleware(Signature, state=state)],
        exception_handlers={ApiError: _refuse, HTTPException: _refuse},
    )
    # The gateway has one path for each resource, and does not redirect.
    app.router.redirect_slashes = False
    return app


def _neighbour(
    path: str, read: Callable[[Request, State], dict[str, Any]], state: State
) -> Route:
    async def answer(request: Request) -> Response:
        state.stats.neighbours[request.url.path] += 1
        await asyncio.sleep(state.options.latency_seconds)
        return JSONResponse(read(request, state))

    return Route(path, answer, methods=["GET"])


class AuditLogs:
    """The endpoint of the audit log."""

    def __init__(self, state: State) -> None:
        """Set up the endpoint to serve from `state`."""
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""
        request = Request(scope)
        query_string = scope["query_string"].decode("latin-1")
        with self._state.stats.request(query_string):
            await asyncio.sleep(self._state.options.latency_seconds)
            if request.method != "GET":
                raise HTTPException(405)
            access.authorize(request, self._state)
            page = self._page(query.parse(query_string))
            answer = self._answer(page)
            await answer(scope, receive, send)

    def _page(self, asked: Query) -> Page:
        state = self._state
        state.happen(state.options.arrivals)
        state.forget()
        rows, total = state.store.query(asked)
        body = render(rows, total, spaces=state.store.behaviour.spaces)
        return Page(body, total, state.now() // SECOND)

    def _answer(self, page: Page) -> ASGIApp:
        plan, fault = self._state.faults.plan, self._state.faults.pick()
        if fault is None:
            check_size(page, self._state.store.behaviour)
            return Response(page.body, media_type="application/json")
        self._state.stats.faults[fault] += 1
        if fault in BROKEN:
            return broken_answer(fault, plan, page.body)
        status, headers, body = wrong_answer(fault, plan, page)
        return Response(body, status, headers)


def render(rows: list[bytes], total: int, *, spaces: bool) -> bytes:
    """Return the JSON of a page."""
    if spaces:
        return b'{"items": [%b], "totalCount": %d}' % (b", ".join(rows), total)
    return b'{"items":[%b],"totalCount":%d}' % (b",".join(rows), total)


def check_size(page: Page, behaviour: Behaviour) -> None:
    """Apply the size limit of the gRPC hop behind the gateway.

    Raises:
        ApiError: The page is too large.
    """
    size, limit = len(page.body), behaviour.too_big_bytes
    if limit is not None and size > limit:
        after = " after decompression" if behaviour.compressed_hop else ""
        message = f"grpc: received message{after} larger than max ({size} vs. {limit})"
        raise ApiError(Code.RESOURCE_EXHAUSTED, message)


class Signature:
    """Middleware that adds the headers of every response."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        """Set up the middleware around `app`."""
        self._app = app
        self._state = state
        self._rng = Random(state.seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request."""

        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-version"] = VERSION
                headers["cf-ray"] = f"{self._rng.getrandbits(64):016x}"
                if self._state.options.date_header:
                    now = self._state.now() // SECOND
                    headers["date"] = formatdate(now, usegmt=True)
            await send(message)

        await self._app(scope, receive, signed)


def _refuse(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        error = UNROUTED[error.status_code]
    assert isinstance(error, ApiError)  # noqa: S101 - see exception_handlers
    return Response(error.body, error.status, media_type="application/json")
