"""Options: dataclasses whose fields are read from the command line."""

import argparse
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from inspect import getdoc
from typing import Any, TypeVar, get_args

_T = TypeVar("_T")


def add_options(
    parser: argparse.ArgumentParser, cls: type[Any], prefix: str = ""
) -> None:
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


def _matching(
    pattern: str, read: Callable[[str], Any], expected: str
) -> Callable[[str], Any]:
    def value(text: str) -> Any:  # noqa: ANN401 - what `read` returns
        if re.fullmatch(pattern, text, re.ASCII):
            return read(text)
        message = f"must be {expected}, not {text!r}"
        raise argparse.ArgumentTypeError(message)

    return value


_WHOLE = _matching(r"\d+", int, "a whole number of at least 0")
_NUMBER = _matching(r"\d+(\.\d+)?", float, "a number of at least 0")
_TIME = _matching(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
    datetime.fromisoformat,
    "a time such as 2026-01-01T08:30:00Z",
)
_ARGUMENTS: dict[object, dict[str, Any]] = {
    bool: {"action": argparse.BooleanOptionalAction},
    int: {"type": _WHOLE, "metavar": "N"},
    int | None: {"type": _WHOLE, "metavar": "N"},
    float: {"type": _NUMBER, "metavar": "X"},
    str: {"metavar": "TEXT"},
    str | None: {"metavar": "TEXT"},
    datetime | None: {"type": _TIME, "metavar": "TIME"},
    tuple[str, ...]: {"nargs": "*", "metavar": "KIND"},
}
"""Arguments of `add_argument` for each type but literals."""
