"""API keys and their roles, and the endpoints that describe them."""

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from sandbox.errors import ApiError, Code
from sandbox.state import Options, State
from sandbox.timestamps import SECOND

VIEWER_KEY: dict[str, Any] = {
    "api_key_id": "viewer-key-id",
    "api_key_secret": "viewer-key-secret",
    "role": "member",
    "key_expires": None,
}
EXPIRED_KEY: dict[str, Any] = {
    "api_key_id": "expired-key-id",
    "api_key_secret": "expired-key-secret",
    "role": "owner",
    "key_expires": datetime(2025, 1, 1, tzinfo=UTC),
}


def authenticate(state: State, request: Request) -> Options:
    """Return the options of the API key that a request uses.

    Raises:
        ApiError: The key is missing, wrong or expired, or the request is about another
            organization or key.
    """
    for changes in ({}, VIEWER_KEY, EXPIRED_KEY):
        key = replace(state.options, **changes)
        text = b64encode(f"{key.api_key_id}:{key.api_key_secret}".encode()).decode()
        if request.headers.get("authorization") == f"Basic {text}":
            break
    else:
        raise ApiError(Code.UNAUTHENTICATED, "unauthenticated")
    if key.key_expires and key.key_expires.timestamp() <= state.now() // SECOND:
        raise ApiError(Code.UNAUTHENTICATED, "the API key has expired")
    known = {"organization_id": key.organization_id, "api_key_id": key.api_key_id}
    if not request.path_params.items() <= known.items():
        raise ApiError(Code.NOT_FOUND, "not found")
    return key


def organization(key: Options, *, is_older: bool) -> dict[str, Any]:
    """Return the response to `GET /api/v1/organizations/{id}`."""
    quota = {"maxOrgMembers": "100"}
    if not is_older:
        # protojson encodes 64-bit integers as strings.
        quota["auditRecordMonths"] = str(key.months_kept)
        quota["auditRecordArchiveMonths"] = str(key.months_archived)
    if key.account == "unclear":
        quota = dict.fromkeys(quota, "-1")
    content = {"id": key.organization_id, "name": key.organization_name}
    return {"organization": {**content, "plan": "enterprise", "quota": quota}}


def api_key(key: Options, *, is_older: bool) -> dict[str, Any]:
    """Return the response to `GET /api/v1/apikeys/{id}`.

    Raises:
        ApiError: The server is too old to have it.
    """
    if is_older:
        raise ApiError(Code.NOT_FOUND, "not found")
    content: dict[str, Any] = {
        "id": key.api_key_id,
        "organizationId": key.organization_id,
        "permissions": None,
        "createTime": "2025-01-01T00:00:00Z",
        "expireTime": "",
    }
    if key.account != "unclear":
        kind = "customRoles" if key.role == "auditor" else "roles"
        permissions = {"actions": [], "roles": [], "customRoles": [], kind: [key.role]}
        expires = key.key_expires and key.key_expires.astimezone(UTC)
        content["permissions"] = permissions
        content["expireTime"] = expires and f"{expires:%Y-%m-%dT%H:%M:%SZ}"
    return {"apiKey": content}
