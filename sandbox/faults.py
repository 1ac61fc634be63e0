"""How and when the sandbox misbehaves: chosen at random, from a seed."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from random import Random
from typing import NamedTuple

from starlette.responses import HTMLResponse, Response, StreamingResponse

from sandbox.errors import ApiError

BOMB_MEMBERS, BOMB_MEMBER_BYTES = 64, 1 << 24
DEPTH = 100_000
HUGE_DIGITS = 10_000
TRICKLE_SECONDS = 0.1
BLANKS = b" " * 65_536
ESCAPES = (
    "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b1m \r\nINFO forged line \x00"
    "\x08\x7f\u202egnp.exe\u2066 \ufeff"
)

WITH_LENGTH = ("close-before", "close-mid-length", "trickle")
BROKEN = (*WITH_LENGTH, "close-mid-chunked", "hang", "endless-body")
REFUSALS = {
    "400": ApiError(400, "invalid argument"),
    "401": ApiError(401, "unauthenticated"),
    "403": ApiError(403, "permission denied"),
    "404": ApiError(404, "organization not found"),
    "409": ApiError(409, "operation was aborted"),
    "429": ApiError(429, "too many requests"),
    "499": ApiError(499, "context canceled"),
    "500": ApiError(500, "internal error"),
    "501": ApiError(501, "Method Not Allowed"),
    "503": ApiError(503, "upstream connect error"),
    "504": ApiError(504, "context deadline exceeded"),
    "escape-message": ApiError(400, ESCAPES),
}
RETRY_AFTER = ("429-retry-after-seconds", "429-retry-after-date")
HTML = ("not-json", "502", *map(str, range(520, 528)))


class Page(NamedTuple):
    """A page: the JSON of its items, and how many events match."""

    items: bytes
    total: object

    @property
    def body(self) -> bytes:
        """The JSON of the page."""
        return b'{"items":%b,"totalCount":%b}' % (self.items, str(self.total).encode())


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Return 1 MB that decompresses to 1 GB: valid JSON, almost all of it spaces."""
    blanks = gzip.compress(b" " * BOMB_MEMBER_BYTES, mtime=0)
    head = gzip.compress(b'{"items":[', mtime=0)
    tail = gzip.compress(b'],"totalCount":0}', mtime=0)
    return head + BOMB_MEMBERS * blanks + tail


BODIES: dict[str, Callable[[Page], bytes]] = {
    "cut-json": lambda page: page.body[: len(page.body) // 2],
    "items-missing": lambda page: f'{{"totalCount":{page.total}}}'.encode(),
    "items-null": lambda page: page._replace(items=b"null").body,
    "items-object": lambda page: page._replace(items=b"{}").body,
    "total-missing": lambda page: b'{"items":%b}' % page.items,
    "total-string": lambda page: page._replace(total='"all"').body,
    "huge-number": lambda page: page._replace(total="9" * HUGE_DIGITS).body,
    "deep-json": lambda page: page._replace(items=b"[" * DEPTH + b"]" * DEPTH).body,
    "bad-gzip": lambda _: b"\x1f\x8b\x08\x00" + b"not deflated" * 10,
    "gzip-bomb": lambda _: _bomb(),
}
KINDS = (*BROKEN, *REFUSALS, *RETRY_AFTER, *HTML, *BODIES, "redirect")


@dataclass(frozen=True)
class Plan:
    """Faults, and when they occur.

    Attributes:
        kinds: Kinds of faults to choose from at random, listed below.
        rate: Share of requests that get a fault, from 0 to 1.
        seed: Seed of that choice.
        times: Maximum number of faults. Default: no limit.
        after: Number of requests before the first fault.
        retry_after: Value of `Retry-After`, for the kinds that send it.
        location: Target of redirects.
    """

    kinds: tuple[str, ...] = field(default=(), metadata={"choices": KINDS})
    rate: float = 1.0
    seed: int = 0
    times: int | None = None
    after: int = 0
    retry_after: str | None = None
    location: str = "http://127.0.0.1:9/"


class Faults:
    """Picks faults according to a plan."""

    def __init__(self, plan: Plan | None = None) -> None:
        """Set up the picker at the start of the plan; without one, it picks none."""
        self.plan = plan or Plan()
        self._rng = Random(self.plan.seed)
        self._seen = 0
        self._picked = 0

    def pick(self) -> str | None:
        """Return the kind of fault for the next request, if any."""
        plan = self.plan
        self._seen += 1
        is_due = plan.kinds and self._seen > plan.after and self._picked != plan.times
        if not is_due or self._rng.random() >= plan.rate:
            return None
        self._picked += 1
        return plan.kinds[int(self._rng.random() * len(plan.kinds))]


def respond(
    kind: str, plan: Plan, page: Page, now: int, transport: asyncio.Transport
) -> Response:
    """Return the response with a fault of this kind, instead of `page`."""
    headers = {"content-type": "application/json"}
    if kind in REFUSALS:
        return REFUSALS[kind].response()
    if kind in RETRY_AFTER:
        # Two seconds, because the date is rounded down to a whole second.
        date = formatdate(now + 2, usegmt=True)
        after = plan.retry_after or (date if kind.endswith("date") else "1")
        return REFUSALS["429"].response({"retry-after": after})
    if kind in BODIES:
        if "gzip" in kind:
            headers["content-encoding"] = "gzip"
        return Response(BODIES[kind](page), headers=headers)
    if kind in BROKEN:
        if kind == "close-before":
            transport.close()
        # Without a length, the server sends chunks.
        if kind in WITH_LENGTH:
            headers["content-length"] = str(len(page.body))
        return StreamingResponse(_broken(kind, page.body, transport), headers=headers)
    if kind == "redirect":
        return Response(status_code=302, headers={"location": plan.location})
    title = f"northwind.example | {kind}: Web server is returning an unknown error"
    html = f"<!DOCTYPE html><title>{title}</title><p>Please log in to this network."
    return HTMLResponse(html, int(kind) if kind.isdecimal() else 200)


async def _broken(
    kind: str, body: bytes, transport: asyncio.Transport
) -> AsyncIterator[bytes]:
    """Yield the parts of a body that ends too early, too late or never."""
    if kind == "trickle":
        for byte in body:
            yield bytes([byte])
            await asyncio.sleep(TRICKLE_SECONDS)
        return
    yield body[: len(body) // 2]
    while kind == "endless-body" and not transport.is_closing():
        yield BLANKS
        await asyncio.sleep(0)
    if kind.startswith("close"):
        transport.close()
    # Until the connection is lost.
    await asyncio.Event().wait()
