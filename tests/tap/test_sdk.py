"""What the tap takes from inside the SDK, so that a change there is noticed here.

Each of these is overridden or called because nothing public serves; a comment at the
place says why.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.plugin_base import PluginBase

import tap_akuity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGE = Path(tap_akuity.__file__).parent

PRIVATE: dict[tuple[type, str], str] = {
    (Stream, "_sync_records"): "(self, context=None, *, write_messages=True)",
    (Stream, "_write_starting_replication_value"): "(self, context)",
    (Stream, "_write_state_message"): "(self)",
    (Tap, "_validate_config"): "(self, *, raise_errors=True)",
}
ATTRIBUTES = {"_config", "_tap"}
MODULES = {"_batch"}  # For annotations, which nothing public serves.
PUBLIC = {"_replace", "_exit"}  # Documented, in spite of the name.


@pytest.mark.parametrize(("owner", "name"), PRIVATE)
def test_the_sdk_still_has_it(owner: type, name: str) -> None:
    signature = inspect.signature(getattr(owner, name))
    bare = signature.replace(
        parameters=[
            parameter.replace(annotation=parameter.empty)
            for parameter in signature.parameters.values()
        ],
        return_annotation=signature.empty,
    )
    assert str(bare) == PRIVATE[owner, name]


@pytest.mark.parametrize(
    ("name", "caller"),
    [
        ("_sync_records", Stream.sync),
        ("_validate_config", PluginBase.__init__),
    ],
)
def test_the_sdk_still_calls_what_is_overridden(
    name: str, caller: Callable[..., Any]
) -> None:
    assert f"self.{name}" in inspect.getsource(caller)


def test_nothing_else_private_is_touched() -> None:
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        module = importlib.import_module(name.removesuffix(".__init__"))
        found |= touched(path.read_text(encoding="utf-8"), vars(module))
    assert found - PUBLIC == {name for _, name in PRIVATE} | ATTRIBUTES | MODULES


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def touched(source: str, namespace: dict[str, Any]) -> set[str]:
    """Find the private names of others that a module defines anew, uses or imports."""
    tree = ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    foreign = {
        name
        for node in classes
        for name in defined(node)
        if is_foreign(name, namespace[node.name])
    }
    own = {name for node in classes for name in defined(node)} - foreign
    own |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    return foreign | {name for name in used(tree) if name not in own}


def defined(node: ast.ClassDef) -> Iterator[str]:
    """Give the private names of methods and attributes of a class."""
    for inner in ast.walk(node):
        match inner:
            case ast.FunctionDef(name=name) | ast.Name(id=name, ctx=ast.Store()):
                pass
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                pass
            case _:
                continue
        if is_private(name):
            yield name


def is_foreign(name: str, owner: type) -> bool:
    """Tell whether a class takes a name from a class of another package."""
    for base in owner.__mro__[1:]:
        if not base.__module__.startswith((tap_akuity.__name__, "builtins")):
            try:
                text = inspect.getsource(base)
            except (OSError, TypeError):  # It is written in C.
                text = " ".join(dir(base))
            if re.search(rf"\b{name}\b", text):
                return True
    return False


def used(tree: ast.AST) -> Iterator[str]:
    """Give the private names that are looked up, imported, or named in a text."""
    for node in ast.walk(tree):
        names: list[str] = []
        match node:
            case ast.Attribute(attr=name):
                names = [name]
            case ast.ImportFrom(module=module, names=aliases):
                names = [*(module or "").split("."), *(alias.name for alias in aliases)]
            case ast.Import(names=aliases):
                names = [part for alias in aliases for part in alias.name.split(".")]
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                names = [name]
        yield from filter(is_private, names)


class _Mine:
    pass


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("class C(Stream):\n def _sync_records(self): ...", {"_sync_records"}),
        ("class C(Stream):\n def __init__(self): self._tap = 1", {"_tap"}),
        ("class C(Stream):\n _page_size = 5\n def f(self): self.x", set()),
        ("class C(Tap):\n _config = {}", {"_config"}),
        ("class C(Stream):\n def f(self): return self._tap", {"_tap"}),
        ("class C(Mine):\n def _f(self): self._f(), self._g", {"_g"}),
        ("class C(Mine):\n def f(self, r): r._content = b''", {"_content"}),
        ("def f(r): return r._content", {"_content"}),
        ("def f(r): return getattr(r, '_content')", {"_content"}),
        ("import singer_sdk._logging", {"_logging"}),
        ("from singer_sdk._logging import x", {"_logging"}),
        ("from singer_sdk import _logging", {"_logging"}),
        ("from singer_sdk.helpers._util import x", {"_util"}),
    ],
)
def test_whatever_is_private_is_noticed(source: str, names: set[str]) -> None:
    bases = {"Stream": Stream, "Tap": Tap, "Mine": _Mine}
    base = re.search(r"class C\((\w+)\)", source)
    owner = type("C", (bases[base[1]],), {"__module__": "tap_akuity"}) if base else None
    assert touched(source, {"C": owner}) == names
