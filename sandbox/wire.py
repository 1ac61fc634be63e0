"""Faults of the connection: answers that end too early, too late or never."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sandbox.faults import Plan

BROKEN = (
    "close-before",
    "close-mid-length",
    "close-mid-chunked",
    "hang",
    "trickle",
    "endless-body",
)

BLANKS = b" " * 65_536


class BrokenAnswer:
    """An ASGI application that answers as a broken connection does."""

    def __init__(self, kind: str, plan: Plan, body: bytes) -> None:
        """Break the answer `body`."""
        self._kind = kind
        self._plan = plan
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        connection = _Connection(scope, receive, send)
        half = self._body[: len(self._body) // 2]
        if self._kind == "close-before":
            await connection.close()
        elif self._kind == "close-mid-length":
            await connection.begin(len(self._body))
            await connection.write(half)
            await connection.close()
        elif self._kind == "close-mid-chunked":
            await connection.begin()
            await connection.write(half)
            await connection.close()
        elif self._kind == "trickle":
            await connection.begin(len(self._body))
            await self._trickle(connection)
        else:
            await connection.begin()
            await connection.write(half)
            if self._kind == "endless-body":
                await self._blanks(connection)
            await connection.lost()

    async def _trickle(self, connection: _Connection) -> None:
        for place in range(len(self._body)):
            if connection.closing:
                break
            await connection.write(self._body[place : place + 1])
            await asyncio.sleep(self._plan.trickle_seconds)
        await connection.end()

    async def _blanks(self, connection: _Connection) -> None:
        while not connection.closing:
            await connection.write(BLANKS)
            await asyncio.sleep(0)


class _Connection:
    """One request's connection, down to its transport."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._transport: asyncio.Transport = scope["state"]["transport"]
        self._receive = receive
        self._send = send

    @property
    def closing(self) -> bool:
        return self._transport.is_closing()

    async def begin(self, length: int | None = None) -> None:
        headers = [(b"content-type", b"application/json")]
        # Without a length the server sends chunks.
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": headers}
        )

    async def write(self, data: bytes) -> None:
        await self._send(
            {"type": "http.response.body", "body": data, "more_body": True}
        )

    async def end(self) -> None:
        if self.closing:
            await self.lost()
        else:
            await self._send({"type": "http.response.body", "body": b""})

    async def close(self) -> None:
        self._transport.close()
        await self.lost()

    async def lost(self) -> None:
        """Return when the connection is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
