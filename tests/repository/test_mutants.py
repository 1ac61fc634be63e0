"""The list of mutants that are accepted, and how it is compared with a run."""

from __future__ import annotations

import inspect
import pkgutil
import sys
from typing import Any

import pytest

from harness import ROOT
from scripts.mutants import ACCEPTED, Change, change_of, function_of, listed, problems
from tests.helpers.mutants import place_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MUTMUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
DOCUMENT = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))

DIFF = """\
--- tap_akuity/state.py
+++ tap_akuity/state.py
@@ -1,3 +1,3 @@
 def half(number):
-    return (
-        number / 2
-    )
+    return number * 2
"""


def test_a_diff_on_one_line() -> None:
    assert change_of(DIFF) == "return ( number / 2 ) → return number * 2"


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("tap_akuity.state.x__members__mutmut_4", "tap_akuity.state._members"),
        ("tap_akuity.state.x_normalize__mutmut_12", "tap_akuity.state.normalize"),
        (
            "tap_akuity.records.rows.xǁRowsǁ__init____mutmut_2",
            "tap_akuity.records.rows.Rows.__init__",
        ),
        (
            "tap_akuity.masking.xǁ_Secretsǁ_runs_in__mutmut_7",
            "tap_akuity.masking._Secrets._runs_in",
        ),
    ],
)
def test_the_function_of_a_mutant(name: str, function: str) -> None:
    assert function_of(name) == function


def test_what_differs_from_the_list_is_said() -> None:
    known, new, gone = Change("f", "a → b"), Change("f", "c → d"), Change("g", "e → f")
    tested = ["f", "g"]
    assert list(problems([known], [known], tested)) == []
    assert list(problems([known, new], [known], tested)) == [
        "Survives, and is not listed: f: c → d"
    ]
    assert list(problems([known], [known, gone], tested)) == [
        "Listed, but killed or gone: g: e → f"
    ]
    # Not if only others were tested.
    assert list(problems([known], [known, gone], ["f"])) == []


def test_each_accepted_mutant_has_a_reason() -> None:
    assert listed(DOCUMENT)
    for one in DOCUMENT["accepted"]:
        assert one.keys() == {"function", "kind", "reason", "changes"}
        assert one["kind"] in {"equivalent", "tolerated"}
        assert one["reason"].endswith("."), one
        assert one["changes"] == sorted(set(one["changes"])), one


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("change", listed(DOCUMENT), ids=lambda change: change.function)
def test_an_accepted_mutant_is_of_what_is_there(change: Change) -> None:
    found: Any = pkgutil.resolve_name(change.function)
    before = change.change.partition(" → ")[0]
    assert squeezed(before) in squeezed(inspect.getsource(found))


def test_each_module_that_is_mutated_has_tests() -> None:
    selected = MUTMUT["pytest_add_cli_args_test_selection"]
    for pattern in MUTMUT["only_mutate"]:
        paths = list(ROOT.glob(pattern))
        assert paths, pattern
        for path in paths:
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            place = place_of(module)
            assert (ROOT / place).exists()
            assert place.removesuffix("/") in selected
