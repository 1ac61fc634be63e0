from decimal import Decimal
from typing import Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_akuity import settings
from tap_akuity.tap import TapAkuity
from tap_akuity.text import timestamps

NOW = timestamps.parse("2026-01-01T00:00:00Z")
COMPLETE = {"organization_id": "org", "api_key_id": "key", "api_key_secret": "hush"}


def problems(**changes):
    config = settings.normalize({**COMPLETE, **changes})
    return list(settings.problems(config, now=NOW))


WRONG = {
    "Setting `api_key_secret` must be a string.": [5],
    "Setting `page_size` must be an integer from 2 to 10000.": [1, 10_001, 5.0, True],
    "Setting `concurrency` must be an integer from 1 to 32.": ["many"],
    "Setting `max_retries` must be an integer of at least 0.": [-1],
    "Setting `request_timeout_seconds` must be a number greater than 0 and at most "
    "3600.": [0, True, "soon", 10**400, float("nan"), Decimal("1e999")],
    "Setting `fail_on_gap` must be true or false.": ["true", 1],
    "Setting `actions` must be a list of strings.": ["created", [1]],
    "Setting `timestamp_precision` must be `auto`, `microseconds` or `nanoseconds`.": [
        "seconds"
    ],
    "Setting `start_date` must be a date or time such as 2026-01-01 or "
    "2026-01-01T08:30:00Z.": ["yesterday", "2025-02-30", 2025],
    "Setting `start_date` is more than a day in the future, so that nothing would be "
    "fetched: correct it.": ["2026-01-02T00:00:00.000000001Z"],
    "Setting `start-date` is unknown: did you mean `start_date`?": ["2025-01-01"],
    "Setting `organization_id` is missing: set it in the config file, or as "
    "TAP_AKUITY_ORGANIZATION_ID with --config=ENV.": [None, " \t\n"],
    "Setting `organization_id` begins or ends with white space: remove it.": [
        "my-org "
    ],
    "Setting `organization_id` must not be `.` or `..` nor contain a `/`: copy the id "
    "of the organization from Akuity.": [".", "..", "a/b"],
    "Setting `api_url` must be a URL such as https://akuity.cloud.": [
        "akuity.cloud",
        "ftp://akuity.cloud",
        "https://",
        "https://[::1",
        "http://127.0.0.2:1\\[::1]",
        "https://akuity\n.cloud",
        "https://aku ity.cloud",
    ],
    "Setting `api_url` must not contain a user name or a password: use `api_key_id` "
    "and `api_key_secret`.": ["https://:hush@akuity.cloud", "https://me@akuity.cloud"],
    "Setting `api_url` must not contain a query or a fragment: remove it.": [
        "https://akuity.cloud?",
        "https://akuity.cloud#",
    ],
    "Setting `api_url` must begin with https://, or the API key would cross the "
    "network unencrypted.": ["http://akuity.cloud", "http://127.0.0.1.x", "HTTP://A.b"],
    "Setting `api_key_secret` contains a character that is not ASCII, unlike any API "
    "key: copy it again.": ["hüsh"],
    "Setting `api_key_secret` begins or ends with a space or a line break, unlike any "
    "API key: copy it again.": ["hush\n"],
    "Setting `api_key_secret` contains a line break or another control character, "
    "unlike any API key: copy it again.": ["hu\nsh"],
    "Setting `api_key_id` contains a colon, unlike any API key: copy it again.": [
        "a:b"
    ],
    "Setting `actor_ids` contains half of a surrogate pair, which is not a character: "
    "correct it.": [["a", "\ud83d"]],
    "Setting `organization_id` contains half of a surrogate pair, which is not a "
    "character: correct it.": ["\udc00"],
    "Setting `user_agent` must be printable ASCII without spaces around it: correct "
    "it.": ["a\nb", " a", "ü"],
}


@pytest.mark.parametrize(("sentence", "values"), WRONG.items())
def test_what_is_wrong_is_said(sentence, values):
    name = sentence.split("`")[1]
    for value in values:
        assert problems(**{name: value}) == [sentence]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("start_date", ["", "2026-01-02T00:00:00+00:00"]),
        ("api_url", ["https://akuity.example.com/prefix/", "http://127.0.0.1:8080"]),
        ("api_url", ["http://[::1]:8080", "HTTP://LOCALHOST"]),
        ("actor_ids", [["\U0001f600"]]),
        ("request_timeout_seconds", ["30", Decimal("2.5"), 3600]),
        ("page_size", [2, 10_000]),
        ("api_key_secret", ["hu:sh sh"]),
        ("organization_id", ["a b.c"]),
        ("actions", [[]]),
        ("something_of_meltano", [1]),
    ],
)
def test_what_is_right_passes(name, values):
    for value in values:
        assert problems(**{name: value}) == []


def test_each_problem_is_said():
    both = problems(max_retries=-1, start_date="2025-01-02", end_date="1")
    assert [one.split()[1] for one in both] == ["`max_retries`", "`end_date`"]


