"""What the tap takes from inside the SDK, so that a change there is noticed here.

Each of these is overridden or called because nothing public serves; a comment at the
place says why.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.plugin_base import PluginBase

import tap_akuity

if TYPE_CHECKING:
    from collections.abc import Callable

PRIVATE: dict[tuple[type, str], str] = {
    (Stream, "_sync_records"): "(self, context=None, *, write_messages=True)",
    (Stream, "_write_starting_replication_value"): "(self, context)",
    (Stream, "_write_state_message"): "(self)",
    (Tap, "_handle_termination"): "(self, signum, frame)",
    (Tap, "_setup_signal_handlers"): "(self)",
    (Tap, "_validate_config"): "(self, *, raise_errors=True)",
}
ATTRIBUTES = {"_config", "_tap"}


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
        ("_setup_signal_handlers", PluginBase.__init__),
        ("_handle_termination", PluginBase._setup_signal_handlers),
    ],
)
def test_the_sdk_still_calls_what_is_overridden(
    name: str, caller: Callable[..., Any]
) -> None:
    assert f"self.{name}" in inspect.getsource(caller)


def test_nothing_else_private_is_touched() -> None:
    found = set()
    for path in Path(tap_akuity.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        own |= {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        found |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and node.attr not in own
        }
    allowed = {name for _, name in PRIVATE} | ATTRIBUTES | {"_replace", "_exit"}
    assert found <= allowed
