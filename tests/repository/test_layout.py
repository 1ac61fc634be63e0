"""How the tests are laid out."""

import re

from scripts import ROOT


def test_what_tests_share_is_in_the_helpers():
    for path in (ROOT / "tests").rglob("*.py"):
        imported = re.findall(
            r"^ *(?:from|import) (tests\b\S*)", path.read_text(), re.MULTILINE
        )
        assert all(one.startswith("tests.helpers") for one in imported), path
        if path.name not in {"__init__.py", "conftest.py"}:
            is_shared = path.parent.name == "helpers"
            assert path.name.startswith("test_") is not is_shared, path
