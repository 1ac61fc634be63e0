"""Options: dataclasses whose fields are read from the command line or JSON."""

import argparse
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from inspect import getdoc
from math import inf
from typing import Any, NoReturn, TypeVar, get_args

from sandbox.timestamps import SECOND, from_rfc3339

_T = TypeVar("_T")


class Parser(argparse.ArgumentParser):
    """A parser that reports errors as exceptions."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as a `ValueError`."""
        raise ValueError(message)


def number(
    kind: type[int] | type[float], expected: str, least: float = 0, most: float = inf
) -> Callable[[str], float]:
    """Return a function that reads a number in this range."""

    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (value := kind(text)) <= most:
                return value
        message = f"must be {expected}, not {text!r}"
        raise argparse.ArgumentTypeError(message)

    return read


def add_options(parser: Parser, cls: type[Any], prefix: str = "") -> None:
    """Add an option for each field of `cls`.

    Its docstring is the help. A field's metadata are arguments of `add_argument`.
    """
    text = getdoc(cls) or ""
    group = parser.add_argument_group(text.partition(".")[0])
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", text, re.MULTILINE)
    descriptions = {name: " ".join(words.split()) for name, words in found}
    for field in fields(cls):
        default = "" if field.default in (None, ()) else f" Default: {field.default}."
        choices: dict[str, Any] = {"choices": get_args(field.type)}
        group.add_argument(
            "--" + (prefix + field.name).replace("_", "-"),
            dest=prefix + field.name,
            default=argparse.SUPPRESS,
            help=descriptions[field.name] + default,
            **{**_ARGUMENTS.get(field.type, choices), **field.metadata},
        )


def read_options(arguments: argparse.Namespace, cls: type[_T], prefix: str = "") -> _T:
    """Return `cls` with the values of the command line, and its defaults otherwise."""
    given = vars(arguments)
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    return cls(**{one: given[prefix + one] for one in names if prefix + one in given})


def from_json(content: Mapping[str, Any], cls: type[_T], prefix: str) -> _T:
    """Return `cls` with the values of a JSON object, read like the command line.

    Raises:
        ValueError: A member is unknown, or its value is not valid.
    """
    parser = Parser(add_help=False, allow_abbrev=False)
    add_options(parser, cls, prefix)
    arguments = []
    for name, value in content.items():
        values = value if isinstance(value, list) else [value]
        arguments += ["--" + (prefix + name).replace("_", "-"), *map(str, values)]
    return read_options(parser.parse_args(arguments), cls, prefix)


def _time(text: str) -> datetime:
    try:
        return datetime.fromtimestamp(from_rfc3339(text) // SECOND, UTC)
    except ValueError:
        message = f"must be a time such as 2026-01-01T08:30:00Z, not {text!r}"
        raise argparse.ArgumentTypeError(message) from None


_WHOLE = {"type": number(int, "a whole number of at least 0"), "metavar": "N"}
_ARGUMENTS: dict[object, dict[str, Any]] = {
    bool: {"action": argparse.BooleanOptionalAction},
    int: _WHOLE,
    int | None: _WHOLE,
    float: {"type": number(float, "a number of at least 0"), "metavar": "X"},
    str: {"metavar": "TEXT"},
    str | None: {"metavar": "TEXT"},
    datetime | None: {"type": _time, "metavar": "TIME"},
    tuple[str, ...]: {"nargs": "*", "metavar": "KIND"},
}
"""Arguments of `add_argument` for each type but literals."""
