"""Items of the API, and the events that they become."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import strategies as st

from tap_akuity.records import timestamps
from tap_akuity.records.event import Event, parse_items
from tap_akuity.records.members import UnknownMembers

if TYPE_CHECKING:
    from collections.abc import Iterable


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


members = st.none() | texts


def events_of(
    raw: bytes,
    organization_id: str = "org",
    most: int = 10,
    unknown: UnknownMembers | None = None,
    precision: str = "auto",
) -> list[Event]:
    return parse_items(
        msgspec.Raw(raw),
        organization_id,
        most=most,
        unknown=unknown or UnknownMembers(),
        precision=precision,
    )


def event_of(item: Any, organization_id: str = "org", **dump: Any) -> Event:
    (event,) = events_of(json.dumps([item], **dump).encode(), organization_id)
    assert b"\n" not in event.json
    return event


NOW = time.time_ns()


SECOND = 10**9


def go(seconds: float, *, since: int = NOW) -> str:
    """Write the time so many seconds after `since` as Go does."""
    text = timestamps.to_text(since + round(seconds * SECOND))
    return f"{text[:10]} {text[11:29].rstrip('0').rstrip('.')} +0000 UTC"


def item(seconds: float, name: str = "", **more: Any) -> dict[str, Any]:
    """Make an audit log so many seconds after now."""
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


def ids(items: Iterable[dict[str, Any]]) -> list[str]:
    return [event_of(one, "sandbox").id for one in items]
