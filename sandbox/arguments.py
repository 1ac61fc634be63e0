"""Command line options for the fields of a dataclass, and back."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import fields
from datetime import datetime, timezone
from inspect import getdoc
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from sandbox.timestamps import SECOND, from_rfc3339

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T", bound="DataclassInstance")


def add_options(parser: ArgumentParser, cls: type[_T], prefix: str = "") -> None:
    """Add an option for each field of `cls`."""
    group = parser.add_argument_group(cls.__name__, getdoc(cls))
    hints = get_type_hints(cls)
    for field in fields(cls):
        group.add_argument(
            _flag(prefix, field.name),
            dest=prefix + field.name,
            default=SUPPRESS,
            help=f"default: {field.default}",
            **_settings(hints[field.name]),
        )


def read_options(arguments: Namespace, cls: type[_T], prefix: str = "") -> _T:
    """Return `cls` with what the command line says; its own defaults for the rest.

    Raises:
        ValueError: `cls` refuses a value.
    """
    given = vars(arguments)
    names = [field.name for field in fields(cls) if prefix + field.name in given]
    values = [given[prefix + name] for name in names]
    frozen = [tuple(value) if isinstance(value, list) else value for value in values]
    return cls(**dict(zip(names, frozen, strict=True)))


def _flag(prefix: str, name: str) -> str:
    return "--" + (prefix + name).replace("_", "-")


def _settings(hint: Any) -> dict[str, Any]:  # noqa: ANN401 - a type
    if hint is bool:
        return {"action": BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is tuple:
        return {"nargs": "+"}
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    kind = kinds[0] if kinds else hint
    return {"type": _instant if kind is datetime else kind}


def _instant(text: str) -> datetime:
    return datetime.fromtimestamp(from_rfc3339(text) // SECOND, timezone.utc)
