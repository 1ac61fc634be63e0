"""The query of a request, parsed as the gateway parses it."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from sandbox.errors import ApiError
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
    """Time bounds, limit and offset, and the values that match, by name of filter."""

    start_ns: int | None = None
    end_ns: int | None = None
    limit: int | None = None
    offset: int = 0
    filters: Mapping[str, Collection[str]] = field(default_factory=dict)


def parse(query_string: str) -> Query:
    """Parse a query string, ignoring unknown parameters as the gateway does."""
    values = parse_qs(query_string, keep_blank_values=True)
    return Query(
        start_ns=_one(values, "startTime", from_rfc3339),
        end_ns=_one(values, "endTime", from_rfc3339),
        limit=_one(values, "limit", _uint32),
        offset=_one(values, "offset", _uint32) or 0,
        filters={
            name: frozenset(values[f"filters.{name}"])
            for name in FILTERS
            if f"filters.{name}" in values
        },
    )


def _one(
    values: Mapping[str, list[str]], name: str, read: Callable[[str], int]
) -> int | None:
    given = values.get(f"filters.{name}")
    if given is None:
        return None
    try:
        (text,) = given
        return read(text)
    except ValueError:
        problem = f'invalid value for field "{name}": {", ".join(given)}'
        raise ApiError(400, problem) from None


def _uint32(text: str) -> int:
    # Ten digits at most: int() of a very long text fails.
    if re.fullmatch("[0-9]{1,10}", text) and int(text) < 1 << 32:
        return int(text)
    raise ValueError(text)
