"""The parts of OCSF and ECS that the examples use, to check events against.

OCSF 1.7.0, the class Entity Management and its objects, from the published schema
(https://schema.ocsf.io/1.7.0/classes/entity_management). ECS 8.11.0, the field sets
that are used and the values that `event.category` and `event.type` may have.
"""

from __future__ import annotations

import ipaddress
from typing import Any, NamedTuple


class Attribute(NamedTuple):
    """What an attribute may hold; objects have attributes of their own."""

    type: type | dict[str, Attribute]
    required: bool = False
    values: frozenset[int | str] = frozenset()
    """All the values that it may have, if they are enumerated."""


class Any_(NamedTuple):  # noqa: N801 - a type beside those of the language
    """Marks what may be any JSON."""


_TEXT = Attribute(str)
_NUMBER = Attribute(int)
_ANY = Attribute(Any_)


def _one_of(*values: int | str, required: bool = False) -> Attribute:
    return Attribute(type(values[0]), required, frozenset(values))


_ACTIVITIES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 99)

ENTITY_MANAGEMENT = {
    "activity_id": _one_of(*_ACTIVITIES, required=True),
    "activity_name": _TEXT,
    "category_uid": _one_of(3, required=True),
    "category_name": _one_of("Identity & Access Management"),
    "class_uid": _one_of(3004, required=True),
    "class_name": _one_of("Entity Management"),
    "type_uid": _one_of(*(300400 + n for n in _ACTIVITIES), required=True),
    "type_name": _TEXT,
    "severity_id": _one_of(0, 1, 2, 3, 4, 5, 6, 99, required=True),
    "severity": _TEXT,
    "time": Attribute(int, required=True),
    "start_time": _NUMBER,
    "end_time": _NUMBER,
    "count": _NUMBER,
    "message": _TEXT,
    "metadata": Attribute(
        {
            "version": _one_of("1.7.0", required=True),
            "uid": _TEXT,
            "tenant_uid": _TEXT,
            "log_name": _TEXT,
            "original_time": _TEXT,
            "product": Attribute(
                {"name": _TEXT, "uid": _TEXT, "vendor_name": _TEXT}, required=True
            ),
        },
        required=True,
    ),
    "actor": Attribute(
        {
            "user": Attribute(
                {
                    "uid": _TEXT,
                    "name": _TEXT,
                    "type": _TEXT,
                    "type_id": _one_of(0, 1, 2, 3, 4, 99),
                }
            )
        }
    ),
    "src_endpoint": Attribute({"ip": Attribute(ipaddress.IPv4Address)}),
    "entity": Attribute(
        {
            "name": _TEXT,
            "uid": _TEXT,
            "type": _TEXT,
            "type_id": _one_of(0, 1, 2, 3, 4, 5, 6, 7, 99),
            "data": _ANY,
        },
        required=True,
    ),
    "unmapped": _ANY,
}

AT_LEAST_ONE = {
    "metadata.product": ("name", "uid"),
    "actor": ("user",),
    "actor.user": ("name", "uid"),
    "src_endpoint": ("ip",),
    "entity": ("name", "uid"),
}
"""Of the attributes of these objects, one must be there."""

CAPTIONS = {
    "activity": {0: "Unknown", 1: "Create", 2: "Read", 3: "Update", 4: "Delete"},
    "severity": {0: "Unknown", 1: "Informational"},
    "user_type": {0: "Unknown", 1: "User", 2: "Admin", 3: "System", 4: "Service"},
}
"""What the text beside a number has to say; beside 99 it is the source's own."""

ECS = {
    "@timestamp": Attribute(str, required=True),
    "message": _TEXT,
    "ecs": Attribute({"version": _one_of("8.11.0", required=True)}, required=True),
    "event": Attribute(
        {
            "id": _TEXT,
            "kind": _one_of("event"),
            "module": _TEXT,
            "dataset": _TEXT,
            "action": _TEXT,
            "category": Attribute(list, required=True),
            "type": Attribute(list, required=True),
        },
        required=True,
    ),
    "user": Attribute({"id": _TEXT, "name": _TEXT, "email": _TEXT}),
    "source": Attribute({"ip": Attribute(ipaddress.IPv4Address)}),
    "related": Attribute({"user": Attribute(list), "ip": Attribute(list)}),
    "orchestrator": Attribute(
        {
            "type": _TEXT,
            "organization": _TEXT,
            "namespace": _TEXT,
            "resource": Attribute({"type": _TEXT, "name": _TEXT}),
        }
    ),
    # Not of the schema: what it has no field for.
    "akuity": _ANY,
}

EXPECTED_TYPES = {
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
}
"""The values of `event.type` that go with a value of `event.category`."""


def problems(
    event: dict[str, Any], attributes: dict[str, Attribute], path: str = ""
) -> list[str]:
    """Say what about an event is not as its attributes should be."""
    found = [
        f"{path}{name} is missing"
        for name, attribute in attributes.items()
        if attribute.required and name not in event
    ]
    for name, value in event.items():
        where = path + name
        if name not in attributes:
            found.append(f"{where} is not in the schema")
            continue
        kind, _, values = attributes[name]
        if isinstance(kind, dict):
            if isinstance(value, dict):
                found += problems(value, kind, f"{where}.")
            else:
                found.append(f"{where} is not an object")
        elif kind is ipaddress.IPv4Address:
            ipaddress.ip_address(value)
        elif kind is not Any_ and (type(value) is not kind or value == ""):
            found.append(f"{where} is {value!r}")
        if values and value not in values:
            found.append(f"{where} is {value!r}, which is not in the enumeration")
    return found


def ocsf_problems(event: dict[str, Any]) -> list[str]:
    """Say what about an event is not as OCSF wants it."""
    found = problems(event, ENTITY_MANAGEMENT)
    for path, names in AT_LEAST_ONE.items():
        value: Any = event
        for part in path.split("."):
            value = (value or {}).get(part)
        if value is not None and not set(names) & value.keys():
            found.append(f"{path} has none of {names}")
    number = event["activity_id"]
    if event["type_uid"] != event["class_uid"] * 100 + number:
        found.append("type_uid does not follow from class_uid and activity_id")
    user = event.get("actor", {}).get("user", {})
    for kind, of, text in (
        ("activity", number, event["activity_name"]),
        ("severity", event["severity_id"], event["severity"]),
        ("user_type", user.get("type_id", 99), user.get("type")),
    ):
        if of != 99 and text != CAPTIONS[kind][of]:
            found.append(f"{kind} {of} is called {text!r}")
    return found


def ecs_problems(document: dict[str, Any]) -> list[str]:
    """Say what about a document is not as ECS wants it."""
    found = problems(document, ECS)
    (category,), (kind,) = document["event"]["category"], document["event"]["type"]
    if kind not in EXPECTED_TYPES.get(category, ()):
        found.append(f"{kind!r} does not go with {category!r}")
    return found
