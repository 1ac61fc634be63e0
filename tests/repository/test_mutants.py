"""The list of mutants that are accepted, and how it is compared with a run."""

import inspect
import pkgutil
import tomllib

import pytest

from scripts.mutants import ACCEPTED, Change, listed, problems

DOCUMENT = tomllib.loads(ACCEPTED.read_text(encoding="utf-8"))


def test_what_differs_from_the_list_is_said():
    known, new, gone = Change("f", "a → b"), Change("f", "c → d"), Change("g", "e → f")
    assert list(problems([known, new], [known, gone], ["f", "g"])) == [
        "Survives, and is not listed: f: c → d",
        "Listed, but killed or gone: g: e → f",
    ]
    # Not if only others were tested.
    assert list(problems([known], [known, gone], ["f"])) == []


def test_each_accepted_mutant_has_a_reason():
    for one in DOCUMENT["accepted"]:
        assert one.keys() == {"kind", "reason", "mutants"}
        assert one["kind"] in {"equivalent", "tolerated"}
        assert one["reason"].endswith("."), one
        assert one["mutants"] == sorted(set(one["mutants"])), one


def squeezed(text):
    return "".join(text.split())


@pytest.mark.parametrize("change", listed(DOCUMENT), ids=lambda change: change.function)
def test_an_accepted_mutant_is_of_what_is_there(change):
    found = pkgutil.resolve_name(change.function)
    before = change.change.partition(" → ")[0]
    assert squeezed(before) in squeezed(inspect.getsource(found))
