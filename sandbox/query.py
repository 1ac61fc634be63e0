"""The query of a request, parsed as the gateway parses it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from sandbox.errors import ApiError, Code
from sandbox.timestamps import from_rfc3339

# The members that filters apply to.
FILTERS = {
    "action": ("action",),
    "actorType": ("actor", "type"),
    "actorId": ("actor", "id"),
    "origin": ("actor", "origin"),
    "actorIp": ("actor", "ip"),
}
NEWER_FILTERS = ("origin", "actorIp")


@dataclass(frozen=True)
class Query:
    """Time bounds, limit and offset, and filters: the values that match by name.

    The names of filters are those in `FILTERS`.
    """

    start_ns: int | None = None
    end_ns: int | None = None
    limit: int | None = None
    offset: int = 0
    filters: Mapping[str, Collection[str]] = field(default_factory=dict)


def parse(query_string: str) -> Query:
    """Parse a query string, ignoring unknown parameters as the gateway does.

    Raises:
        ApiError: A parameter is given twice, or is not valid.
    """
    values = parse_qs(query_string, keep_blank_values=True)
    return Query(
        start_ns=_time(values, "startTime"),
        end_ns=_time(values, "endTime"),
        limit=_uint32(values, "limit"),
        offset=_uint32(values, "offset") or 0,
        filters={
            name: frozenset(values[f"filters.{name}"])
            for name in FILTERS
            if f"filters.{name}" in values
        },
    )


def _single(values: Mapping[str, list[str]], name: str) -> str | None:
    given = values.get(f"filters.{name}", [])
    if len(given) > 1:
        message = f'too many values for field "{name}": {", ".join(given)}'
        raise ApiError(Code.INVALID_ARGUMENT, message)
    return given[0] if given else None


def _uint32(values: Mapping[str, list[str]], name: str) -> int | None:
    text = _single(values, name)
    if text is None:
        return None
    # Ten digits at most: int() of a very long text fails.
    if re.fullmatch("[0-9]{1,10}", text) and int(text) < 1 << 32:
        return int(text)
    message = f'parsing field "{name}": strconv.ParseUint: parsing "{text}"'
    raise ApiError(Code.INVALID_ARGUMENT, message)


def _time(values: Mapping[str, list[str]], name: str) -> int | None:
    text = _single(values, name)
    if text is None:
        return None
    try:
        return from_rfc3339(text)
    except ValueError:
        message = f'invalid {name}: parsing time "{text}" as RFC 3339'
        raise ApiError(Code.INVALID_ARGUMENT, message) from None
