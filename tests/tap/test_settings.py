from decimal import Decimal

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_akuity import settings
from tap_akuity.records import timestamps
from tap_akuity.tap import TapAkuity

NOW = timestamps.parse("2026-01-01T00:00:00Z")
COMPLETE = {"organization_id": "org", "api_key_id": "key", "api_key_secret": "hush"}


def problems(**changes):
    config = settings.normalize({**COMPLETE, **changes})
    return list(settings.problems(config, now=NOW))


MISSING = (
    "is missing: set it in the config file, or as TAP_AKUITY_{} with --config=ENV."
)
PAGE_SIZE = "must be an integer from 1 to 10000."
RETRIES = "must be an integer of at least 0."
TIMEOUT = "must be a number greater than 0 and at most 3600."
PRECISION = "must be `auto`, `microseconds` or `nanoseconds`."
STRINGS = "must be a list of strings."
DATE = "must be a date or time such as 2025-01-31 or 2025-01-31T08:30:00Z."
FUTURE = (
    "is more than a day in the future, so that nothing would be fetched: correct it."
)
URL = "must be a URL such as https://akuity.cloud."
USER_IN_URL = (
    "must not contain a user name or a password: use `api_key_id` and `api_key_secret`."
)
IN_CLEAR = "must begin with https://, or the API key would cross the network in clear."
QUERY = "must not contain a query or a fragment: remove it."
PADDED = "is 'my-org ', with white space around it: remove that."
PATH = (
    "must not be `.` or `..` nor contain a `/`: copy the id of the organization from "
    "Akuity."
)
SPACE = (
    "begins or ends with a space or a line break, unlike any API key: copy it again."
)
LINE_BREAK = (
    "contains a line break or another control character, unlike any API key: copy it "
    "again."
)
NOT_ASCII = "contains a character that is not ASCII, unlike any API key: copy it again."
COLON = "contains a colon, unlike any API key: copy it again."
USER_AGENT = "must be printable ASCII without spaces around it: correct it."


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("organization_id", None, MISSING.format("ORGANIZATION_ID")),
        ("api_key_secret", " \t\n", MISSING.format("API_KEY_SECRET")),
        ("api_key_secret", 5, "must be a string."),
        ("page_size", 0, PAGE_SIZE),
        ("page_size", 10_001, PAGE_SIZE),
        ("page_size", 5.0, PAGE_SIZE),
        ("page_size", True, PAGE_SIZE),
        ("page_size", "many", PAGE_SIZE),
        ("max_retries", -1, RETRIES),
        ("fail_on_gap", "true", "must be true or false."),
        ("fail_on_gap", 1, "must be true or false."),
        ("request_timeout_seconds", 0, TIMEOUT),
        ("request_timeout_seconds", True, TIMEOUT),
        ("request_timeout_seconds", "soon", TIMEOUT),
        ("request_timeout_seconds", 10**400, TIMEOUT),
        ("request_timeout_seconds", float("nan"), TIMEOUT),
        ("request_timeout_seconds", Decimal("1e999"), TIMEOUT),
        ("timestamp_precision", "seconds", PRECISION),
        ("actions", "created", STRINGS),
        ("actor_ids", [1], STRINGS),
        ("start-date", "2025-01-01", "is unknown: did you mean `start_date`?"),
        ("start_date", "yesterday", DATE),
        ("start_date", 2025, DATE),
        ("end_date", "2025-02-30", DATE),
        ("start_date", "2026-01-02T00:00:00.000000001Z", FUTURE),
        ("api_url", "akuity.cloud", URL),
        ("api_url", "ftp://akuity.cloud", URL),
        ("api_url", "https://", URL),
        ("api_url", "https://[::1", URL),
        ("api_url", "https://:hush@akuity.cloud", USER_IN_URL),
        ("api_url", "https://me@akuity.cloud", USER_IN_URL),
        ("api_url", "http://akuity.cloud", IN_CLEAR),
        ("api_url", "https://akuity.cloud?", QUERY),
        ("api_url", "https://akuity.cloud#", QUERY),
        ("organization_id", "my-org ", PADDED),
        ("organization_id", ".", PATH),
        ("organization_id", "..", PATH),
        ("organization_id", "a/b", PATH),
        ("user_agent", "a\nb", USER_AGENT),
        ("user_agent", " a", USER_AGENT),
        ("user_agent", "ü", USER_AGENT),
        ("api_key_secret", "hush\n", SPACE),
        ("api_key_secret", "hu\nsh", LINE_BREAK),
        ("api_key_secret", "hüsh", NOT_ASCII),
        ("api_key_id", "key:hush", COLON),
    ],
)
def test_what_is_wrong_is_said(name, value, said):
    assert problems(**{name: value}) == [f"Setting `{name}` {said}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"start_date": ""},
        {"start_date": "2025-01-01", "end_date": "2025-01-01T00:00:00.1Z"},
        {"start_date": "2026-01-02T00:00:00+00:00"},
        {"api_url": "https://akuity.example.com/prefix/"},
        {"api_url": "http://127.0.0.1:8080"},
        {"api_url": "http://[::1]:8080"},
        {"api_url": "http://localhost"},
        {"request_timeout_seconds": "30"},
        {"request_timeout_seconds": Decimal("2.5")},
        {"request_timeout_seconds": 3600},
        {"page_size": 10_000},
        {"api_key_secret": "hu:sh sh"},
        {"organization_id": "a b.c"},
        {"actions": []},
        {"something_of_meltano": 1},
    ],
)
def test_what_is_right_passes(changes):
    assert problems(**changes) == []


