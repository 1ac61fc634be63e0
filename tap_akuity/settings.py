"""The settings: their schema, and the validation of a configuration."""

import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from jsonschema import Draft7Validator, FormatChecker
from jsonschema.validators import extend
from singer_sdk import typing as th
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from tap_akuity.text import timestamps
from tap_akuity.text.masking import one_line
from tap_akuity.text.timestamps import TimestampError

DEFAULT_API_URL = "https://akuity.cloud"
ENVIRONMENT_PREFIX = "TAP_AKUITY_"
SECRETS = ("api_key_id", "api_key_secret")

MAX_PAGE_SIZE = 10_000
"""Ten times Akuity's own maximum, which may grow."""

MAX_TIMEOUT_SECONDS = 3600
"""Longer than any server or proxy keeps a request open."""

FLATTENING_DEPTH = 3
"""One level more than the known objects need, for those that Akuity may add."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "organization_id",
        th.StringType(min_length=1),
        required=True,
        title="Organization ID",
        description="The id of the Akuity organization whose audit log is read.",
    ),
    th.Property(
        "api_key_id",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="API Key ID",
        description=(
            "The id of an API key of the organization, preferably one with a custom "
            "role that may only get the audit log, or else with the Owner role."
        ),
    ),
    th.Property(
        "api_key_secret",
        th.StringType(min_length=1),
        required=True,
        secret=True,
        title="API Key Secret",
        description="The secret of the API key. Akuity shows it once.",
    ),
    th.Property(
        "start_date",
        th.DateTimeType,
        title="Backfill Start Time",
        description=(
            "The first run fetches events from this time on. Without it, no past "
            "events are fetched: the first run only notes where the next one starts. A "
            "time without a zone is UTC."
        ),
    ),
    th.Property(
        "end_date",
        th.DateTimeType,
        title="End Time",
        description=(
            "Only events before this time are fetched. Without it, all up to now."
        ),
    ),
    th.Property(
        "api_url",
        th.StringType,
        default=DEFAULT_API_URL,
        title="API URL",
        description=(
            "The URL of Akuity: https://eu.akuity.cloud for the EU region, or your own "
            "for a self-hosted Akuity. An API key of one region is unknown in the "
            "other."
        ),
    ),
    th.Property(
        "page_size",
        th.IntegerType(minimum=2, maximum=MAX_PAGE_SIZE),
        default=1000,
        title="Page Size",
        description=(
            "How many events to request per page. Akuity accepts at most 1000."
        ),
    ),
    th.Property(
        "concurrency",
        th.IntegerType(minimum=1, maximum=32),
        default=4,
        title="Concurrency",
        description=(
            "How many requests may run at a time. Records stay in chronological order."
        ),
    ),
    th.Property(
        "lookback_seconds",
        th.IntegerType(minimum=0),
        default=300,
        title="Lookback Seconds",
        description=(
            "How far before the bookmark each run starts, to read events that arrived "
            "late or have changed."
        ),
    ),
    th.Property(
        "recount_days",
        th.IntegerType(minimum=0, maximum=90),
        default=7,
        title="Recount Days",
        description=(
            "How many days late an event may arrive and still be noticed. The first "
            "run of each UTC day counts the events of each of the last days, with one "
            "small request each, and reads a day again if it has more than were "
            "loaded. 0 turns it off."
        ),
    ),
    th.Property(
        "fail_on_gap",
        th.BooleanType,
        default=False,
        title="Fail on Gap",
        description=(
            "Fail, before anything is emitted, if events that no run has read are, or "
            "may be, older than what Akuity keeps, so that they can no longer be "
            "fetched. If false, the run warns and continues."
        ),
    ),
    th.Property(
        "timestamp_precision",
        th.StringType(allowed_values=list(timestamps.PRECISIONS)),
        default=timestamps.AUTO,
        title="Timestamp Precision",
        description=(
            "The number of fraction digits in timestamps. `auto`: six, or nine where "
            "six would lose digits. `microseconds`: always six, without the rest, for "
            "targets that accept no more. `nanoseconds`: always nine. The `id` of an "
            "event does not depend on it."
        ),
    ),
    *(
        th.Property(
            name,
            th.ArrayType(th.StringType),
            title=title,
            description=(
                f"Fetch only events {which}. The API filters, so other events are not "
                "fetched."
            ),
        )
        for name, title, which in (
            (
                "actions",
                "Actions",
                "with these actions, for example `created`, `deleted`",
            ),
            (
                "actor_types",
                "Actor Types",
                "of these types of actors, for example `user`, `api_key`",
            ),
            ("actor_ids", "Actor IDs", "of these actors"),
            ("actor_ips", "Actor IPs", "from these IP addresses"),
            (
                "origins",
                "Origins",
                "through these interfaces, for example `mcp`, which AI agents use",
            ),
        )
    ),
    th.Property(
        "request_timeout_seconds",
        th.NumberType(exclusive_minimum=0, maximum=MAX_TIMEOUT_SECONDS),
        default=60,
        title="Request Timeout Seconds",
        description="How long a request may take before it is retried.",
    ),
    th.Property(
        "max_retries",
        th.IntegerType(minimum=0),
        default=10,
        title="Max Retries",
        description=(
            "How often to retry a request that failed temporarily. The waits between "
            "10 retries add up to about five minutes at most, unless Akuity asks for "
            "longer ones."
        ),
    ),
    th.Property(
        "user_agent",
        th.StringType,
        title="User Agent",
        description="The User-Agent header; `tap-akuity/<version>` if not set.",
    ),
).to_dict()

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=TimestampError)
def _is_date(value: object) -> bool:
    return isinstance(value, str) and bool(timestamps.canonical(value))


def _is_integer(_: object, value: object) -> bool:
    # Unlike JSON Schema, where 5.0 is one, too.
    return type(value) is int


def _is_number(_: object, value: object) -> bool:
    # NaN would pass any limit.
    return type(value) is int or (type(value) is float and math.isfinite(value))


_VALIDATOR = extend(  # type: ignore[no-untyped-call]
    Draft7Validator,
    type_checker=Draft7Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)(SCHEMA, format_checker=_FORMATS)


def normalize(config: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a configuration into its canonical form, without validating it.

    Null and blank values are dropped, numbers from the environment are converted from
    text, and valid dates become what `timestamps.to_text` returns. The only default is
    the depth of the flattening.
    """
    result: dict[str, Any] = {}
    for name, value in config.items():
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if name in {"start_date", "end_date"} and isinstance(value, str):
            try:
                result[name] = timestamps.to_text(
                    timestamps.parse(value.strip(), assume_utc=True)
                )
            except TimestampError:
                result[name] = value
        elif name == "request_timeout_seconds" and isinstance(value, str | Decimal):
            # The SDK returns a fraction from the environment as text, and one from a
            # file as a `Decimal`.
            try:
                result[name] = float(value)
            except ValueError:
                result[name] = value
        elif name == "api_url" and isinstance(value, str):
            result[name] = value.strip().rstrip("/")
        else:
            result[name] = value
    if result.get("flattening_enabled"):
        # The SDK would not start without it.
        result.setdefault("flattening_max_depth", FLATTENING_DEPTH)
    return result


