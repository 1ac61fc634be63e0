"""Items of the API, and the events that they become."""

import json
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import strategies as st

from sandbox.timestamps import to_go
from tap_akuity.records.event import Event, parse_items
from tap_akuity.records.members import UnknownMembers

NOW = time.time_ns()
SECOND = 10**9
WHEN = {"timestamp": "2026-01-01 00:00:00 +0000 UTC"}


def events_of(raw: bytes, organization_id: str = "org", **more: Any) -> list[Event]:
    options = {"most": 10, "unknown": UnknownMembers(), "precision": "auto", **more}
    return parse_items(msgspec.Raw(raw), organization_id, **options)


def event_of(item: Any, organization_id: str = "org") -> Event:
    (event,) = events_of(json.dumps([item]).encode(), organization_id)
    return event


def ids(items: Iterable[dict[str, Any]]) -> list[str]:
    return [event_of(one, "sandbox").id for one in items]


def go(seconds: float, *, since: int = NOW) -> str:
    """Write the time so many seconds after `since` as Go does."""
    return to_go(since + round(seconds * SECOND))


def item(seconds: float, name: str = "", **more: Any) -> dict[str, Any]:
    """Return an item so many seconds after now."""
    return {
        "timestamp": go(seconds),
        "action": "created",
        "actor": {"type": "user", "id": name or str(seconds)},
        "object": None,
        "details": None,
        "count": 1,
        "lastOccurredTimestamp": go(seconds),
        **more,
    }


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.sampled_from(
    ["action", "added", "labels", "team", "a__b", "_", "type", "ip", "self", "é"]
)
scalars = [None, True, False, 0, 1, -0.0, 0.1, 1e300, 2**70, "", "é\u2028", "0"]
values = st.recursive(
    st.sampled_from(scalars),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
    ),
    max_leaves=5,
)
times = st.sampled_from(
    ["2025-11-21 16:26:40.5 +0000 UTC", "2025-11-21T16:26:40.000000001+01:00"]
)


def objects(*strings: str, **more: Any) -> Any:
    """Make an object with some of these members, null or not, and with others."""
    known = dict.fromkeys(strings, texts) | more
    others = st.dictionaries(
        names.filter(lambda name: name not in known), values, max_size=2
    )
    optional = {name: st.none() | one for name, one in known.items()}
    return st.builds(dict.__or__, others, st.fixed_dictionaries({}, optional=optional))


items = objects(
    "action",
    actor=objects("type", "id", "ip", "origin"),
    object=objects(
        "type",
        id=objects("name", "kind", "group", "namespace"),
        parentId=objects("name", "parentName", "applicationName", "projectName"),
    ),
    details=objects("message", "patch", "actionType"),
    count=st.integers(0, 9),
    lastOccurredTimestamp=st.just("") | times,
)
items = st.builds(lambda one, time: {**one, "timestamp": time}, items, times)
"""Items with members that the schema knows, and others."""
