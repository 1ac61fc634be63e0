from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_akuity import settings
from tap_akuity.records import timestamps
from tap_akuity.tap import TapAkuity

NOW = timestamps.parse("2026-01-01T00:00:00Z")
COMPLETE = {"organization_id": "org", "api_key_id": "key", "api_key_secret": "hush"}


def problems(**changes: Any) -> list[str]:
    config = settings.normalize({**COMPLETE, **changes})
    return list(settings.problems(config, now=NOW))


def missing(name: str) -> str:
    return (
        f"Setting `{name}` is missing: set it in the config file, or as "
        f"TAP_AKUITY_{name.upper()} with --config=ENV."
    )


NO_QUERY = "Setting `api_url` must not contain a query or a fragment: remove it."
ORGANIZATION = (
    "Setting `organization_id` must not be `.` or `..` nor contain a `/`: copy the id "
    "of the organization from Akuity."
)
USER_AGENT = (
    "Setting `user_agent` must be printable ASCII without spaces around it: correct it."
)
TIMEOUT = (
    "Setting `request_timeout_seconds` must be a number greater than 0 and at most "
    "3600."
)


def key(wrong: str, name: str = "api_key_secret") -> str:
    return f"Setting `{name}` {wrong}, unlike any API key: copy it again."


def padded(value: str) -> str:
    return (
        f"Setting `organization_id` is {value!r}, with white space around it: remove "
        "that."
    )


CASES: list[tuple[dict[str, Any], str]] = [
    ({"organization_id": None}, missing("organization_id")),
    ({"api_key_id": ""}, missing("api_key_id")),
    ({"api_key_secret": " \t\n"}, missing("api_key_secret")),
    ({"organization_id": 5}, "Setting `organization_id` must be a string."),
    ({"organization_id": "my-org "}, padded("my-org ")),
    ({"organization_id": "\nmy-org"}, padded("\nmy-org")),
    ({"api_key_secret": 5}, "Setting `api_key_secret` must be a string."),
    ({"page_size": 0}, "Setting `page_size` must be an integer from 1 to 10000."),
    ({"page_size": "many"}, "Setting `page_size` must be an integer from 1 to 10000."),
    ({"page_size": True}, "Setting `page_size` must be an integer from 1 to 10000."),
    ({"page_size": 1.5}, "Setting `page_size` must be an integer from 1 to 10000."),
    (
        {"lookback_seconds": -1},
        "Setting `lookback_seconds` must be an integer of at least 0.",
    ),
    ({"concurrency": 0}, "Setting `concurrency` must be an integer from 1 to 32."),
    (
        {"recount_days": 91},
        "Setting `recount_days` must be an integer from 0 to 90.",
    ),
    ({"fail_on_gap": "true"}, "Setting `fail_on_gap` must be true or false."),
    ({"fail_on_gap": 1}, "Setting `fail_on_gap` must be true or false."),
    ({"max_retries": True}, "Setting `max_retries` must be an integer of at least 0."),
    ({"concurrency": 33}, "Setting `concurrency` must be an integer from 1 to 32."),
    ({"max_retries": -1}, "Setting `max_retries` must be an integer of at least 0."),
    (
        {"request_timeout_seconds": 0},
        TIMEOUT,
    ),
    (
        {"request_timeout_seconds": "soon"},
        TIMEOUT,
    ),
    (
        {"timestamp_precision": "seconds"},
        "Setting `timestamp_precision` must be `auto`, `microseconds` or "
        "`nanoseconds`.",
    ),
    ({"actions": "created"}, "Setting `actions` must be a list of strings."),
    ({"actor_ids": [1]}, "Setting `actor_ids` must be a list of strings."),
    (
        {"start-date": "2025-01-01"},
        "Setting `start-date` is unknown: did you mean `start_date`?",
    ),
    (
        {"start_date": "yesterday"},
        "Setting `start_date` is not a valid date or time: write it as "
        "2025-01-31 or 2025-01-31T08:30:00Z.",
    ),
    (
        {"end_date": "2025-02-30"},
        "Setting `end_date` is not a valid date or time: write it as "
        "2025-01-31 or 2025-01-31T08:30:00Z.",
    ),
    (
        {"start_date": "2025-01-02", "end_date": "2025-01-02"},
        "Setting `start_date` must be before `end_date`.",
    ),
    (
        {"start_date": "2026-01-02T00:00:00.000000001Z"},
        "Setting `start_date` is more than a day in the future, so that nothing would "
        "be fetched: correct it.",
    ),
    (
        {"api_url": "akuity.cloud"},
        "Setting `api_url` must be a URL such as https://akuity.cloud.",
    ),
    (
        {"api_url": "ftp://akuity.cloud"},
        "Setting `api_url` must be a URL such as https://akuity.cloud.",
    ),
    (
        {"api_url": "https://[::1"},
        "Setting `api_url` must be a URL such as https://akuity.cloud.",
    ),
    (
        {"api_url": "https://me:hush@akuity.cloud"},
        "Setting `api_url` must not contain a user name or a password: use "
        "`api_key_id` and `api_key_secret`.",
    ),
    (
        {"api_url": "https://me@akuity.cloud"},
        "Setting `api_url` must not contain a user name or a password: use "
        "`api_key_id` and `api_key_secret`.",
    ),
    (
        {"api_url": "https://akuity.cloud/?x=1"},
        "Setting `api_url` must not contain a query or a fragment: remove it.",
    ),
    (
        {"api_url": "http://akuity.cloud"},
        "Setting `api_url` must begin with https://, or the API key would cross the "
        "network in clear.",
    ),
    ({"request_timeout_seconds": 3601}, TIMEOUT),
    ({"request_timeout_seconds": 10**400}, TIMEOUT),
    ({"request_timeout_seconds": float("inf")}, TIMEOUT),
    ({"request_timeout_seconds": float("nan")}, TIMEOUT),
    ({"request_timeout_seconds": Decimal("1e999")}, TIMEOUT),
    (
        {"page_size": 10_001},
        "Setting `page_size` must be an integer from 1 to 10000.",
    ),
    ({"api_url": "https://akuity.cloud?"}, NO_QUERY),
    ({"api_url": "https://akuity.cloud#"}, NO_QUERY),
    ({"organization_id": "."}, ORGANIZATION),
    ({"organization_id": ".."}, ORGANIZATION),
    ({"organization_id": "a/b"}, ORGANIZATION),
    ({"user_agent": "a\nb"}, USER_AGENT),
    ({"user_agent": " a"}, USER_AGENT),
    ({"user_agent": "ü"}, USER_AGENT),
    ({"api_key_secret": "hush\n"}, key("begins or ends with a space or a line break")),
    ({"api_key_secret": " hush"}, key("begins or ends with a space or a line break")),
    (
        {"api_key_secret": "hu\nsh"},
        key("contains a line break or another control character"),
    ),
    ({"api_key_secret": "hüsh"}, key("contains a character that is not ASCII")),
    ({"api_key_id": "key:hush"}, key("contains a colon", "api_key_id")),
]


