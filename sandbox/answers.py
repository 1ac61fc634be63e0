"""Complete but wrong responses: what a fault returns instead of a page."""

from __future__ import annotations

import gzip
import json
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sandbox.errors import ApiError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.faults import Plan

JSON = "application/json"
HTML = "text/html; charset=utf-8"

BOMB_MEMBERS = 64
BOMB_MEMBER_BYTES = 1 << 24
DEPTH = 100_000
HUGE_DIGITS = 10_000

ESCAPES = (
    "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b1m \r\nINFO forged line \x00"
    "\x08\x7f\u202egnp.exe\u2066 \ufeff"
)

_REFUSALS = {
    "400": ApiError(Code.INVALID_ARGUMENT, "invalid argument"),
    "401": ApiError(Code.UNAUTHENTICATED, "unauthenticated"),
    "403": ApiError(Code.PERMISSION_DENIED, "permission denied"),
    "404": ApiError(Code.NOT_FOUND, "organization not found"),
    "409": ApiError(Code.ABORTED, "operation was aborted"),
    "429": ApiError(Code.RESOURCE_EXHAUSTED, "too many requests"),
    "499": ApiError(Code.CANCELLED, "context canceled"),
    "500": ApiError(Code.INTERNAL, "internal error"),
    "501": ApiError(Code.UNIMPLEMENTED, "Method Not Allowed"),
    "503": ApiError(Code.UNAVAILABLE, "upstream connect error"),
    "504": ApiError(Code.DEADLINE_EXCEEDED, "context deadline exceeded"),
    "escape-message": ApiError(Code.INVALID_ARGUMENT, ESCAPES),
}


class Page(NamedTuple):
    """The correct response, and the server's clock in seconds."""

    body: bytes
    total: int
    now: int


class Answer(NamedTuple):
    """A complete HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def wrong_answer(kind: str, plan: Plan, page: Page) -> Answer:
    """Return the response that a fault of this kind sends instead of `page`."""
    if kind in _REFUSALS:
        return _refusal(kind)
    if kind in _PAGES:
        return Answer(200, {"content-type": JSON}, _PAGES[kind](page))
    if kind in _OTHERS:
        return _OTHERS[kind](plan, page)
    return Answer(int(kind), {"content-type": HTML}, _cdn_page(kind))


def _refusal(kind: str, **headers: str) -> Answer:
    error = _REFUSALS[kind]
    return Answer(error.status, {"content-type": JSON, **headers}, error.body)


def _retry_after_seconds(plan: Plan, _: Page) -> Answer:
    return _refusal("429", **{"retry-after": plan.retry_after or "1"})


def _retry_after_date(plan: Plan, page: Page) -> Answer:
    # Two seconds, because the date is rounded down to a whole second.
    date = plan.retry_after or formatdate(page.now + 2, usegmt=True)
    return _refusal("429", **{"retry-after": date})


def _redirect(plan: Plan, _: Page) -> Answer:
    return Answer(302, {"location": plan.location}, b"")


def _not_json(_: Plan, __: Page) -> Answer:
    login = b"<!DOCTYPE html><title>Log in</title><p>Please log in to this network."
    return Answer(200, {"content-type": HTML}, login)


def _bad_gzip(_: Plan, __: Page) -> Answer:
    headers = {"content-type": JSON, "content-encoding": "gzip"}
    return Answer(200, headers, b"\x1f\x8b\x08\x00" + b"not deflated" * 10)


def _gzip_bomb(_: Plan, __: Page) -> Answer:
    return Answer(200, {"content-type": JSON, "content-encoding": "gzip"}, _bomb())


@lru_cache(maxsize=1)
def _bomb() -> bytes:
    """Return 1 MB that decompresses to 1 GB: valid JSON, almost all of it spaces."""
    blanks = gzip.compress(b" " * BOMB_MEMBER_BYTES, mtime=0)
    head = gzip.compress(b'{"items":[', mtime=0)
    tail = gzip.compress(b'],"totalCount":0}', mtime=0)
    return head + BOMB_MEMBERS * blanks + tail


def _with(page: Page, total: object) -> bytes:
    """Return the page with a different total."""
    items = json.dumps(json.loads(page.body)["items"])
    return f'{{"items":{items},"totalCount":{total}}}'.encode()


def _cdn_page(status: str) -> bytes:
    title = f"northwind.example | {status}: Web server is returning an unknown error"
    return f"<!DOCTYPE html><html><title>{title}</title>{title}</html>".encode()


_CDN = ("502", *map(str, range(520, 528)))
_PAGES: dict[str, Callable[[Page], bytes]] = {
    "cut-json": lambda page: page.body[: len(page.body) // 2],
    "items-missing": lambda page: b'{"totalCount":%d}' % page.total,
    "items-null": lambda page: b'{"items":null,"totalCount":%d}' % page.total,
    "items-object": lambda page: b'{"items":{},"totalCount":%d}' % page.total,
    "total-missing": lambda page: page.body.rpartition(b",")[0] + b"}",
    "total-string": lambda page: _with(page, f'"{page.total}"'),
    "huge-number": lambda page: _with(page, "9" * HUGE_DIGITS),
    "deep-json": lambda page: (
        b'{"items":%b,"totalCount":%d}' % (b"[" * DEPTH + b"]" * DEPTH, page.total)
    ),
}
_OTHERS: dict[str, Callable[[Plan, Page], Answer]] = {
    "429-retry-after-seconds": _retry_after_seconds,
    "429-retry-after-date": _retry_after_date,
    "redirect": _redirect,
    "not-json": _not_json,
    "bad-gzip": _bad_gzip,
    "gzip-bomb": _gzip_bomb,
}
WRONG = (*_REFUSALS, *_CDN, *_PAGES, *_OTHERS)