def problems(
    config: dict[str, Any], *, now: int, under_meltano: bool = False
) -> Iterator[str]:
    """Find what is wrong with a configuration from `normalize`.

    Yields one sentence for each problem, which names the setting and what to do, and
    quotes no value that may be a secret. Meltano reads `.env` for the tap.
    """
    properties = SCHEMA["properties"]
    for name in SCHEMA["required"]:
        if name not in config:
            variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
            yield f"Setting `{name}` is missing: set " + (
                f"{variable} in `.env`, or run `meltano config set`."
                if under_meltano
                else f"it in the config file, or as {variable} with --config=ENV."
            )
    wrong = {error.path[0] for error in _VALIDATOR.iter_errors(config) if error.path}
    for name, value in config.items():
        if name in wrong:
            yield f"Setting `{name}` must be {_expected(properties[name])}."
        elif name in properties and not _is_text(value):
            yield (
                f"Setting `{name}` contains half of a surrogate pair, which is not a "
                "character: correct it."
            )
        elif name in _CHECKS:
            yield from _CHECKS[name](name, value)
        elif name not in properties and (
            close := difflib.get_close_matches(name, properties, 1, 0.8)
        ):
            yield f"Setting `{name}` is unknown: did you mean `{close[0]}`?"
    if "start_date" in config and wrong.isdisjoint({"start_date", "end_date"}):
        yield from _check_range(config["start_date"], config.get("end_date"), now)


