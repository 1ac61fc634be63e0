"""Endpoints that control the sandbox. The real API has no counterpart."""

import json
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.errors import ApiError
from sandbox.state import State

ENDPOINTS = """\
  GET  /sandbox/events         all events, oldest first
  POST /sandbox/events?count=N create N new events now
  GET  /sandbox/stats          statistics of the requests so far
  POST /sandbox/reset-stats    the same, and reset them"""

MOST_AT_ONCE = 100_000


def routes(state: State) -> list[Route]:
    """Return the control endpoints for `state`."""
    return [
        Route("/sandbox/events", partial(_events, state), methods=["GET"]),
        Route("/sandbox/events", partial(_happen, state), methods=["POST"]),
        Route("/sandbox/stats", partial(_stats, state), methods=["GET"]),
        Route("/sandbox/reset-stats", partial(_stats, state), methods=["POST"]),
    ]


async def _events(state: State, _: Request) -> Response:
    body = b"[%b]" % b",".join(state.store.bodies())
    return Response(body, media_type="application/json")


async def _happen(state: State, request: Request) -> Response:
    text = request.query_params.get("count", "1")
    if not (text.isdecimal() and len(text) < 7 and 0 < int(text) <= MOST_AT_ONCE):  # noqa: PLR2004
        message = f"count must be a whole number from 1 to {MOST_AT_ONCE}, not {text!r}"
        raise ApiError(400, message)
    return _json(state.happen(int(text)))


async def _stats(state: State, request: Request) -> Response:
    report = state.stats.report()
    if request.method == "POST":
        state.stats.reset()
    return _json(report)


def _json(content: object) -> Response:
    # ASCII, because an event may have a lone surrogate, which UTF-8 cannot encode.
    return Response(json.dumps(content), media_type="application/json")
