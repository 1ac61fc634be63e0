"""How the tests are laid out."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TESTS = ROOT / "tests"


def imported(path: Path) -> Iterator[str]:
    """Give the names that a module imports, each with the module that it is in."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{one.name}" for one in node.names)


def test_what_tests_share_is_in_the_helpers() -> None:
    for path in TESTS.rglob("*.py"):
        shared = {one for one in imported(path) if one.startswith("tests.")}
        assert {
            one for one in shared if not one.startswith("tests.helpers")
        } == set(), path


def test_a_folder_holds_tests_or_what_they_share() -> None:
    for path in TESTS.rglob("*.py"):
        if path.name not in {"__init__.py", "conftest.py"}:
            is_shared = path.parent.name == "helpers"
            assert path.name.startswith("test_") is not is_shared, path
