"""What it means when the answer is no page, in words for users."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from singer_sdk.exceptions import FatalAPIError

if TYPE_CHECKING:
    import requests

_MAX_MESSAGE_LENGTH = 300


class BadRequestError(FatalAPIError):
    """The server refuses what was asked for."""


class PageTooBigError(BadRequestError):
    """A page is too big for the server, or its limit too large."""


class _Body(msgspec.Struct):
    message: str = ""


def explain(response: requests.Response, *, api_url: str, organization_id: str) -> str:
    """Say in one sentence what went wrong and what to do.

    Args:
        response: An answer that is no page.
        api_url: The setting.
        organization_id: The setting.

    Returns:
        The sentence, with the status, what Akuity says, and what its support asks for.
    """
    match response.status_code:
        case HTTPStatus.BAD_REQUEST:
            advice = "Akuity refused the request: check the settings"
        case HTTPStatus.UNAUTHORIZED:
            advice = (
                "Akuity refused the API key: check `api_key_id` and `api_key_secret`, "
                "and that the key is neither expired nor revoked"
            )
        case HTTPStatus.FORBIDDEN:
            advice = (
                "The API key may not read audit logs: use a key that has the Owner "
                f"role in the organization {organization_id}"
            )
        case HTTPStatus.NOT_FOUND:
            advice = (
                f"There is no organization {organization_id} at {api_url}: check "
                "`organization_id` and `api_url`"
            )
        case HTTPStatus.TOO_MANY_REQUESTS:
            advice = "Akuity asks for fewer requests: try again later"
        case HTTPStatus.NOT_IMPLEMENTED:
            advice = "Akuity does not know the request: report it as a bug"
        case status if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            target = urlsplit(response.headers.get("Location", "")).hostname
            advice = (
                f"{api_url} redirects to {printable(target or 'nowhere')}, where the "
                "API key must not go: correct `api_url`"
            )
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            advice = "Akuity has trouble: try again later"
        case _:
            advice = "Akuity answered in an unexpected way: check `api_url`"
    return f"{advice} ({particulars(response)})."


def particulars(response: requests.Response) -> str:
    """Collect what support asks for.

    Args:
        response: An answer.

    Returns:
        The status, what Akuity says, its request id and its version.
    """
    parts = [f"HTTP {response.status_code}"]
    if message := _message(response):
        parts.append(f"“{printable(message)}”")
    parts += [
        f"{name} {printable(response.headers[name])}"
        for name in ("cf-ray", "x-version")
        if name in response.headers
    ]
    return ", ".join(parts)


def is_too_big(response: requests.Response) -> bool:
    """Tell whether a smaller page may succeed where this one never will.

    Args:
        response: An answer.

    Returns:
        Whether it is about the size: a 429 of the hop behind Akuity's gateway, whose
        messages are bounded, or a 400 about the limit.
    """
    message = _message(response).lower()
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return "message larger than max" in message
    return response.status_code == HTTPStatus.BAD_REQUEST and "limit" in message


def is_distrust(error: Exception) -> bool:
    """Tell whether a certificate was refused, which no retry changes.

    Args:
        error: What requests raised.

    Returns:
        Whether that is the reason.
    """
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def reason(error: BaseException | None) -> str:
    """Find the cause at the bottom of what requests wraps several times.

    Args:
        error: What requests raised.

    Returns:
        What it says there, fit for a terminal.
    """
    while error is not None:
        inner = getattr(error, "reason", None) or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    # urllib3 begins with the connection: `HTTPConnection(host='…', port=1): `.
    text = re.sub(r"^\w+\(.*?\): |<[^<>]* object at 0x[0-9a-f]+>:? ?", "", str(error))
    return printable(text) or type(error).__name__


def printable(text: str) -> str:
    """Make text of a server fit for a terminal and a log: one line, of bounded length.

    Args:
        text: Anything.

    Returns:
        The text without control characters and terminal escapes.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) > _MAX_MESSAGE_LENGTH:
        line = f"{line[:_MAX_MESSAGE_LENGTH]}…"
    return line


def _message(response: requests.Response) -> str:
    """Read what Akuity says about an error; empty if another server answered."""
    try:
        return msgspec.json.decode(response.content, type=_Body).message
    except (msgspec.MsgspecError, RecursionError):
        return ""
