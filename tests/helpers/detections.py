"""The detections and the formats of the examples, and events for them."""

import itertools
import json
import subprocess
from typing import Any

from scripts import ROOT
from scripts.examples import EXAMPLES
from scripts.warehouse import ask
from tests.helpers.events import ids
from tests.helpers.questions import event
from tests.helpers.readme import Folder

DETECTIONS = EXAMPLES / "detections"

FORMATS = {"ocsf": ("ocsf_events", "event"), "ecs": ("ecs_events", "document")}
"""The view and its column of JSON, by the name of the file."""

GOLDEN = json.loads((ROOT / "tests/fixtures/formats.json").read_bytes())
"""An event of the API, and what it becomes in each format; its id reads `<id>`."""

ANN, BOB = "user ann@example.com 192.0.2.1", "user bob@example.com 192.0.2.2"

FOUND_BY = {
    "api_key_created": ["created api_key", "created api_keys"],
    "notifications_changed": ["updated notification_cfg", "deleted notification_cfg"],
    "sso_changed": ["created oidc_issuers", "deleted oidc_issuers"],
    "cluster_or_instance_removed": ["deleted argocd_cluster", "deleted kargo_instance"],
    "": ["created api-key", "created notification_cfg", "updated argocd_cluster"],
}
"""Actions and types of objects, by the rule that finds them."""

_hours = itertools.count()


def plant(action, kind, who=ANN):
    """Make an event an hour after the one before."""
    return event(f"2025-11-03 {next(_hours):02}:00:00", action, who, kind)


VARIANTS = [
    (plant("created", "custom_role"), "1 Create, 1 User, iam, creation"),
    (plant("updated", "api_keys"), "3 Update, 1 User, iam, change"),
    (plant("synced", "oidc_issuers", "system gc"), "99 synced, 3 System, iam, info"),
    (
        plant("deleted", "api_key", "api_key ci@example.com"),
        "4 Delete, 4 Service, iam, deletion",
    ),
    (plant(None, "project", "user zoe"), "0 Unknown, 1 User, configuration, info"),
    (plant("", "project", "robot r2"), "0 Unknown, 99 robot, configuration, info"),
    (plant("updated", "x", "- zoe"), "3 Update, 0 Unknown, configuration, change"),
    (plant("updated", "x", "user"), "3 Update, -, configuration, change"),
    (plant("updated", "x", "- - 2001:db8::1"), "3 Update, -, configuration, change"),
    (plant("deleted", "", ""), "4 Delete, -, configuration, deletion"),
]
"""Events, and what the formats make of their actions, actors and objects."""


def deletions(day, seconds, who, hits):
    """Make eleven deletions at an interval, of which the last ones are too many."""
    for n in range(11):
        minute, second = divmod(n * seconds, 60)
        time = f"2025-12-{day:02} 12:{minute:02}:{second:02}"
        rule = "many_deletions" if n >= 11 - hits else ""
        yield rule, event(time, "deleted", who, "pod")


PLANTED = [
    *(
        (rule, plant(*words.split()))
        for rule, found in FOUND_BY.items()
        for words in found
    ),
    *(("", item) for item, _ in VARIANTS),
    # Ten deletions within ten minutes are too many, automation aside.
    *deletions(1, 60, ANN, hits=2),
    *deletions(2, 67, ANN, hits=0),
    *itertools.islice(deletions(3, 60, ANN, hits=2), 9),
    *itertools.islice(deletions(3, 60, BOB, hits=2), 9),
    *deletions(4, 1, "system gc", hits=0),
    ("", event("2025-12-05 12:00:00", "updated", details=None)),
    ("", GOLDEN["event"]),
]
"""Events, each with the name of the detection that finds it."""

ITEMS = [item for _, item in PLANTED]


def hits(name):
    """Return the ids of the events that a detection finds."""
    return sorted(ids(item for rule, item in PLANTED if rule == name))


def sql_of(path):
    return (EXAMPLES / path).read_text("utf-8")


def with_views(folder):
    """Load the events into DuckDB, and create the views."""
    formats = EXAMPLES / "formats"
    command: list[Any] = ["sed", "-f", formats / "duckdb.sed"]
    command += [formats / f"{name}.sql" for name in FORMATS]
    views = subprocess.check_output(command, text=True)
    loaded = Folder(folder).fill(ITEMS)
    loaded.ask(sql_of("detections/events.sql") + views)
    return loaded.path / "audit.duckdb"


def events_in(database, name):
    """Return the events in a format, by their ids."""
    view, column = FORMATS[name]
    rows = ask(database, f"SELECT id, {column} FROM akuity.{view}").rows  # noqa: S608
    return {name: json.loads(event) for name, event in rows}
