"""The detections and the formats of the examples, and events for them."""

import itertools
import json
import subprocess
from typing import Any

from scripts import ROOT
from scripts.examples import EXAMPLES, load
from scripts.warehouse import ask
from tests.helpers.events import ids
from tests.helpers.questions import event

DETECTIONS = EXAMPLES / "detections"
RULES = sorted(path.stem for path in (DETECTIONS / "rules").glob("*.yml"))

FORMATS = {"ocsf": ("ocsf_events", "event"), "ecs": ("ecs_events", "document")}
"""The view and its column of JSON, by the name of the file."""

GOLDEN = json.loads((ROOT / "tests/fixtures/formats.json").read_bytes())
"""An event of the API, and what it becomes in each format; its id reads `<id>`."""

ANN, BOB = "user ann@example.com 192.0.2.1", "user bob@example.com 192.0.2.2"

_HOURS = itertools.count()


def plant(rule, action, kind="", who=ANN, **more):
    """Make an event an hour after the one before, and name the rule that finds it."""
    days, hour = divmod(next(_HOURS), 24)
    return event(
        f"2025-11-{3 + days:02} {hour:02}:00:00", action, who, kind, **more
    ), rule


def deletions(day, seconds, who, hits):
    """Make eleven deletions at an interval, of which the last ones are too many."""
    for n in range(11):
        minute, second = divmod(n * seconds, 60)
        time = f"2025-12-{day:02} 12:{minute:02}:{second:02}"
        rule = "many_deletions" if n >= 11 - hits else ""
        yield event(time, "deleted", who, "pod"), rule


PLANTED = [
    plant("api_key_created", "created", "api_key"),
    plant("api_key_created", "created", "api_keys"),
    plant("", "created", "api-key"),
    plant("", "deleted", "api_key"),
    plant("notifications_changed", "updated", "notification_cfg"),
    plant("notifications_changed", "deleted", "notification_cfg"),
    plant("", "created", "notification_cfg"),
    plant("sso_changed", "created", "oidc_issuers"),
    plant("sso_changed", "deleted", "oidc_issuers"),
    plant("cluster_or_instance_removed", "deleted", "argocd_cluster"),
    plant("cluster_or_instance_removed", "deleted", "kargo_instance"),
    plant("", "updated", "argocd_cluster"),
    # For the formats: other actors, and what may be missing.
    plant("", "created", "custom_role", "api_key ci@example.com"),
    plant("", "synced", "project", "system gc"),
    plant("", "synced", "project", f"{ANN} mcp"),
    plant("", None, "project"),
    plant("", "", "project", details=None),
    plant("", "deleted", "", ""),
    plant("", "updated", "project", "user"),
    plant("", "updated", "project", actor={"ip": "2001:db8::1"}),
    plant("", "updated", "project", actor={"id": "zoe"}),
    plant("", "updated", "project", "robot r2"),
    # Ten deletions within ten minutes are too many, automation aside.
    *deletions(1, 60, ANN, hits=2),
    *deletions(2, 67, ANN, hits=0),
    *itertools.islice(deletions(3, 60, ANN, hits=2), 9),
    *itertools.islice(deletions(3, 60, BOB, hits=2), 9),
    *deletions(4, 1, "system gc", hits=0),
    (GOLDEN["event"], ""),
]
"""Events, each with the name of the rule that finds it."""

ITEMS = [item for item, _ in PLANTED]


def hits(name):
    """Return the ids of the events that a rule finds."""
    return sorted(ids(item for item, rule in PLANTED if rule == name))


def sql_of(path):
    return (EXAMPLES / path).read_text("utf-8")


def with_views(folder):
    """Load the events into DuckDB, and create the views."""
    import duckdb  # noqa: PLC0415

    path = load(folder / "examples", ITEMS)
    formats = EXAMPLES / "formats"
    command: list[Any] = ["sed", "-f", formats / "duckdb.sed"]
    command += [formats / f"{name}.sql" for name in FORMATS]
    views = subprocess.check_output(command, text=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql_of("detections/events.sql"))
        connection.execute(views)
    return path


def events_in(database, name):
    """Return the events in a format, by their ids."""
    view, column = FORMATS[name]
    rows = ask(database, f"SELECT id, {column} FROM akuity.{view}").rows  # noqa: S608
    return {name: json.loads(event) for name, event in rows}
