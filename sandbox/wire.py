"""Faults of the connection: responses that end too early, too late or never."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sandbox.faults import Plan

BROKEN = (
    *("close-before", "close-mid-length", "close-mid-chunked"),
    *("hang", "trickle", "endless-body"),
)

BLANKS = b" " * 65_536


def broken_answer(kind: str, plan: Plan, body: bytes) -> ASGIApp:
    """Return an ASGI application that responds like a broken connection."""
    if kind == "trickle":
        return partial(_trickle, body, plan.trickle_seconds)
    return partial(_break_off, kind, body)


async def _trickle(
    body: bytes, seconds: float, scope: Scope, receive: Receive, send: Send
) -> None:
    await _begin(send, len(body))
    for place in range(len(body)):
        if scope["state"]["transport"].is_closing():
            await _lost(receive)
            return
        await _write(send, body[place : place + 1])
        await asyncio.sleep(seconds)
    await send({"type": "http.response.body", "body": b""})


async def _break_off(
    kind: str, body: bytes, scope: Scope, receive: Receive, send: Send
) -> None:
    transport: asyncio.Transport = scope["state"]["transport"]
    if kind != "close-before":
        await _begin(send, len(body) if kind == "close-mid-length" else None)
        await _write(send, body[: len(body) // 2])
    while kind == "endless-body" and not transport.is_closing():
        await _write(send, BLANKS)
        await asyncio.sleep(0)
    if kind.startswith("close"):
        transport.close()
    await _lost(receive)


async def _begin(send: Send, length: int | None) -> None:
    headers = [(b"content-type", b"application/json")]
    # Without a length, the server sends chunks.
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _write(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _lost(receive: Receive) -> None:
    """Return once the connection is lost."""
    while (await receive())["type"] != "http.disconnect":
        pass