def environment_problems(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each environment variable that cannot be parsed."""
    for name, schema in SCHEMA["properties"].items():
        text = environment.get(f"{ENVIRONMENT_PREFIX}{name.upper()}")
        if text is not None and not _readable(text, schema["type"][0]):
            yield f"Setting `{name}` must be {_expected(schema)}."


def builtin_problems(
    config: Mapping[str, Any], schema: Mapping[str, Any]
) -> Iterator[str]:
    """Find what is wrong with the settings that the SDK adds, by the schema of all.

    The SDK's own sentences quote values, which may be secrets.
    """
    for error in Draft7Validator(schema).iter_errors(config):
        name = f"Setting `{one_line('.'.join(map(str, error.path)))}`"
        if error.validator in {"type", "enum"}:
            yield f"{name} must be {_expected(error.schema)}."
        elif error.validator == "required":
            yield f"{name} is incomplete: {error.message}."
        else:
            yield f"{name} is malformed: `tap-akuity --about` shows its form."


def unknown_variables(
    environment: Mapping[str, str], names: Iterable[str], *, under_meltano: bool
) -> Iterator[str]:
    """Yield a sentence for each environment variable like a setting that is none.

    The names are those of all settings. Meltano sets variables of its own.
    """
    known = {name.upper() for name in names} | {"LOGLEVEL"}
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name == variable or name in known:
            continue
        if under_meltano and (
            "__" in variable  # Its own settings, such as TAP_AKUITY__SELECT.
            or name.startswith(tuple(f"{one}_" for one in known))  # Part of an object.
            # Of a plugin that inherits from this one, such as tap-akuity-prod.
            or name.endswith(tuple(f"_{one}" for one in known))
        ):
            continue
        close = difflib.get_close_matches(name, known, 1)
        yield f"The environment variable {variable} is unknown: " + (
            f"did you mean {ENVIRONMENT_PREFIX}{close[0]}?"
            if close
            else "it has no effect."
        )


_BOOLEANS = frozenset({"true", "1", "yes", "on", "false", "0", "no", "off", ""})
"""The texts that the SDK reads correctly as true, as false, or as not set."""


def _readable(text: str, kind: str) -> bool:
    """Return whether the SDK parses an environment variable correctly."""
    if kind == "boolean":
        return text.strip().lower() in _BOOLEANS
    if kind == "integer":
        try:
            int(text)
        except ValueError:
            return False
    return True


def _expected(schema: Mapping[str, Any]) -> str:
    """Describe the values that a schema allows."""
    match schema:
        case {"enum": values}:
            *others, last = (f"`{value}`" for value in values)
            return f"{', '.join(others)} or {last}"
        case {"format": "date-time"}:
            return "a date or time such as 2026-01-01 or 2026-01-01T08:30:00Z"
        case {"exclusiveMinimum": minimum, "maximum": maximum}:
            return f"a number greater than {minimum} and at most {maximum}"
        case {"minimum": minimum, "maximum": maximum}:
            return f"an integer from {minimum} to {maximum}"
        case {"minimum": minimum}:
            return f"an integer of at least {minimum}"
    kinds = schema["type"]
    return _EXPECTED[kinds if isinstance(kinds, str) else kinds[0]]


_EXPECTED = {
    "array": "a list of strings",
    "boolean": "true or false",
    "integer": "an integer",
    "number": "a number",
    "object": "a JSON object",
    "string": "a string",
}


def _is_text(value: object) -> bool:
    """Return whether a value, or each in a list, can be sent as UTF-8."""
    try:
        for text in value if isinstance(value, list) else [value]:
            str(text).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_range(start: str, end: str | None, now: int) -> Iterator[str]:
    if timestamps.parse(start) > now + timestamps.DAY:
        yield (
            "Setting `start_date` is more than a day in the future, so that nothing "
            "would be fetched: correct it."
        )
    if end and start >= end:
        yield "Setting `start_date` must be before `end_date`."


def _check_api_url(name: str, value: str) -> Iterator[str]:
    try:
        url = parse_url(value)  # As the client does.
    except LocationParseError:
        url = Url()
    is_strange = "\\" in value or not value.isprintable() or " " in value
    if is_strange or url.scheme not in {"http", "https"} or not url.host:
        yield f"Setting `{name}` must be a URL such as {DEFAULT_API_URL}."
    elif url.auth is not None:
        yield (
            f"Setting `{name}` must not contain a user name or a password: use "
            "`api_key_id` and `api_key_secret`."
        )
    elif "?" in value or "#" in value:
        yield f"Setting `{name}` must not contain a query or a fragment: remove it."
    elif url.scheme == "http" and url.host not in _LOOPBACK:
        yield (
            f"Setting `{name}` must begin with https://, or the API key would cross "
            "the network unencrypted."
        )


def _check_organization(name: str, value: str) -> Iterator[str]:
    if value != value.strip():
        yield (f"Setting `{name}` begins or ends with white space: remove it.")
    elif value in {".", ".."} or "/" in value:
        yield (
            f"Setting `{name}` must not be `.` or `..` nor contain a `/`: copy the id "
            "of the organization from Akuity."
        )


def _check_key(name: str, value: str) -> Iterator[str]:
    if not value.isascii():
        wrong = "contains a character that is not ASCII"
    elif value != value.strip():
        wrong = "begins or ends with a space or a line break"
    elif not value.isprintable():
        wrong = "contains a line break or another control character"
    elif name == "api_key_id" and ":" in value:
        wrong = "contains a colon"
    else:
        return
    yield f"Setting `{name}` {wrong}, unlike any API key: copy it again."


def _check_user_agent(name: str, value: str) -> Iterator[str]:
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        yield (
            f"Setting `{name}` must be printable ASCII without spaces around it: "
            "correct it."
        )


_CHECKS: dict[str, Any] = {
    "api_key_id": _check_key,
    "api_key_secret": _check_key,
    "api_url": _check_api_url,
    "organization_id": _check_organization,
    "user_agent": _check_user_agent,
}
