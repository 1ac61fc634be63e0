"""Endpoints that steer the sandbox. The real API has nothing like them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sandbox.errors import ApiError, Code
from sandbox.faults import Faults, Plan
from sandbox.timestamps import from_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from sandbox.state import State

ROWS_AT_ONCE = 1000


def routes(state: State) -> list[Route]:
    """Return the endpoints for this state."""
    control = Control(state)
    return [
        Route("/sandbox/events", control.events, methods=["GET"]),
        Route("/sandbox/events", control.add, methods=["POST"]),
        Route("/sandbox/faults", control.misbehave, methods=["POST"]),
        Route("/sandbox/stats", control.stats, methods=["GET"]),
        Route("/sandbox/reset-stats", control.reset_stats, methods=["POST"]),
    ]


class Control:
    """The endpoints."""

    def __init__(self, state: State) -> None:
        """Steer this state."""
        self._state = state

    async def events(self, _: Request) -> Response:
        """Return every stored item, oldest first: the truth."""
        rows = _array(self._state.store.bodies())
        return StreamingResponse(rows, media_type="application/json")

    async def add(self, request: Request) -> Response:
        """Store the items of the body, or let `count` events happen."""
        body = await request.body()
        if body:
            items = _read(body, list)
            at = request.query_params.get("at")
            try:
                self._state.store.add(items, from_rfc3339(at) if at else None)
            except (AttributeError, ValueError) as error:
                raise ApiError(Code.INVALID_ARGUMENT, str(error)) from error
        else:
            try:
                count = int(request.query_params.get("count", "1"))
                items = self._state.happen(count)
            except ValueError as error:
                raise ApiError(Code.INVALID_ARGUMENT, str(error)) from error
        return _json(items)

    async def misbehave(self, request: Request) -> Response:
        """Begin a plan of faults; the body holds fields of `Plan`."""
        fields = _read(await request.body(), dict)
        try:
            plan = Plan(**{**fields, "kinds": tuple(fields.get("kinds", ()))})
        except (TypeError, ValueError) as error:
            raise ApiError(Code.INVALID_ARGUMENT, str(error)) from error
        self._state.faults = Faults(plan)
        return _json({})

    async def stats(self, _: Request) -> Response:
        """Return what was asked so far."""
        return _json(self._state.stats.report())

    async def reset_stats(self, _: Request) -> Response:
        """Forget what was asked so far."""
        self._state.stats.reset()
        return _json({})


def _read(body: bytes, kind: type) -> Any:  # noqa: ANN401 - JSON
    try:
        content = json.loads(body)
    except ValueError as error:
        raise ApiError(Code.INVALID_ARGUMENT, str(error)) from error
    if not isinstance(content, kind):
        message = f"a JSON {kind.__name__} is needed"
        raise ApiError(Code.INVALID_ARGUMENT, message)
    return content


def _json(content: object) -> Response:
    return Response(json.dumps(content), media_type="application/json")


def _array(rows: list[bytes]) -> Iterator[bytes]:
    yield b"["
    for first in range(0, len(rows), ROWS_AT_ONCE):
        yield b"," if first else b""
        yield b",".join(rows[first : first + ROWS_AT_ONCE])
    yield b"]"
