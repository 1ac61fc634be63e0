"""Which tests have to kill a mutant: those of its own package, not all that reach it.

A plugin of pytest for `make mutants`; mutmut names the mutant in the environment.
"""

import os


def place_of(module):
    """Return how the paths of a module's tests begin."""
    package, *name = module.removeprefix("tap_akuity.").split(".")
    return f"tests/tap/{package}/" if name else "tests/tap/test_"


def pytest_collection_modifyitems(config, items):
    """Leave out the tests of other packages."""
    module, _, mutant = os.environ.get("MUTANT_UNDER_TEST", "").rpartition(".")
    if "__mutmut_" in mutant:
        place = place_of(module)
        others = [item for item in items if not item.nodeid.startswith(place)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item.nodeid.startswith(place)]
