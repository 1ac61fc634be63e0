"""Stream maps: validation, and a clear message when one fails.

The maps themselves, and their expressions, are the SDK's.
"""

import ast
import copy
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from singer_sdk.exceptions import ConfigurationError
from singer_sdk.mapper import (
    MAPPER_ELSE_OPTION,
    MAPPER_FILTER_OPTION,
    MAPPER_SOURCE_OPTION,
    NULL_STRING,
    StreamMap,
)

_HASHES = frozenset({"md5", "sha256"})

_QUOTED = re.compile(r",? (for|in) expression.*", re.DOTALL)
"""The end of an SDK message that quotes the expression, which may hold a secret."""

NOTHING_LEFT = (
    "Setting `stream_maps` leaves no stream, so that nothing would be read: take out "
    "what is null or `__NULL__`."
)


class StreamMapError(ConfigurationError):
    """A stream map cannot be used; the text names it, and says why and what to do."""


def check(config: Mapping[str, Any], stream: str, keys: Sequence[str]) -> None:
    """Reject stream maps that cannot work, before anything is fetched.

    The stream needs the properties `keys`.

    Raises:
        StreamMapError: If one cannot work.
    """
    settings = config.get("stream_map_config") or {}
    for name, definition in _definitions(config):
        if not fnmatch(stream, definition.get(MAPPER_SOURCE_OPTION, name)):
            continue
        for key in keys:
            unmapped = None if MAPPER_ELSE_OPTION in definition else key
            if definition.get(key, unmapped) in {None, NULL_STRING}:
                raise StreamMapError(_removes(name, key))
        for place, expression in _expressions(definition):
            try:
                parsed = ast.parse(expression)
            except (SyntaxError, ValueError):
                parsed = None
            if not (parsed and parsed.body):
                raise StreamMapError(
                    f"Stream map `{name}` has an expression for `{place}` that is not "
                    "valid Python: correct it."
                )
            for setting in _settings(parsed):
                # Without a salt, hashes of short values are easily reversed.
                if settings.get(setting) == "" and _hashes(parsed):
                    raise StreamMapError(_lacks(name, place, setting))


def check_keys(stream_map: StreamMap, keys: Sequence[str]) -> None:
    """Reject a stream whose flattening cuts the names of the properties it needs.

    Raises:
        StreamMapError: If it cuts one; `check` has found all else that may lack.
    """
    for key in keys:
        if key not in stream_map.transformed_schema["properties"]:
            raise StreamMapError(
                f"Setting `flattening_max_key_length` cuts `{key}` short, without "
                "which nothing can be loaded safely: give it a greater number."
            )


def mapping(
    stream_map: StreamMap, config: Mapping[str, Any], keys: Sequence[str]
) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    """Wrap the transformation of a stream map.

    The function maps a record without flattening it, or returns None if it is filtered
    out. It raises `StreamMapError` on failure.
    """
    unflattened = copy.copy(stream_map)
    unflattened.flattening_options = None
    transform = unflattened.transform

    def apply(record: dict[str, Any]) -> dict[str, Any] | None:
        try:
            mapped = transform(record)
        except Exception as error:
            raise StreamMapError(_failure(stream_map, config, record, error)) from error
        if mapped is not None:
            for key in keys:
                if mapped.get(key) is None:
                    raise StreamMapError(_removes(stream_map.stream_alias, key))
        return mapped

    return apply


def _definitions(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in (config.get("stream_maps") or {}).items():
        if isinstance(definition, dict):
            yield name, definition


def _expressions(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for place, expression in definition.items():
        if place.startswith("__") and place != MAPPER_FILTER_OPTION:
            continue
        if isinstance(expression, str) and expression != NULL_STRING:
            yield place, expression


def _failure(
    stream_map: StreamMap,
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    error: Exception,
) -> str:
    # The evaluator keeps the last expression.
    evaluator = getattr(stream_map, "expr_evaluator", None)
    expression = getattr(evaluator, "expr", "")
    alias = stream_map.stream_alias
    places = [
        (name, place)
        # Of equal expressions, that of the stream's own map is meant.
        for name, definition in sorted(
            _definitions(config), key=lambda one: one[0] != alias
        )
        for place, found in _expressions(definition)
        if found == expression
    ]
    name, place = next(iter(places), (alias, "?"))
    settings = config.get("stream_map_config") or {}
    for setting in _settings(ast.parse(expression)):
        if settings.get(setting) is None:
            return _lacks(name, place, setting)
    return (
        f"Stream map `{name}` cannot compute `{place}` of the event of "
        f"{record.get('timestamp')}: correct the expression ({_reason(error)})."
    )


def _reason(error: Exception) -> str:
    """Explain why, without the expression or data of an event."""
    cause = error.__cause__ or error
    if isinstance(cause, KeyError):
        return f"there is no {cause}"
    if isinstance(cause, ValueError) and error is cause:
        return type(cause).__name__
    return _QUOTED.sub("", str(cause)) or type(cause).__name__


def _settings(parsed: ast.AST) -> Iterator[str]:
    """Yield the keys of `config` that an expression uses."""
    for node in ast.walk(parsed):
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and node.value.id == "config"
            and isinstance(node.slice, ast.Constant)
        ):
            yield str(node.slice.value)


def _hashes(parsed: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _HASHES
        for node in ast.walk(parsed)
    )


def _removes(name: str, key: str) -> str:
    return (
        f"Stream map `{name}` removes `{key}`, without which nothing can be loaded "
        "safely: keep it."
    )


def _lacks(name: str, place: str, setting: str) -> str:
    return (
        f"Stream map `{name}` computes `{place}` with `{setting}`, which is not set: "
        f"give `{setting}` a value in setting `stream_map_config`."
    )
