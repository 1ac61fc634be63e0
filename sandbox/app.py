"""The ASGI application, which behaves like Akuity's gateway."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from secrets import token_hex
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import access, control
from sandbox.errors import ApiError
from sandbox.faults import REFUSALS, Page, respond
from sandbox.query import parse
from sandbox.state import State
from sandbox.timestamps import SECOND

ORGANIZATION = "/api/v1/organizations/{organization_id}"
API_KEY = "/api/v1/apikeys/{api_key_id}"


def create_app(state: State) -> Starlette:
    """Return the whole sandbox as an ASGI application."""
    handlers: dict[Any, Any] = {
        ApiError: lambda _, error: error.response(),
        404: lambda *_: REFUSALS["404"].response(),
        405: lambda *_: REFUSALS["501"].response(),
    }
    app = Starlette(
        routes=[
            Route(f"{ORGANIZATION}/audit-logs", partial(_audit_logs, state)),
            Route(ORGANIZATION, partial(_neighbour, access.organization, state)),
            Route(API_KEY, partial(_neighbour, access.api_key, state)),
            *control.routes(state),
        ],
        middleware=[Middleware(_signed, state=state)],
        exception_handlers=handlers,
    )
    # The gateway has one path for each resource, and does not redirect.
    app.router.redirect_slashes = False
    return app


async def _audit_logs(state: State, request: Request) -> Response:
    query_string = request.scope["query_string"].decode("latin-1")
    state.stats.requests += 1
    state.stats.queries.append(query_string)
    await asyncio.sleep(state.options.latency_seconds)
    access.authenticate(state, request)
    if state.options.role == "member":
        return REFUSALS["403"].response()
    query = parse(query_string)
    state.happen(state.options.arrivals)
    rows, total = state.store.query(query)
    page = Page(b"[%b]" % b",".join(rows), total)
    if fault := state.faults.pick():
        state.stats.faults[fault] += 1
        now = state.now() // SECOND
        transport = request.state.transport
        return respond(fault, state.faults.plan, page, now, transport)
    body = page.body
    limit = state.store.behaviour.too_big_bytes
    if limit is not None and len(body) > limit:
        problem = f"grpc: received message larger than max ({len(body)} vs. {limit})"
        raise ApiError(429, problem)
    return Response(body, media_type="application/json")


async def _neighbour(
    read: Callable[[State], dict[str, Any]], state: State, request: Request
) -> Response:
    state.stats.account[request.url.path] += 1
    await asyncio.sleep(state.options.latency_seconds)
    access.authenticate(state, request)
    if refusal := REFUSALS.get(state.options.account):
        return refusal.response()
    return JSONResponse(read(state))


def _signed(app: ASGIApp, state: State) -> ASGIApp:
    """Return the application with the headers of every response."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        async def sign(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-version"] = "v0.27.0-sandbox"
                headers["cf-ray"] = token_hex(8)
                if state.options.date_header:
                    headers["date"] = formatdate(state.now() // SECOND, usegmt=True)
            await send(message)

        await app(scope, receive, sign)

    return respond
