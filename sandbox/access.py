"""API keys and their roles, and the endpoints that describe them."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sandbox.errors import ApiError, Code
from sandbox.timestamps import SECOND

if TYPE_CHECKING:
    from starlette.requests import Request

    from sandbox.state import State

Role = Literal["owner", "auditor", "member"]

PERMISSIONS: dict[Role, dict[str, list[str]]] = {
    "owner": {"actions": [], "roles": ["owner"], "customRoles": []},
    "auditor": {"actions": [], "roles": [], "customRoles": ["auditor"]},
    "member": {"actions": [], "roles": ["member"], "customRoles": []},
}


class Key(NamedTuple):
    """An API key."""

    id: str
    secret: str
    role: Role
    expires: datetime | None = None


VIEWER_KEY = Key("viewer-key-id", "viewer-key-secret", "member")
EXPIRED_KEY = Key(
    "expired-key-id",
    "expired-key-secret",
    "owner",
    datetime(2025, 1, 1, tzinfo=timezone.utc),
)


def authenticate(request: Request, state: State) -> Key:
    """Return the API key that a request uses.

    Raises:
        ApiError: The key is missing, wrong or expired.
    """
    options = state.options
    mine = Key(
        options.api_key_id, options.api_key_secret, options.role, options.key_expires
    )
    given = _basic(request.headers.get("authorization", ""))
    for key in (mine, VIEWER_KEY, EXPIRED_KEY):
        if given == f"{key.id}:{key.secret}":
            if key.expires and key.expires.timestamp() <= state.now() // SECOND:
                raise ApiError(Code.UNAUTHENTICATED, "the API key has expired")
            return key
    raise ApiError(Code.UNAUTHENTICATED, "unauthenticated")


def authorize(request: Request, state: State) -> None:
    """Check that a request may read audit logs.

    Raises:
        ApiError: The key or its role does not allow it, or the organization does not
            exist.
    """
    if authenticate(request, state).role == "member":
        raise ApiError(Code.PERMISSION_DENIED, "permission denied")
    _known(request, state)


def organization(request: Request, state: State) -> dict[str, Any]:
    """Return the response to `GET /api/v1/organizations/{id}`.

    Raises:
        ApiError: The key may not read it, or the id is that of another organization.
    """
    authenticate(request, state)
    _known(request, state)
    _shown(state)
    options = state.options
    quota = {"maxOrgMembers": "100"}
    if not state.store.behaviour.older:
        # protojson encodes 64-bit integers as strings.
        quota["auditRecordMonths"] = str(options.months_kept)
        quota["auditRecordArchiveMonths"] = str(options.months_archived)
    if options.neighbours == "unclear":
        quota = dict.fromkeys(quota, "-1")
    content = {
        "id": options.organization_id,
        "name": options.organization_name,
        "plan": options.plan,
        "quota": quota,
    }
    return {"organization": content}


def api_key(request: Request, state: State) -> dict[str, Any]:
    """Return the response to `GET /api/v1/apikeys/{id}`.

    Raises:
        ApiError: The key may not read it, or the id is that of another key.
    """
    key = authenticate(request, state)
    _shown(state)
    if request.path_params["api_key_id"] != key.id or state.store.behaviour.older:
        raise ApiError(Code.NOT_FOUND, "API key not found")
    expires = key.expires and key.expires.astimezone(timezone.utc)
    is_clear = state.options.neighbours != "unclear"
    content = {
        "id": key.id,
        "description": "",
        "organizationId": state.options.organization_id,
        "permissions": PERMISSIONS[key.role] if is_clear else None,
        "createTime": "2025-01-01T00:00:00Z",
        "expireTime": expires and f"{expires:%Y-%m-%dT%H:%M:%SZ}" if is_clear else "",
    }
    return {"apiKey": content}


def _known(request: Request, state: State) -> None:
    if request.path_params["organization_id"] != state.options.organization_id:
        raise ApiError(Code.NOT_FOUND, "organization not found")


def _shown(state: State) -> None:
    if state.options.neighbours == "403":
        raise ApiError(Code.PERMISSION_DENIED, "permission denied")
    if state.options.neighbours == "404":
        raise ApiError(Code.NOT_FOUND, "not found")
    if state.options.neighbours == "503":
        raise ApiError(Code.UNAVAILABLE, "upstream connect error")


def _basic(header: str) -> str | None:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
