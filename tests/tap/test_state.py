from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_akuity.records.timestamps import parse
from tap_akuity.state import StateError, normalize

TIMES = ("replication_key_value", "not_before")


def normalized(state: Any) -> Any:
    return normalize(
        state,
        stream="audit_logs",
        replication_key="timestamp",
        now=parse("2025-12-01T00:00:00Z"),
    )


def state_of(value: Any, **more: Any) -> dict[str, Any]:
    return {"bookmarks": {"audit_logs": {"replication_key_value": value, **more}}}


@pytest.mark.parametrize(
    "value",
    [
        "2025-11-21T16:26:40Z",
        "2025-11-21T17:26:40+01:00",
        "2025-11-21 16:26:40 +0000 UTC",
        "2025-11-21T16:26:40.000000Z",
        "2025-11-21T16:26:40.000000000Z",
        "2025-11-21T16:26:40",
        " 2025-11-21T16:26:40Z\n",
    ],
)
def test_every_form_of_a_bookmark_is_understood(value: str) -> None:
    bookmark = normalized(state_of(value))["bookmarks"]["audit_logs"]
    assert bookmark["replication_key_value"] == "2025-11-21T16:26:40.000000000Z"
    assert bookmark["replication_key"] == "timestamp"


def test_a_date_alone_is_its_midnight() -> None:
    bookmark = normalized(state_of("2025-11-21"))["bookmarks"]["audit_logs"]
    assert bookmark["replication_key_value"] == "2025-11-21T00:00:00.000000000Z"


@pytest.mark.parametrize("state", [{}, {"bookmarks": {}}])
def test_no_bookmark_is_no_error(state: dict[str, Any]) -> None:
    assert normalized(state) == state


def test_what_else_is_in_the_state_stays() -> None:
    state = state_of("2025-11-21", note="kept")
    state["bookmarks"]["other"] = {"replication_key_value": 7}
    result = normalized(state)
    assert result["bookmarks"]["other"] == {"replication_key_value": 7}
    assert result["bookmarks"]["audit_logs"]["note"] == "kept"


@pytest.mark.parametrize("value", ["soon", "", None, 1732206400, ["2025-01-01"], {}])
@pytest.mark.parametrize("name", TIMES)
def test_a_bookmark_that_is_no_time_is_refused(name: str, value: Any) -> None:
    with pytest.raises(StateError) as caught:
        normalized({"bookmarks": {"audit_logs": {name: value}}})
    assert str(caught.value) == (
        f"`{name}` of `audit_logs` in the state is not a valid date or time: write it "
        "as 2025-01-31T08:30:00Z, or remove the state to start over."
    )


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ([], "state"),
        ("x", "state"),
        (5, "state"),
        ({"bookmarks": []}, "`bookmarks` of the state"),
        (
            {"bookmarks": {"audit\n_logs": "x"}},
            "bookmark of `audit _logs` in the state",
        ),
    ],
)
def test_another_shape_is_refused(state: Any, what: str) -> None:
    with pytest.raises(StateError) as caught:
        normalized(state)
    assert str(caught.value) == (
        f"The {what} is not a JSON object: pass the value of a STATE message that the "
        "tap wrote, or remove the state to start over."
    )


def test_a_bookmark_of_another_key_is_refused() -> None:
    with pytest.raises(StateError) as caught:
        normalized(state_of("2025-11-21", replication_key="count"))
    assert str(caught.value) == (
        "The state's bookmark of `audit_logs` is not one of `timestamp`: correct the "
        "state, or remove it to start over."
    )


@pytest.mark.parametrize("name", TIMES)
def test_a_bookmark_in_the_future_is_refused(name: str) -> None:
    soon = {"bookmarks": {"audit_logs": {name: "2025-12-02T00:00:00Z"}}}
    assert normalized(soon)["bookmarks"]["audit_logs"][name] > "2025-12-02"
    late = {"bookmarks": {"audit_logs": {name: "2025-12-02T00:00:00.000000001Z"}}}
    with pytest.raises(StateError) as caught:
        normalized(late)
    assert str(caught.value) == (
        f"`{name}` of `audit_logs` in the state is more than a day in the future, so "
        "that nothing would be fetched: correct it, or remove the state to start over."
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
bookmarks = st.dictionaries(
    st.sampled_from(["replication_key", "replication_key_value", "not_before", "x"]),
    json_values | st.sampled_from(["timestamp", "2025-01-01", "2025-01-01 00:00:00 Z"]),
)
states = st.one_of(
    json_values,
    st.fixed_dictionaries({"bookmarks": json_values}),
    st.fixed_dictionaries(
        {"bookmarks": st.fixed_dictionaries({"audit_logs": bookmarks | json_values})}
    ),
)


@given(states)
@example({"bookmarks": {"audit_logs": None}})
def test_any_state_is_understood_or_refused(state: Any) -> None:
    before = copy.deepcopy(state)
    try:
        result = normalized(state)
    except StateError as error:
        assert str(error).endswith(".")  # noqa: PT017, any other exception fails it
    else:
        again = normalized(result)
        assert repr(again) == repr(result)
    assert repr(state) == repr(before)


@pytest.mark.parametrize("recount", [None, [], {"x": {"until": "soon"}}])
def test_malformed_counts_are_refused(recount: Any) -> None:
    with pytest.raises(StateError, match=r"`recount` of `audit_logs` in the state is"):
        normalized(state_of("2025-11-21", recount=recount))


def test_counts_stay_as_they_are() -> None:
    recount = {"x": {"until": "2025-11-21", "loaded": {"2025-11-20": 3}}}
    state = normalized(state_of("2025-11-21", recount=recount, checked_on="2025-11-21"))
    assert state["bookmarks"]["audit_logs"]["recount"] == recount
    assert state["bookmarks"]["audit_logs"]["checked_on"] == "2025-11-21"
