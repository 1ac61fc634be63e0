"""Endpoints that control the sandbox. The real API has no counterpart."""

import json
import re
from functools import partial
from typing import Any, NoReturn

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.errors import ApiError, Code
from sandbox.faults import Faults, Plan
from sandbox.options import from_json
from sandbox.state import State
from sandbox.timestamps import from_rfc3339

ENDPOINTS = """\
  GET  /sandbox/events         all events, oldest first
  POST /sandbox/events?count=N create N new events now
  POST /sandbox/events         add the events in the body, a JSON array; ?at=TIME
                               places those whose timestamp cannot be parsed
  POST /sandbox/faults         plan faults; the body is a JSON object of the --fault-
                               options, such as {"kinds": ["503"], "times": 2}
  GET  /sandbox/stats          statistics of the requests so far
  POST /sandbox/reset-stats    the same, and reset them"""

MOST_AT_ONCE = 100_000


def routes(state: State) -> list[Route]:
    """Return the control endpoints for `state`."""
    return [
        Route("/sandbox/events", partial(_events, state), methods=["GET"]),
        Route("/sandbox/events", partial(_add, state), methods=["POST"]),
        Route("/sandbox/faults", partial(_misbehave, state), methods=["POST"]),
        Route("/sandbox/stats", partial(_stats, state), methods=["GET"]),
        Route("/sandbox/reset-stats", partial(_stats, state), methods=["POST"]),
    ]


async def _events(state: State, _: Request) -> Response:
    body = b"[%b]" % b",".join(state.store.bodies())
    return Response(body, media_type="application/json")


async def _add(state: State, request: Request) -> Response:
    body = await request.body()
    if not body:
        return _json(state.happen(_count(request)))
    items = _read(body)
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        _refuse("the body must be a JSON array of objects, one for each event")
    at = request.query_params.get("at")
    try:
        state.store.add(items, from_rfc3339(at) if at else None)
    except ValueError as error:
        _refuse(str(error))
    except AttributeError:
        _refuse("`actor` must be an object or null")
    return _json(items)


async def _misbehave(state: State, request: Request) -> Response:
    members = _read(await request.body())
    if not isinstance(members, dict):
        _refuse("the body must be a JSON object that describes the plan")
    try:
        state.faults = Faults(from_json(members, Plan, "fault_"))
    except ValueError as error:
        _refuse(str(error))
    return _json({})


async def _stats(state: State, request: Request) -> Response:
    report = state.stats.report()
    if request.method == "POST":
        state.stats.reset()
    return _json(report)


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
    # ASCII, because an event may have a lone surrogate, which UTF-8 cannot encode.
    return Response(json.dumps(content), media_type="application/json")


def _refuse(message: str) -> NoReturn:
    raise ApiError(Code.INVALID_ARGUMENT, message)
