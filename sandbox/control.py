"""Endpoints that steer the sandbox. The real API has nothing like them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sandbox.errors import ApiError, Code
from sandbox.faults import Faults, Plan
from sandbox.options import from_json
from sandbox.timestamps import from_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from sandbox.state import State

ENDPOINTS = """\
  GET  /sandbox/events         all events, oldest first
  POST /sandbox/events?count=N let N new events happen now
  POST /sandbox/events         add the events of the body, a JSON array; ?at=TIME is
                               the place of those whose timestamp cannot be read
  POST /sandbox/faults         plan faults; the body is a JSON object of the --fault-
                               options, such as {"kinds": ["503"], "times": 2}
  GET  /sandbox/stats          what was asked so far
  POST /sandbox/reset-stats    forget what was asked so far"""

ROWS_AT_ONCE = 1000
MOST_AT_ONCE = 100_000


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
        """Return every stored event, oldest first: the truth."""
        rows = _array(self._state.store.bodies())
        return StreamingResponse(rows, media_type="application/json")

    async def add(self, request: Request) -> Response:
        """Add the events of the body, or let `count` events happen."""
        body = await request.body()
        if not body:
            return _json(self._state.happen(_count(request)))
        items = _read(body)
        if not isinstance(items, list) or not all(
            isinstance(one, dict) for one in items
        ):
            _refuse("the body must be a JSON array of objects, the events")
        at = request.query_params.get("at")
        try:
            self._state.store.add(items, from_rfc3339(at) if at else None)
        except ValueError as error:
            _refuse(str(error))
        except AttributeError:
            _refuse("`actor` must be an object or null")
        return _json(items)

    async def misbehave(self, request: Request) -> Response:
        """Begin a plan of faults; the body holds fields of `Plan`."""
        fields = _read(await request.body())
        if not isinstance(fields, dict):
            _refuse("the body must be a JSON object, the plan")
        try:
            self._state.faults = Faults(from_json(Plan, fields))
        except ValueError as error:
            _refuse(str(error))
        return _json({})

    async def stats(self, _: Request) -> Response:
        """Return what was asked so far."""
        return _json(self._state.stats.report())

    async def reset_stats(self, _: Request) -> Response:
        """Forget what was asked so far."""
        self._state.stats.reset()
        return _json({})


def _count(request: Request) -> int:
    text = request.query_params.get("count", "1")
    if not re.fullmatch("[0-9]{1,6}", text) or not 0 < int(text) <= MOST_AT_ONCE:
        _refuse(f"count must be a whole number from 1 to {MOST_AT_ONCE}, not {text!r}")
    return int(text)


def _read(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(body)
    except ValueError as error:
        _refuse(f"the body is not valid JSON: {error}")


def _json(content: object) -> Response:
    # ASCII, because an event may have a lone surrogate, which UTF-8 has not.
    return Response(json.dumps(content), media_type="application/json")


def _refuse(message: str) -> NoReturn:
    raise ApiError(Code.INVALID_ARGUMENT, message)


def _array(rows: list[bytes]) -> Iterator[bytes]:
    yield b"["
    for first in range(0, len(rows), ROWS_AT_ONCE):
        yield b"," if first else b""
        yield b",".join(rows[first : first + ROWS_AT_ONCE])
    yield b"]"