@pytest.mark.parametrize(("changes", "message"), CASES)
def test_what_is_wrong_is_said(changes: dict[str, Any], message: str) -> None:
    assert problems(**changes) == [message]
    assert "hush" not in message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"start_date": "2025-01-01"},
        {"start_date": ""},
        {"start_date": None},
        {"start_date": "2025-01-01", "end_date": "2025-01-01T00:00:00.1Z"},
        {"start_date": "2026-01-02T00:00:00+00:00"},
        {"api_url": "https://akuity.example.com/prefix/"},
        {"api_url": "http://127.0.0.1:8080"},
        {"api_url": "http://[::1]:8080"},
        {"api_url": "http://localhost"},
        {"request_timeout_seconds": 0.5},
        {"request_timeout_seconds": "30"},
        {"request_timeout_seconds": Decimal("2.5")},
        {"request_timeout_seconds": 3600},
        {"page_size": 10_000},
        {"api_key_secret": "hu sh"},
        {"organization_id": "a b.c"},
        {"actions": []},
        {"something_of_meltano": 1},
    ],
)
def test_what_is_right_passes(changes: dict[str, Any]) -> None:
    assert problems(**changes) == []


def test_each_problem_is_said() -> None:
    assert problems(page_size="many", max_retries=-1, start_date="soon") == [
        "Setting `page_size` must be an integer from 1 to 10000.",
        "Setting `max_retries` must be an integer of at least 0.",
        "Setting `start_date` is not a valid date or time: write it as 2025-01-31 or "
        "2025-01-31T08:30:00Z.",
    ]


def test_meltano_is_told_where_to_set_what_is_missing() -> None:
    config = {name: value for name, value in COMPLETE.items() if name != "api_key_id"}
    assert list(settings.problems(config, now=NOW, under_meltano=True)) == [
        "Setting `api_key_id` is missing: set TAP_AKUITY_API_KEY_ID in `.env`, or run "
        "`meltano config set`."
    ]


