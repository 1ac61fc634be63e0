"""`make mutants` prints what survives."""

from scripts import mutants
from tests.helpers.mutants import place_of

RESULTS = """
    tap_akuity.state.x_normalize__mutmut_7: survived
    tap_akuity.state.x_normalize__mutmut_8: killed
    tap_akuity.api.client.xǁAkuityClientǁget__mutmut_1: no tests
    tap_akuity.tap.x_main__mutmut_2: timeout
    tap_akuity.tap.x_main__mutmut_3: not checked
"""


def test_survivors():
    assert mutants.survivors(RESULTS) == [
        "tap_akuity.state.x_normalize__mutmut_7",
        "tap_akuity.api.client.xǁAkuityClientǁget__mutmut_1",
    ]


def test_tests_of_a_module():
    assert place_of("tap_akuity.api.client") == "tests/tap/api/"
    assert place_of("tap_akuity.tap") == "tests/tap/test_"
