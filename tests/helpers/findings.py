"""What the detections should find, worked out from events in the API's own form.

Pure, and nothing here comes from the tap, the rules or the SQL: a check that shares
their code would share their mistakes.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sandbox.timestamps import from_record
from tests.helpers.questions import text, when
from tests.helpers.truth import event_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.helpers.questions import Item

Ids = set[str]

ALICE = {"type": "user", "id": "alice.nguyen@northwind.example", "ip": "203.0.113.2"}
"""Somebody whom the history knows."""

_MONDAY_NOON = datetime(2025, 11, 3, 11, tzinfo=timezone.utc)
"""In Berlin, after the history's end."""


def planted() -> list[tuple[Item, set[str]]]:
    """Give events, and by the names of the rules what finds each."""
    key = {"type": "api_key", "id": "terraform", "ip": "198.51.100.2"}
    events: list[tuple[Item, set[str]]] = []

    def plant(
        action: str, kind: str | None, *rules: str, name: str = "x", **others: Any
    ) -> None:
        moment = _MONDAY_NOON + timedelta(minutes=len(events))
        item = others.pop("at", None) or moment
        stamp = f"{item:%Y-%m-%d %H:%M:%S.%f}789 +0000 UTC"
        identity = {"name": name, "kind": "", "group": "", "namespace": ""}
        event: Item = {
            "timestamp": stamp,
            "lastOccurredTimestamp": stamp,
            "count": 1,
            "action": action,
            "actor": ALICE,
            "object": kind and {"type": kind, "id": identity, "parentId": None},
            "details": {"message": f"{kind} {name}", "patch": "", "actionType": ""},
        }
        events.append((event | others, set(rules)))

    plant("created", "custom_role", "role_granted")
    plant("updated", "workspace_member", "role_granted")
    plant("Created", "TEAM_MEMBER", "role_granted")
    plant("created", "team_member", "role_granted")
    plant("updated", "team", "role_granted")
    plant("invited", "organization_invite", "member_added")
    owner = {"message": "m", "patch": '{"role": "Owner"}', "actionType": "UPDATE"}
    plant("updated", "member", "member_added", "owner_granted", details=owner)
    plant("created", "api_key", "api_key_created")
    plant("regenerated", "api_keys", "api_key_created")
    night = datetime(2025, 11, 3, 23, tzinfo=timezone.utc)
    plant("synced", "argocd_application", "api_key_outside_hours", actor=key, at=night)
    plant("deleted", "notification_cfg", "notifications_changed")
    plant("updated", "oidc_issuers", "sso_changed")
    plant("deleted", "sso_configuration", "sso_changed")
    plant("deleted", "argocd_cluster", "cluster_or_instance_removed")
    plant("deleted", "kargo_instance", "cluster_or_instance_removed")
    agent = ALICE | {"origin": "mcp"}
    plant("synced", "argocd_application", "ai_agent_change", actor=agent)
    mallory = {"type": "user", "id": "mallory@northwind.example", "origin": ""}
    plant("refreshed", "argocd_application", "new_actor", actor=mallory)
    # Ten within ten minutes: the tenth and the eleventh are too many.
    start = datetime(2025, 11, 4, 12, tzinfo=timezone.utc)
    for n in range(11):
        at = start + timedelta(seconds=60 * n)
        rules = ("many_deletions",) if n >= 9 else ()
        plant("deleted", "k8s_resource", *rules, name=f"pod-{n}", at=at)

    # And what looks like it, and is not.
    plant("deleted", "custom_role")
    plant("logged_in", "member", actor=mallory)
    plant("deleted", "api_key")
    plant("synced", "argocd_application", actor=key)
    plant("created", "notification_cfg")
    plant("updated", "argocd_cluster")
    plant("updated", "organization", details=owner)
    plant("deleted", None, actor=None)
    system = {"type": "system", "id": "kargo-controller"}
    for n in range(12):
        at = start + timedelta(seconds=n)
        plant("deleted", "k8s_resource", name=f"s-{n}", actor=system, at=at)
    # At most nine of these are within ten minutes.
    for n in range(11):
        at = start + timedelta(days=1, seconds=67 * n)
        plant("deleted", "k8s_resource", name=f"slow-{n}", at=at)
    events.sort(key=lambda event: when(event[0]))
    return events


def hits(items: list[Item], organization_id: str) -> dict[str, Ids]:
    """Give the ids of the events that each rule should find, by the rule's name."""

    def found(chosen: Iterable[Item]) -> Ids:
        return {identify(item, organization_id) for item in chosen}

    def of(actions: str, *kinds: str) -> list[Item]:
        return [
            item
            for item in items
            if (item["action"] or "").lower() in actions.split()
            and (text(item, "object", "type") or "").lower().startswith(kinds)
        ]

    def actor(item: Item) -> tuple[str | None, str | None]:
        return text(item, "actor", "type"), text(item, "actor", "id")

    def is_night(item: Item) -> bool:
        moment = when(item).replace(tzinfo=timezone.utc)
        local = moment.astimezone(ZoneInfo("Europe/Berlin"))
        return local.weekday() > 4 or not 8 <= local.hour <= 17

    ordered = sorted(items, key=lambda i: (when(i), identify(i, organization_id)))
    known = when(ordered[0]) + timedelta(days=14)
    first = {actor(item): item for item in reversed(ordered)}
    deletions = [item for item in of("deleted", "") if actor(item)[0] != "system"]
    members = of("created invited updated", "member", "organization_invite")
    return {
        "role_granted": found(
            of("created updated", "custom_role", "workspace_member", "team")
        ),
        "member_added": found(members),
        "owner_granted": found(
            item
            for item in members
            if "owner"
            in "".join(
                text(item, "details", name) or "" for name in ("patch", "message")
            ).lower()
        ),
        "api_key_created": found(of("created regenerated", "api_key")),
        "api_key_outside_hours": found(
            item for item in items if actor(item)[0] == "api_key" and is_night(item)
        ),
        "notifications_changed": found(of("updated deleted", "notification_cfg")),
        "sso_changed": found(of("created updated deleted", "oidc", "sso", "saml")),
        "cluster_or_instance_removed": found(
            of(
                "deleted",
                *("argocd_cluster", "argocd_instance", "kargo_agent", "kargo_instance"),
            )
        ),
        "ai_agent_change": found(
            item for item in items if text(item, "actor", "origin") == "mcp"
        ),
        "new_actor": found(
            item
            for (_, who), item in first.items()
            if who is not None and when(item) >= known
        ),
        "many_deletions": found(
            item
            for item in deletions
            if sum(
                actor(other) == actor(item)
                and timedelta(0) <= when(item) - when(other) <= timedelta(minutes=10)
                for other in deletions
            )
            >= 10
        ),
    }


def identify(item: Item, organization_id: str) -> str:
    """Compute the id of an event."""
    return event_id(item, organization_id, from_record(item["timestamp"]))
