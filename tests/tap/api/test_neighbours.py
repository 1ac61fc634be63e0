"""The organization and the API key: what is visible, and nothing that is not."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests.auth import HTTPBasicAuth

from sandbox.server import Sandbox
from sandbox.state import Options
from sandbox.store import Behaviour
from tap_akuity.api.neighbours import (
    MAX_BYTES,
    NEVER,
    NOT_VISIBLE,
    ApiKey,
    Neighbours,
    Organization,
    Permissions,
)
from tap_akuity.records import timestamps
from tests.helpers.clients import client_of
from tests.helpers.peer import ROOT_HEADERS, Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests_mock import Mocker

API = "https://akuity.cloud/api/v1"
ORGANIZATION_URL = f"{API}/organizations/a%20b%3Fc"
KEY_URL = f"{API}/apikeys/key%2F1"


def neighbours_at(
    base_url: str = API, organization: str = "a b?c", key: str = "key/1", **options: Any
) -> Neighbours:
    client = client_of(
        **{"auth": HTTPBasicAuth(key, "hush"), "max_attempts": 11, **options},
        url=f"{base_url}/organizations/{organization}/audit-logs",
    )
    return Neighbours(
        client, base_url=base_url, organization_id=organization, api_key_id=key
    )


def sandboxed(sandbox: Sandbox) -> Neighbours:
    return neighbours_at(
        f"{sandbox.url}/api/v1",
        sandbox.organization_id,
        sandbox.api_key_id,
        auth=HTTPBasicAuth(sandbox.api_key_id, sandbox.api_key_secret),
    )


def of_organization(mocker: Mocker, content: Any) -> Organization:
    mocker.get(ORGANIZATION_URL, json=content)
    return neighbours_at().organization()


def of_key(mocker: Mocker, content: Any) -> ApiKey:
    mocker.get(KEY_URL, json=content)
    return neighbours_at().api_key()


def test_what_the_sandbox_shows() -> None:
    options = Options(months_kept=6, months_archived=18, organization_name="Süd\u202e")
    with Sandbox(options=options) as sandbox:
        neighbours = sandboxed(sandbox)
        assert neighbours.organization() == Organization("Süd\u202e", 6, 18)
        assert neighbours.api_key() == ApiKey(
            Permissions(roles=("owner",)),
            timestamps.parse("2025-01-01T00:00:00Z"),
            NEVER,
        )


def test_an_older_server_says_less() -> None:
    with Sandbox(behaviour=Behaviour(older=True)) as sandbox:
        neighbours = sandboxed(sandbox)
        assert neighbours.organization() == Organization("Northwind", None, None)
        assert neighbours.api_key() == ApiKey(problem=NOT_VISIBLE)


@pytest.mark.parametrize("status", ["403", "404"])
def test_a_restricted_key_sees_neither(status: Any) -> None:
    with Sandbox(options=Options(neighbours=status)) as sandbox:
        neighbours = sandboxed(sandbox)
        assert neighbours.organization() == Organization(problem=NOT_VISIBLE)
        assert neighbours.api_key() == ApiKey(problem=NOT_VISIBLE)


@pytest.mark.parametrize(
    ("sent", "months"),
    [
        ("6", 6),
        (6, 6),
        ("12000", 12_000),
        (12_001, None),
        ("0", None),
        (0, None),
        (-1, None),
        ("-1", None),
        (6.0, None),
        (True, None),
        ("six", None),
        ("", None),
        ("٦", None),
        ("9" * 5000, None),
        (None, None),
        ([6], None),
    ],
)
def test_months(requests_mock: Mocker, sent: Any, months: int | None) -> None:
    quota = {"auditRecordMonths": sent, "auditRecordArchiveMonths": "18"}
    content = {"organization": {"name": "x", "quota": quota}}
    assert of_organization(requests_mock, content) == Organization("x", months, 18)


@pytest.mark.parametrize(
    ("organization", "found"),
    [
        ({}, Organization()),
        ({"name": "", "quota": None}, Organization()),
        ({"name": 5, "quota": []}, Organization()),
        ({"name": "x", "quota": {}}, Organization("x")),
    ],
)
def test_members_that_are_missing(
    requests_mock: Mocker, organization: Any, found: Organization
) -> None:
    assert of_organization(requests_mock, {"organization": organization}) == found


@pytest.mark.parametrize(
    ("key", "expires"),
    [
        ({"expireTime": "1970-01-01T00:00:02.5Z"}, 2_500_000_000),
        ({"expireTime": "1970-01-01T01:00:01+01:00"}, 1_000_000_000),
        ({"expireTime": None}, NEVER),
        ({}, None),
        ({"expireTime": ""}, None),
        ({"expireTime": "soon"}, None),
        ({"expireTime": "2026-01-01"}, None),
        ({"expireTime": 1}, None),
        ({"expireTime": "0001-01-01T00:00:00Z"}, None),
        ({"expireTime": "1970-01-01T00:00:00Z"}, None),
    ],
)
def test_expiry(requests_mock: Mocker, key: Any, expires: int | None) -> None:
    assert of_key(requests_mock, {"apiKey": key}).expires == expires


@pytest.mark.parametrize(
    ("sent", "permissions"),
    [
        (
            {"actions": ["a"], "roles": ["b"], "customRoles": ["c", "d"]},
            Permissions(("a",), ("b",), ("c", "d")),
        ),
        ({"roles": ["owner"]}, Permissions(roles=("owner",))),
        ({}, Permissions()),
        ({"roles": [1]}, None),
        ({"roles": "owner"}, None),
        ({"roles": ["owner"], "customRoles": None}, None),
        (["owner"], None),
        (None, None),
    ],
)
def test_permissions(
    requests_mock: Mocker, sent: Any, permissions: Permissions | None
) -> None:
    assert of_key(requests_mock, {"apiKey": {"permissions": sent}}) == ApiKey(
        permissions
    )


NOT_UNDERSTOOD: list[dict[str, Any]] = [
    {"text": "<html>Welcome"},
    {"text": ""},
    {"text": '{"organization":{"na'},
    {"text": "[" * 100_000},
    {"text": "9" * 100_000},
    {"content": b'{"organization":{"name":"\xff"}}'},
    {"text": '{"organization":{"name":"' + "x" * MAX_BYTES + '"}}'},
    {"json": []},
    {"json": {}},
    {"json": {"organization": None}},
    {"json": {"organization": "x"}},
    {"json": {"name": "x", "quota": {"auditRecordMonths": "6"}}},
]


@pytest.mark.parametrize("response", NOT_UNDERSTOOD)
def test_another_body_is_not_guessed_at(
    requests_mock: Mocker, response: dict[str, Any]
) -> None:
    requests_mock.get(ORGANIZATION_URL, headers={"cf-ray": "8f2c"}, **response)
    assert neighbours_at().organization() == Organization(
        problem="not understood (HTTP 200 from akuity.cloud, cf-ray 8f2c)"
    )
    assert requests_mock.call_count == 1


@pytest.mark.parametrize(
    ("failure", "requested"),
    [
        ({"status_code": 401, "json": {"message": "no"}}, 1),
        ({"status_code": 400}, 1),
        ({"status_code": 302, "headers": {"Location": "//evil.example.com"}}, 1),
        ({"status_code": 503}, 3),
        ({"exc": requests.exceptions.ConnectionError("refused")}, 3),
    ],
)
def test_trouble_is_told_after_a_few_attempts(
    requests_mock: Mocker,
    waits: list[float],
    failure: dict[str, Any],
    requested: int,
) -> None:
    requests_mock.get(KEY_URL, **failure)
    key = neighbours_at().api_key()
    assert key == ApiKey(problem=key.problem)
    assert key.problem.startswith("not known: ")
    assert "hush" not in key.problem
    assert "key/1" not in key.problem
    assert "key%2F1" not in key.problem
    assert requests_mock.call_count == requested
    assert waits == [1, 2][: requested - 1]
    assert {request.method for request in requests_mock.request_history} == {"GET"}


def test_what_can_pass_is_retried_but_not_more_often_than_a_page(
    requests_mock: Mocker,
    waits: list[float],
) -> None:
    found = {"json": {"apiKey": {"expireTime": None}}}
    requests_mock.get(KEY_URL, [{"status_code": 503}, found])
    assert neighbours_at().api_key().expires == NEVER
    assert waits == [1]
    requests_mock.get(KEY_URL, [{"status_code": 503}, found])
    assert neighbours_at(max_attempts=1).api_key().problem.endswith("Attempts: 1")


def endless(_: bytes) -> Any:
    yield ROOT_HEADERS + b"\r\n"
    yield from itertools.repeat(b" " * (1 << 20), 700)


def silent(_: bytes) -> Any:
    yield ROOT_HEADERS + b"\r\n"
    yield from iter(lambda: b" ", b"")


def elsewhere(_: bytes) -> Any:
    body = json.dumps({"organization": {"name": "\x1b[2J" * 1000}}).encode()
    yield ROOT_HEADERS + b"Content-Encoding: br\r\n\r\n" + body


@pytest.mark.parametrize("answer", [endless, silent, elsewhere])
def test_a_hostile_server_costs_as_little_as_with_pages(
    answer: Callable[[bytes], Any],
) -> None:
    with Peer(answer) as peer:
        found = neighbours_at(peer.url, timeout=1, max_attempts=1).organization()
    assert found == Organization(problem=found.problem)
    assert found.problem.isprintable()
    assert peer.sent < 20 << 20