def test_what_cannot_be_read_stays() -> None:
    wrong = {"start_date": "soon", "request_timeout_seconds": "soon"}
    assert settings.normalize(wrong) == wrong


@pytest.mark.parametrize(
    ("config", "depth"),
    [
        ({}, None),
        ({"flattening_enabled": False}, None),
        ({"flattening_enabled": True}, 3),
        ({"flattening_enabled": True, "flattening_max_depth": 0}, 0),
    ],
)
def test_flattening_has_a_depth(config: dict[str, Any], depth: int | None) -> None:
    assert settings.normalize(config).get("flattening_max_depth") == depth


def test_one_form() -> None:
    config = {
        "start_date": "2025-01-01T02:00:00+02:00",
        "api_url": "https://akuity.cloud/X/ ",
        "request_timeout_seconds": "1.5",
        "user_agent": "",
    }
    assert settings.normalize(config) == {
        "start_date": "2025-01-01T00:00:00.000000000Z",
        "api_url": "https://akuity.cloud/X",
        "request_timeout_seconds": 1.5,
    }


def test_the_tap_refuses_and_quotes_nothing() -> None:
    with pytest.raises(ConfigValidationError) as caught:
        TapAkuity(config={**COMPLETE, "api_key_secret": ["hush"]})
    assert caught.value.errors == ["Setting `api_key_secret` must be a string."]
    assert "hush" not in str(caught.value)


def test_the_defaults() -> None:
    config = TapAkuity(config=dict(COMPLETE)).config
    assert config["api_url"] == "https://akuity.cloud"
    assert config["page_size"] == 500
    assert config["lookback_seconds"] == 300
    assert config["request_timeout_seconds"] == 60
    assert config["max_retries"] == 10
    assert "start_date" not in config
    assert "end_date" not in config


def test_every_setting_has_a_title_and_a_description() -> None:
    for name, schema in settings.SCHEMA["properties"].items():
        assert schema["title"], name
        assert schema["description"].endswith("."), name


def test_secrets_are_marked() -> None:
    secret = {
        name
        for name, schema in settings.SCHEMA["properties"].items()
        if schema.get("secret")
    }
    assert secret == {"api_key_id", "api_key_secret"}


def test_what_the_environment_cannot_say() -> None:
    environment = {
        "TAP_AKUITY_PAGE_SIZE": "many",
        "TAP_AKUITY_LOOKBACK_SECONDS": "",
        "TAP_AKUITY_MAX_RETRIES": "3",
        "TAP_AKUITY_ACTIONS": "created",
        "PAGE_SIZE": "many",
    }
    assert list(settings.environment_problems(environment)) == [
        "Setting `page_size` must be an integer from 1 to 10000.",
        "Setting `lookback_seconds` must be an integer of at least 0.",
    ]


def test_every_setting_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values: dict[str, tuple[str, Any]] = {
        "organization_id": ("org", "org"),
        "api_key_id": ("key", "key"),
        "api_key_secret": ("hush", "hush"),
        "start_date": ("2025-01-01", "2025-01-01T00:00:00.000000000Z"),
        "end_date": ("2025-02-01", "2025-02-01T00:00:00.000000000Z"),
        "api_url": ("https://akuity.example.com", "https://akuity.example.com"),
        "page_size": ("7", 7),
        "concurrency": ("1", 1),
        "lookback_seconds": ("0", 0),
        "recount_days": ("30", 30),
        "fail_on_gap": ("true", True),
        "timestamp_precision": ("microseconds", "microseconds"),
        "actions": ('["created"]', ["created"]),
        "actor_types": ('["user"]', ["user"]),
        "actor_ids": ('["a,b", "c"]', ["a,b", "c"]),
        "actor_ips": ('["::1"]', ["::1"]),
        "origins": ('["mcp"]', ["mcp"]),
        "request_timeout_seconds": ("2.5", 2.5),
        "max_retries": ("3", 3),
        "user_agent": ("me", "me"),
    }
    assert values.keys() == settings.SCHEMA["properties"].keys()
    for name, (text, _) in values.items():
        monkeypatch.setenv(f"TAP_AKUITY_{name.upper()}", text)
    config = TapAkuity(parse_env_config=True).config
    assert {name: config[name] for name in values} == {
        name: value for name, (_, value) in values.items()
    }
