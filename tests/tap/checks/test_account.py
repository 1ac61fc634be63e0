"""The organization and the API key: what is visible, and nothing that is not."""

import pytest
import requests
from requests.auth import HTTPBasicAuth

from tap_akuity.checks.account import (
    MAX_BYTES,
    NEVER,
    NOT_VISIBLE,
    Account,
    ApiKey,
    Organization,
    Permissions,
)
from tests.helpers.clients import client_of

API = "https://akuity.cloud/api/v1"
ORGANIZATION_URL = f"{API}/organizations/a%20b%3Fc"
KEY_URL = f"{API}/apikeys/key%2F1"


def account(max_attempts=11):
    auth = HTTPBasicAuth("key/1", "hush")
    client = client_of(auth=auth, max_attempts=max_attempts)
    return Account(client, base_url=API, organization_id="a b?c", api_key_id="key/1")


@pytest.mark.parametrize(
    ("sent", "months"),
    [(6, 6), ("12000", 12_000)]
    + [(wrong, None) for wrong in (12_001, "0", True, "٦", "9" * 5000, None)],
)
def test_the_months_of_an_organization_are_validated(requests_mock, sent, months):
    quota = {"auditRecordMonths": sent, "auditRecordArchiveMonths": "18"}
    content = {"organization": {"name": "x", "quota": quota}}
    requests_mock.get(ORGANIZATION_URL, json=content)
    assert account().organization() == Organization("x", months, 18)


@pytest.mark.parametrize("sent", [{}, {"name": "", "quota": None}, {"name": 5}])
def test_an_organization_of_which_nothing_is_known(requests_mock, sent):
    requests_mock.get(ORGANIZATION_URL, json={"organization": sent})
    assert account().organization() == Organization()


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ({"expireTime": "1970-01-01T01:00:01+01:00"}, ApiKey(expires=1_000_000_000)),
        ({"createTime": "1970-01-01T00:00:02.5Z"}, ApiKey(created=2_500_000_000)),
        ({"expireTime": None}, ApiKey(expires=NEVER)),
        ({}, ApiKey()),
        ({"expireTime": 1, "createTime": "soon"}, ApiKey()),
        ({"expireTime": "0001-01-01T00:00:00Z"}, ApiKey()),
        (
            {"permissions": {"actions": ["a"], "roles": ["b"], "customRoles": ["c"]}},
            ApiKey(Permissions(("a",), ("b",), ("c",))),
        ),
        ({"permissions": {"roles": [1]}}, ApiKey()),
        ({"permissions": {"roles": ["owner"], "customRoles": None}}, ApiKey()),
        ({"permissions": ["owner"]}, ApiKey()),
    ],
)
def test_what_is_known_of_a_key_is_validated(requests_mock, sent, key):
    requests_mock.get(KEY_URL, json={"apiKey": sent})
    assert account().api_key() == key


@pytest.mark.parametrize(
    "response",
    [
        {"text": "<html>Welcome"},
        {"text": "[" * 100_000},
        {"text": "9" * 100_000},
        {"content": b'{"organization":{"name":"\xff"}}'},
        {"text": '{"organization":{"name":"' + "x" * MAX_BYTES + '"}}'},
        {"json": {"organization": "x"}},
        {"json": {"name": "x", "quota": {"auditRecordMonths": "6"}}},
    ],
)
def test_another_body_is_not_guessed_at(requests_mock, response):
    requests_mock.get(ORGANIZATION_URL, headers={"cf-ray": "8f2c"}, **response)
    assert account().organization() == Organization(
        problem="not understood (HTTP 200 from akuity.cloud, cf-ray 8f2c)"
    )
    assert requests_mock.call_count == 1


@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        ({"status_code": 403}, 1),
        ({"status_code": 404}, 1),
        ({"status_code": 401}, 1),
        ({"status_code": 302, "headers": {"Location": "//evil.example.com"}}, 1),
        ({"status_code": 503}, 3),
        ({"exc": requests.exceptions.ConnectionError("refused")}, 3),
    ],
)
def test_trouble_is_told_after_a_few_attempts(requests_mock, waits, failure, attempts):
    requests_mock.get(KEY_URL, **failure)
    key = account().api_key()
    assert key == ApiKey(problem=key.problem)
    is_hidden = failure.get("status_code") in {403, 404}
    assert key.problem.startswith(NOT_VISIBLE if is_hidden else "not known: ")
    for secret in ("hush", "key/1", "key%2F1"):
        assert secret not in key.problem
    assert requests_mock.call_count == attempts
    assert waits == [0.5, 1][: attempts - 1]


def test_they_are_not_asked_for_more_often_than_a_page(requests_mock, waits):
    found = {"json": {"apiKey": {"expireTime": None}}}
    requests_mock.get(KEY_URL, [{"status_code": 503}, found])
    assert account(max_attempts=1).api_key().problem.endswith("Attempts: 1")
    assert not waits
