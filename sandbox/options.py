"""Options as dataclasses, validated, and read from the command line or JSON."""

from __future__ import annotations

import re
from argparse import SUPPRESS, ArgumentTypeError, BooleanOptionalAction
from dataclasses import dataclass, fields
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
    from argparse import ArgumentParser, Namespace

_T = TypeVar("_T", bound="Checked")

SIGNED = {"signed": True}
"""Metadata of fields that may be negative."""

_NAMES = {
    bool: "true or false",
    datetime: "a time such as 2025-01-31T08:30:00Z",
    float: "a number",
    int: "a whole number",
    str: "a string",
    tuple: "a list of strings",
}


@dataclass(frozen=True)
class Checked:
    """A dataclass that checks the values of its fields."""

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            ValueError: A value has the wrong type, or is a negative number.
        """
        hints = get_type_hints(type(self))
        for field in fields(self):
            value = getattr(self, field.name)
            kind, optional = _kind(hints[field.name])
            signed = bool(field.metadata)
            unset = value is None and optional
            if not unset and not _fits(value, kind, signed=signed):
                expected = _expected(kind, signed=signed)
                message = f"{field.name} must be {expected}, not {value!r}"
                raise ValueError(message)


def from_json(cls: type[_T], content: dict[str, Any]) -> _T:
    """Return `cls` with the given fields, and its defaults for the others.

    Raises:
        ValueError: A field is unknown, or a value is not valid.
    """
    names = [field.name for field in fields(cls)]
    for name in content:
        if name not in names:
            message = f"unknown member {name!r}: choose from {', '.join(names)}"
            raise ValueError(message)
    return cls(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content.items()
        }
    )


def add_options(parser: ArgumentParser, cls: type[_T], prefix: str = "") -> None:
    """Add an option for each field of `cls`, with its docstring as the help."""
    text = getdoc(cls) or ""
    group = parser.add_argument_group(text.partition(".")[0])
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", text, re.MULTILINE)
    descriptions = {name: " ".join(words.split()) for name, words in found}
    hints = get_type_hints(cls)
    for field in fields(cls):
        kind, _ = _kind(hints[field.name])
        default = "" if field.default in (None, ()) else f" Default: {field.default}."
        group.add_argument(
            "--" + (prefix + field.name).replace("_", "-"),
            dest=prefix + field.name,
            default=SUPPRESS,
            help=(descriptions[field.name] + default).replace("%", "%%"),
            **_argument(kind, signed=bool(field.metadata)),
        )


def read_options(arguments: Namespace, cls: type[_T], prefix: str = "") -> _T:
    """Return `cls` with the values of the command line, and its defaults otherwise.

    Raises:
        ValueError: A value is not valid.
    """
    given = vars(arguments)
    names = [field.name for field in fields(cls) if prefix + field.name in given]
    return from_json(cls, {name: given[prefix + name] for name in names})


def _kind(hint: Any) -> tuple[Any, bool]:  # noqa: ANN401 - a type
    """Split an annotation into its type or literal, and whether it may be `None`."""
    if get_origin(hint) is tuple:
        return tuple, False
    if get_origin(hint) is Literal or isinstance(hint, type):
        return hint, False
    (kind,) = (each for each in get_args(hint) if each is not type(None))
    return kind, True


def _fits(value: object, kind: Any, *, signed: bool) -> bool:  # noqa: ANN401 - a type
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    if kind in (int, float):
        number = isinstance(value, int | kind) and not isinstance(value, bool)
        return number and (signed or value >= 0)  # type: ignore[operator]
    return isinstance(value, kind)


def _expected(kind: Any, *, signed: bool) -> str:  # noqa: ANN401 - a type
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    at_least = " of at least 0" if kind in (int, float) and not signed else ""
    return _NAMES[kind] + at_least


def _argument(kind: Any, *, signed: bool) -> dict[str, Any]:  # noqa: ANN401 - a type
    if kind is bool:
        return {"action": BooleanOptionalAction}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if kind is tuple:
        return {"nargs": "+", "metavar": "KIND"}

    def parse(text: str) -> Any:  # noqa: ANN401 - a value of that kind
        try:
            value = _instant(text) if kind is datetime else kind(text)
        except ValueError:
            value = None
        if not _fits(value, kind, signed=signed):
            message = f"must be {_expected(kind, signed=signed)}, not {text!r}"
            raise ArgumentTypeError(message)
        return value

    names = {int: "N", float: "X", datetime: "TIME", str: "TEXT"}
    return {"type": parse, "metavar": names[kind]}


def _instant(text: str) -> datetime:
    return datetime.fromtimestamp(from_rfc3339(text) // SECOND, timezone.utc)
