import copy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_akuity.state import StateError, normalize
from tap_akuity.text.timestamps import parse

TIMES = ("replication_key_value", "not_before", "read_until")


def normalized(state):
    return normalize(
        state,
        stream="audit_logs",
        replication_key="timestamp",
        now=parse("2025-12-01T00:00:00Z"),
    )


def state_of(**bookmark):
    return {"bookmarks": {"audit_logs": bookmark}}


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        ("2025-11-21T17:26:40+01:00", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21 16:26:40 +0000 UTC", "2025-11-21T16:26:40.000000000Z"),
        (" 2025-11-21T16:26:40\n", "2025-11-21T16:26:40.000000000Z"),
        ("2025-11-21", "2025-11-21T00:00:00.000000000Z"),
    ],
)
def test_every_form_of_a_bookmark_is_understood(value, instant):
    state = state_of(**dict.fromkeys(TIMES, value))
    expected = dict.fromkeys(TIMES, instant) | {"replication_key": "timestamp"}
    assert normalized(state) == state_of(**expected)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"bookmarks": {}},
        {"bookmarks": {"audit_logs": {"note": 1}, "x": {"replication_key_value": 7}}},
        state_of(recount={"x": {"until": "2025-11-21", "loaded": {"2025-11-20": 3}}}),
    ],
)
def test_what_else_is_in_the_state_stays(state):
    assert normalized({"more": 1, **state}) == {"more": 1, **state}


NO_OBJECT = (
    "is not a JSON object: pass the value of a STATE message that the tap wrote, or "
    "remove the state to start over."
)
WRONG = {
    f"The state {NO_OBJECT}": [],
    f"The `bookmarks` of the state {NO_OBJECT}": {"bookmarks": []},
    f"The bookmark of `audit _logs` in the state {NO_OBJECT}": {
        "bookmarks": {"audit\n_logs": "x"}
    },
    "The state's bookmark of `audit_logs` is not one of `timestamp`: correct the "
    "state, or remove it to start over.": state_of(replication_key="count"),
    "`recount` of `audit_logs` in the state is malformed: remove it, and the last days "
    "are counted anew (Expected `object`, got `array`).": state_of(recount=[]),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_is_wrong_is_refused(sentence):
    with pytest.raises(StateError) as caught:
        normalized(WRONG[sentence])
    assert str(caught.value) == sentence


NO_TIME = (
    "is not a valid date or time: write it as 2026-01-01T08:30:00Z, or remove the "
    "state to start over."
)
FUTURE = (
    "is more than a day in the future, so that nothing would be fetched: correct it, "
    "or remove the state to start over."
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("soon", NO_TIME),
        (None, NO_TIME),
        (1732206400, NO_TIME),
        ("2025-12-02T00:00:00.000000001Z", FUTURE),
    ],
)
@pytest.mark.parametrize("name", TIMES)
def test_a_bookmark_that_cannot_be_is_refused(name, value, said):
    assert normalized(state_of(**{name: "2025-12-02T00:00:00Z"}))
    with pytest.raises(StateError) as caught:
        normalized(state_of(**{name: value}))
    assert str(caught.value) == f"`{name}` of `audit_logs` in the state {said}"


values = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["bookmarks", "audit_logs", "x"]), inner)
    ),
    max_leaves=5,
)
bookmarks = st.dictionaries(
    st.sampled_from(["replication_key", "recount", *TIMES, "x"]),
    values | st.sampled_from(["timestamp", "2025-01-01", "2025-01-01 00:00:00 Z"]),
)


@given(values | bookmarks.map(lambda bookmark: state_of(**bookmark)))
@example({"bookmarks": None})
def test_any_state_is_understood_or_refused(state):
    before = copy.deepcopy(state)
    try:
        result = normalized(state)
    except StateError as error:
        assert str(error).endswith(".")  # noqa: PT017, any other exception fails it
    else:
        assert repr(normalized(result)) == repr(result)
    assert repr(state) == repr(before)
