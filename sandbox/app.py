"""The audit-logs endpoint, as the gateway serves it."""

from __future__ import annotations

import asyncio
import base64
import binascii
from email.utils import formatdate
from random import Random
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import control, query
from sandbox.answers import Page, wrong_answer
from sandbox.errors import ApiError, Code
from sandbox.faults import BROKEN
from sandbox.timestamps import SECOND
from sandbox.wire import BrokenAnswer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sandbox.query import Query
    from sandbox.state import Options, State

PATH = "/api/v1/organizations/{organization_id}/audit-logs"
VERSION = "v0.27.0-sandbox"

# A key that is valid, but lacks the Owner role.
VIEWER_KEY_ID = "viewer-key-id"
VIEWER_KEY_SECRET = "viewer-key-secret"  # noqa: S105 - opens nothing


def create_app(state: State) -> Starlette:
    """Return the whole sandbox as an ASGI application."""
    app = Starlette(
        routes=[Route(PATH, AuditLogs(state)), *control.routes(state)],
        middleware=[Middleware(Signature, state=state)],
        exception_handlers={ApiError: _refuse, HTTPException: _refuse},
    )
    # The gateway knows one path for each thing, and no redirects.
    app.router.redirect_slashes = False
    app.state.sandbox = state
    return app


class AuditLogs:
    """Answers requests for audit logs."""

    def __init__(self, state: State) -> None:
        """Serve from this state."""
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope)
        query_string = scope["query_string"].decode("latin-1")
        with self._state.stats.request(query_string):
            await asyncio.sleep(self._state.options.latency_seconds)
            if request.method != "GET":
                raise ApiError(Code.UNIMPLEMENTED, "Method Not Allowed")
            authorize(request, self._state.options)
            page = await self._page(query.parse(query_string))
            answer = self._answer(page)
            await answer(scope, receive, send)

    async def _page(self, asked: Query) -> Page:
        state = self._state
        state.stats.page(asked)
        state.arrive(state.options.arrivals)
        rows, total = state.store.query(asked)
        skipped = min(asked.offset, total)
        await asyncio.sleep(state.options.row_cost_seconds * skipped)
        body = render(rows, total, spaces=state.store.behaviour.spaces)
        return Page(body, total, state.now() // SECOND)

    def _answer(self, page: Page) -> ASGIApp:
        plan, fault = self._state.faults.plan, self._state.faults.pick()
        if fault is None:
            check_size(page, self._state.store.behaviour.too_big_bytes)
            return Response(page.body, media_type="application/json")
        self._state.stats.faults[fault] += 1
        if fault in BROKEN:
            return BrokenAnswer(fault, plan, page.body)
        status, headers, body = wrong_answer(fault, plan, page)
        return Response(body, status, headers)


def authorize(request: Request, options: Options) -> None:
    """Check the key and the organization.

    Raises:
        ApiError: The key is missing, wrong or too weak, or the organization unknown.
    """
    key = _basic(request.headers.get("authorization", ""))
    if key == f"{VIEWER_KEY_ID}:{VIEWER_KEY_SECRET}":
        raise ApiError(Code.PERMISSION_DENIED, "permission denied")
    if key != f"{options.api_key_id}:{options.api_key_secret}":
        raise ApiError(Code.UNAUTHENTICATED, "unauthenticated")
    if request.path_params["organization_id"] != options.organization_id:
        raise ApiError(Code.NOT_FOUND, "organization not found")


def render(rows: list[bytes], total: int, *, spaces: bool) -> bytes:
    """Join a page."""
    if spaces:
        return b'{"items": [%b], "totalCount": %d}' % (b", ".join(rows), total)
    return b'{"items":[%b],"totalCount":%d}' % (b",".join(rows), total)


def check_size(page: Page, limit: int | None) -> None:
    """Do as the hop behind the gateway does.

    Raises:
        ApiError: The page is too big for it.
    """
    size = len(page.body)
    if limit is not None and size > limit:
        message = f"grpc: received message larger than max ({size} vs. {limit})"
        raise ApiError(Code.RESOURCE_EXHAUSTED, message)


class Signature:
    """Adds the headers that every response carries."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        """Wrap `app`."""
        self._app = app
        self._state = state
        self._rng = Random(state.seed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

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


def _basic(header: str) -> str | None:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        not_found = isinstance(error, HTTPException) and error.status_code == 404  # noqa: PLR2004
        error = (
            ApiError(Code.NOT_FOUND, "Not Found")
            if not_found
            else ApiError(Code.UNIMPLEMENTED, "Method Not Allowed")
        )
    return Response(error.body, error.status, media_type="application/json")
