import pytest

from tap_akuity.records.filters import ActorFilter, Unmatched, listed
from tests.helpers.events import event_of

ACTOR = {"type": "user", "id": "Ada", "ip": "0:0::1", "origin": "mcp"}
EVENT = event_of({"timestamp": "2026-01-01T00:00:00Z", "action": "a", "actor": ACTOR})
NOBODY = event_of({"timestamp": "2026-01-01T00:00:00Z", "actor": None})


def test_values_that_no_event_has_are_left():
    unmatched = Unmatched(
        {
            "actions": ["A", "crea\ntd", "gone"],
            "actor_types": ["usr", "user"],
            "actor_ids": ["ada", "x"],
            "actor_ips": ["::1", "::2"],
            "origins": ["mcp"],
        }
    )
    unmatched.observe([NOBODY, EVENT])
    assert listed(unmatched.values) == (
        "`actions`: crea td, gone; `actor_types`: usr; `actor_ids`: x; `actor_ips`: ::2"
    )
    of_few = Unmatched({"actions": ["a", "b"], "origins": [""]})
    of_few.observe([NOBODY, EVENT])
    assert of_few.values == {"actions": ["b"]}


@pytest.mark.parametrize(
    ("origins", "addresses", "wanted"),
    [
        ([], [], [EVENT, NOBODY]),
        (["ui", "mcp"], [], [EVENT]),
        ([], ["::1"], [EVENT]),
        (["mcp"], ["::1", "x"], [EVENT]),
        (["mcp"], ["::2"], []),
        (["ui"], ["::1"], []),
        ([""], [""], [NOBODY]),
    ],
)
def test_only_wanted_origins_and_addresses_match(origins, addresses, wanted):
    actor_filter = ActorFilter(origins, addresses)
    assert bool(actor_filter) == bool(origins or addresses)
    assert [one for one in (EVENT, NOBODY) if actor_filter.matches(one)] == wanted