def test_the_start_has_to_be_before_the_end():
    assert problems(start_date="2025-01-02", end_date="2025-01-02T00:00:00.1Z") == []
    assert problems(start_date="2025-01-02", end_date="2025-01-02") == [
        "Setting `start_date` must be before `end_date`."
    ]


def test_meltano_is_told_where_to_set_what_is_missing():
    config = settings.normalize({**COMPLETE, "api_key_id": None})
    assert list(settings.problems(config, now=NOW, under_meltano=True)) == [
        "Setting `api_key_id` is missing: set TAP_AKUITY_API_KEY_ID in `.env`, or run "
        "`meltano config set`."
    ]


def test_settings_are_brought_into_one_form():
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
    assert settings.normalize({"end_date": "soon"}) == {"end_date": "soon"}
    shallow = result | {"flattening_max_depth": 0}
    assert settings.normalize(shallow) == shallow


RAISED: dict[str, dict[str, Any]] = {
    # Nothing is quoted.
    "Setting `api_key_secret` must be a string.": {"api_key_secret": ["hush"]},
    "Setting `flattening_max_depth` must be an integer.": {"flattening_max_depth": "x"},
    "Setting `stream_maps` must be a JSON object.": {"stream_maps": "hush"},
    "Setting `stream_maps.audit_logs` is malformed: `tap-akuity --about` shows its "
    "form.": {"stream_maps": {"audit_logs": {"x": 5}}},
}


@pytest.mark.parametrize("sentence", RAISED)
def test_the_tap_is_not_made_if_a_setting_of_its_own_or_the_sdk_is_wrong(sentence):
    with pytest.raises(ConfigValidationError) as caught:
        TapAkuity(config={**COMPLETE, **RAISED[sentence]})
    assert str(caught.value) == sentence
    assert caught.value.errors == [sentence]


def test_nothing_of_a_wrong_setting_of_the_sdk_is_quoted():
    one = {"properties": {"b": {"enum": ["x", "y"]}}, "required": ["c\n"]}
    schema = {"properties": {"a": one}}
    assert list(settings.builtin_problems({"a": {"b": "hush"}}, schema)) == [
        "Setting `a.b` must be `x` or `y`.",
        "Setting `a` is incomplete: 'c\\n' is a required property.",
    ]


def test_secrets_are_marked():
    properties = settings.SCHEMA["properties"]
    secret = {name for name, schema in properties.items() if schema.get("secret")}
    assert secret == {"api_key_id", "api_key_secret"} == set(settings.SECRETS)


def from_environment(patch, **environment):
    for name, text in environment.items():
        patch.setenv(f"TAP_AKUITY_{name.upper()}", text)
    return TapAkuity(config=dict(COMPLETE), parse_env_config=True).config


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("start_date", "2025-01-01", "2025-01-01T00:00:00.000000000Z"),
        ("page_size", "7", 7),
        ("timestamp_precision", "microseconds", "microseconds"),
        ("actor_ids", '["a,b", "c"]', ["a,b", "c"]),
        ("request_timeout_seconds", "2.5", 2.5),
        *(("fail_on_gap", text, True) for text in ("true", "On", "1", "yes")),
        *(("fail_on_gap", text, False) for text in ("FALSE", "off", "0", "no", "")),
    ],
)
def test_every_type_of_setting_comes_from_the_environment(
    monkeypatch, name, text, value
):
    assert from_environment(monkeypatch, **{name: text})[name] == value


@pytest.mark.parametrize(
    ("environment", "wrong"),
    [
        ({"page_size": "x", "lookback_seconds": ""}, ["page_size", "lookback_seconds"]),
        ({"fail_on_gap": "ture", "user_agent": "ture"}, ["fail_on_gap"]),
    ],
)
def test_what_the_environment_cannot_say(monkeypatch, environment, wrong):
    with pytest.raises(ConfigValidationError) as caught:
        from_environment(monkeypatch, **environment)
    for name, error in zip(wrong, caught.value.errors, strict=True):
        assert error.startswith(f"Setting `{name}` must be ")


def test_what_meltano_reads_as_false_is_refused(tmp_path, monkeypatch):
    variables = "TAP_AKUITY_FAIL_ON_GAP=ture\nTAP_AKUITY_PAGE_SIZE=\nTAP_AKUITY_X\n"
    (tmp_path / ".env").write_text(variables, "utf-8")
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(tmp_path))
    monkeypatch.setenv("TAP_AKUITY_FAIL_ON_GAP", "false")
    with pytest.raises(ConfigValidationError) as caught:
        TapAkuity(config=dict(COMPLETE))
    assert caught.value.errors == ["Setting `fail_on_gap` must be true or false."]
    monkeypatch.setenv("TAP_AKUITY_PAGE_SIZE", "x")
    with pytest.raises(ConfigValidationError, match="`page_size` must be an integer"):
        TapAkuity(config=dict(COMPLETE), parse_env_config=True)
    # Another variable takes precedence.
    monkeypatch.setenv("TAP_AKUITY_FAIL_ON_GAP", "true")
    TapAkuity(config=dict(COMPLETE))