def test_each_problem_is_said():
    assert problems(max_retries=-1, start_date="soon") == [
        f"Setting `max_retries` {RETRIES}",
        f"Setting `start_date` {DATE}",
    ]
    assert problems(start_date="2025-01-02", end_date="2025-01-02") == [
        "Setting `start_date` must be before `end_date`."
    ]


def test_meltano_is_told_where_to_set_what_is_missing():
    config = settings.normalize({**COMPLETE, "api_key_id": None})
    assert list(settings.problems(config, now=NOW, under_meltano=True)) == [
        "Setting `api_key_id` is missing: set TAP_AKUITY_API_KEY_ID in `.env`, or run "
        "`meltano config set`."
    ]


def test_one_form():
    config = {
        "start_date": " 2025-01-01T02:00:00+02:00",
        "end_date": "2025-01-02",
        "api_url": "https://akuity.cloud/X/ ",
        "request_timeout_seconds": "1.5",
        "user_agent": "",
        "flattening_enabled": True,
    }
    result = {
        "start_date": "2025-01-01T00:00:00.000000000Z",
        "end_date": "2025-01-02T00:00:00.000000000Z",
        "api_url": "https://akuity.cloud/X",
        "request_timeout_seconds": 1.5,
        "flattening_enabled": True,
        "flattening_max_depth": 3,
    }
    assert settings.normalize(config) == result
    shallow = result | {"flattening_max_depth": 0}
    assert settings.normalize(shallow) == shallow


def test_the_tap_refuses_and_quotes_nothing():
    with pytest.raises(ConfigValidationError) as caught:
        TapAkuity(config={**COMPLETE, "api_key_secret": ["hush"]})
    assert caught.value.errors == ["Setting `api_key_secret` must be a string."]
    assert "hush" not in str(caught.value)


def test_secrets_are_marked():
    properties = settings.SCHEMA["properties"]
    secret = {name for name, schema in properties.items() if schema.get("secret")}
    assert secret == {"api_key_id", "api_key_secret"} == set(settings.SECRETS)


@pytest.mark.parametrize(
    ("environment", "errors"),
    [
        (
            {"page_size": "many", "lookback_seconds": "", "max_retries": "3"},
            [
                f"Setting `page_size` {PAGE_SIZE}",
                f"Setting `lookback_seconds` {RETRIES}",
            ],
        ),
        (
            {"fail_on_gap": "ture", "user_agent": "ture"},
            ["Setting `fail_on_gap` must be true or false."],
        ),
    ],
)
def test_what_the_environment_cannot_say(monkeypatch, environment, errors):
    for name, text in environment.items():
        monkeypatch.setenv(f"TAP_AKUITY_{name.upper()}", text)
    with pytest.raises(ConfigValidationError) as caught:
        TapAkuity(config=COMPLETE, parse_env_config=True)
    assert caught.value.errors == errors


@pytest.mark.parametrize("text", ["true", "On", "1", "yes", "FALSE", "off", "0", "no"])
def test_booleans_of_the_environment(text, monkeypatch):
    monkeypatch.setenv("TAP_AKUITY_FAIL_ON_GAP", text)
    config = TapAkuity(config=COMPLETE, parse_env_config=True).config
    assert config["fail_on_gap"] is (text in {"true", "On", "1", "yes"})


def test_every_type_of_setting_comes_from_the_environment(monkeypatch):
    values = {
        "start_date": ("2025-01-01", "2025-01-01T00:00:00.000000000Z"),
        "page_size": ("7", 7),
        "fail_on_gap": ("", False),
        "timestamp_precision": ("microseconds", "microseconds"),
        "actor_ids": ('["a,b", "c"]', ["a,b", "c"]),
        "request_timeout_seconds": ("2.5", 2.5),
    }
    for name, (text, _) in values.items():
        monkeypatch.setenv(f"TAP_AKUITY_{name.upper()}", text)
    config = TapAkuity(config=COMPLETE, parse_env_config=True).config
    for name, (_, value) in values.items():
        assert config[name] == value
