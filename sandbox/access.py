"""The API key and its role, and the endpoints that describe them."""

from base64 import b64encode
from datetime import UTC
from typing import Any

from starlette.requests import Request

from sandbox.errors import ApiError
from sandbox.state import State
from sandbox.timestamps import SECOND


def authenticate(state: State, request: Request) -> None:
    """Check the API key of a request, and that what it asks for is the key's."""
    key = state.options
    text = b64encode(f"{key.api_key_id}:{key.api_key_secret}".encode()).decode()
    if request.headers.get("authorization") != f"Basic {text}":
        raise ApiError(401, "unauthenticated")
    if key.key_expires and key.key_expires.timestamp() <= state.now() // SECOND:
        raise ApiError(401, "the API key has expired")
    known = {"organization_id": key.organization_id, "api_key_id": key.api_key_id}
    if not request.path_params.items() <= known.items():
        raise ApiError(404, "not found")


def organization(state: State) -> dict[str, Any]:
    """Return the response to `GET /api/v1/organizations/{id}`."""
    key, quota = state.options, {"maxOrgMembers": "100"}
    if not state.store.behaviour.older:
        # protojson encodes 64-bit integers as strings.
        quota["auditRecordMonths"] = str(key.months_kept)
        quota["auditRecordArchiveMonths"] = str(key.months_archived)
    if key.account == "unclear":
        quota = dict.fromkeys(quota, "-1")
    content = {"id": key.organization_id, "name": key.organization_name}
    return {"organization": {**content, "plan": "enterprise", "quota": quota}}


def api_key(state: State) -> dict[str, Any]:
    """Return the response to `GET /api/v1/apikeys/{id}`, which is new."""
    if state.store.behaviour.older:
        raise ApiError(404, "not found")
    key = state.options
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
