"""What the tap takes from inside the SDK and others, because nothing public serves.

A comment at the place says why. ruff notices private members of other objects (SLF001).
"""

import importlib
import inspect
import pkgutil
import re

from singer_sdk import Stream, Tap

import tap_akuity

PARAMETERS = {
    (Stream, "_sync_records"): ["self", "context", "write_messages"],
    (Stream, "_write_state_message"): ["self"],
    (Tap, "_handle_termination"): ["self", "signum", "frame"],
    (Tap, "_validate_config"): ["self", "raise_errors"],
}
OTHERS = {"_config", "_tap", "_batch"}


def test_the_sdk_still_has_it():
    for (owner, name), parameters in PARAMETERS.items():
        signature = inspect.signature(getattr(owner, name))
        assert list(signature.parameters) == parameters


def private_names(text):
    return set(re.findall(r"\b_[a-z]\w*", text))


def test_nothing_else_private_is_touched():
    found = set()
    for _, name, _ in pkgutil.walk_packages(tap_akuity.__path__, "tap_akuity."):
        module = importlib.import_module(name)
        source = inspect.getsource(module)
        imports = re.findall(r"^ *(?:from|import) .*", source, re.MULTILINE)
        found |= private_names(" ".join(imports))
        classes = [one for _, one in inspect.getmembers(module, inspect.isclass)]
        for base in {base for one in classes for base in one.__mro__}:
            if base.__module__.startswith(("singer_sdk.", "requests.", "http.")):
                found |= private_names(source) & private_names(inspect.getsource(base))
    assert found == {name for _, name in PARAMETERS} | OTHERS
