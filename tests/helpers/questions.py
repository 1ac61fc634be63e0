"""What the SQL of the examples should find, worked out from the sandbox's own events.

Pure, and nothing here comes from the tap or from the SQL: a check that shares its code
would share its mistakes.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta, timezone
from statistics import median
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from demo.comparison import parse_time
from sandbox.timestamps import from_record
from tests.helpers.truth import event_id, find

if TYPE_CHECKING:
    from collections.abc import Iterable

Item = dict[str, Any]
Rows = list[tuple[Any, ...]]
_Deed = tuple[datetime, str | None]


def expected(items: list[Item], organization_id: str) -> dict[str, Rows]:
    """Give the rows of each query, by its name."""
    ids = {
        id(item): event_id(item, organization_id, from_record(item["timestamp"]))
        for item in items
    }
    # The newest first, to the microsecond, and by id within one.
    newest = sorted(items, key=lambda item: ids[id(item)])
    newest.sort(key=when, reverse=True)
    return {
        "deletions": _deletions(newest),
        "api_keys_outside_hours": _api_keys_outside_hours(items),
        "first_seen": _first_seen(items),
        "access_changes": _access_changes(newest),
        "ai_agents": _ai_agents(newest),
    }


def with_gaps(items: Iterable[Item]) -> list[Item]:
    """Leave out, by turns, what may be missing."""
    gaps: list[Item] = [
        {},
        {"actor": None},
        {"object": None},
        {"action": None},
        {"actor": {"ip": "192.0.2.1"}},
        {"details": None},
        {"actor": {"type": "api_key", "ip": ""}},
    ]
    return [item | gap for item, gap in zip(items, itertools.cycle(gaps), strict=False)]


def when(item: Item) -> datetime:
    """Give the time in UTC, as a table has it."""
    return parse_time(item["timestamp"])


def text(item: Item, *path: str) -> str | None:
    """Give a text."""
    found: str | None = find(item, path)
    return found


def per_day(items: Iterable[Item]) -> Counter[tuple[str, date]]:
    """Count the events of each type of actor and day."""
    return Counter(
        (text(item, "actor", "type") or "unknown", when(item).date()) for item in items
    )


def release_days(items: Iterable[Item]) -> list[date]:
    """Give the days with at least three times as many promotions as usual."""
    promoted = Counter(
        when(item).date() for item in items if item["action"] == "promoted"
    )
    usual = median(promoted.values())
    return sorted(day for day, number in promoted.items() if number >= 3 * usual)


def _deletions(newest: list[Item]) -> Rows:
    return [
        (
            when(item).replace(microsecond=0),
            text(item, "actor", "type"),
            text(item, "actor", "id"),
            text(item, "actor", "ip"),
            text(item, "object", "type"),
            text(item, "object", "id", "name"),
            text(item, "object", "parentId", "name"),
        )
        for item in newest
        if item["action"] == "deleted" and text(item, "actor", "type") != "system"
    ]


def _api_keys_outside_hours(items: list[Item]) -> Rows:
    found: dict[tuple[date, str | None], list[_Deed]] = defaultdict(list)
    for item in items:
        moment = when(item).replace(tzinfo=timezone.utc)
        local = moment.astimezone(ZoneInfo("Europe/Berlin"))
        working = local.weekday() < 5 and 8 <= local.hour <= 17
        if text(item, "actor", "type") == "api_key" and not working:
            key = (local.date(), text(item, "actor", "id"))
            found[key].append((local, item["action"]))
    rows = sorted(
        found.items(),
        key=lambda row: (row[0][0], len(row[1]), max(row[1], key=_moment)[0]),
        reverse=True,
    )
    return [
        (
            day,
            who,
            len(events),
            min(events, key=_moment)[0].time().replace(microsecond=0),
            max(events, key=_moment)[0].time().replace(microsecond=0),
            ", ".join(sorted({action for _, action in events if action})) or None,
        )
        for (day, who), events in rows
    ]


def _moment(deed: _Deed) -> datetime:
    return deed[0]


def _first_seen(items: list[Item]) -> Rows:
    seen: dict[tuple[str | None, ...], list[datetime]] = defaultdict(list)
    for item in items:
        who = text(item, "actor", "id")
        if who is not None:
            address = (text(item, "actor", "type"), who, text(item, "actor", "ip"))
            seen[address].append(when(item))
    begin = min(map(min, seen.values()))
    rows = []
    for (kind, who, ip), moments in seen.items():
        of_actor = [
            min(others) for actor, others in seen.items() if actor[:2] == (kind, who)
        ]
        is_new_actor = min(moments) == min(of_actor)
        known = min(moments) < begin + timedelta(days=14)
        if not known and (ip is not None or is_new_actor):
            new = "actor" if is_new_actor else "address"
            rows.append((min(moments), new, kind, who, ip, len(moments)))
    rows.sort(key=lambda row: row[0], reverse=True)
    return [(first.replace(microsecond=0), *others) for first, *others in rows]


def _access_changes(newest: list[Item]) -> Rows:
    access = (
        "api_key",
        "custom_role",
        "member",
        "organization_invite",
        "team",
        "team_member",
        "workspace_member",
    )
    return [
        (
            when(item).replace(microsecond=0),
            text(item, "actor", "id"),
            text(item, "actor", "ip"),
            item["action"],
            text(item, "object", "type"),
            text(item, "object", "id", "name"),
            text(item, "object", "parentId", "name"),
        )
        for item in newest
        if text(item, "object", "type") in access
        and item["action"] not in {"logged_in", "logged_out"}
    ]


def _ai_agents(newest: list[Item]) -> Rows:
    return [
        (
            when(item).replace(microsecond=0),
            text(item, "actor", "type"),
            text(item, "actor", "id"),
            item["action"],
            text(item, "object", "type"),
            text(item, "object", "id", "name"),
            text(item, "object", "parentId", "name"),
        )
        for item in newest
        if text(item, "actor", "origin") == "mcp"
    ]
