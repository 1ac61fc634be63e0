"""The detections and the normal forms of the examples, and events for them."""

import itertools
import json

from scripts import ROOT
from scripts.examples import EXAMPLES, ask, load
from tests.helpers.events import ids
from tests.helpers.questions import event

DETECTIONS = EXAMPLES / "detections"

RULES = sorted(path.stem for path in (DETECTIONS / "rules").glob("*.yml"))

FORMS = {"ocsf": ("ocsf_events", "event"), "ecs": ("ecs_events", "document")}
"""The view and its column of JSON, by the folder."""

GOLDEN = json.loads((ROOT / "tests/fixtures/normal_forms.json").read_bytes())
"""An event of the API, and what it becomes in each form; its id reads `<id>`."""

ANN = "user ann@example.com 192.0.2.1"
BOB = "user bob@example.com 192.0.2.2"
CI = "api_key ci@example.com"

_HOURS = itertools.count()


def plant(rules, action, kind="", who=ANN, **more):
    """Make an event an hour after the one before, and name the rules that find it."""
    days, hour = divmod(next(_HOURS), 24)
    time = f"2025-11-{3 + days:02} {hour:02}:00:00"
    return event(time, action, who, kind, **more), rules


def deletions(day, seconds, who, hits):
    """Make eleven deletions at an interval, of which the last ones are too many."""
    for n in range(11):
        minute, second = divmod(n * seconds, 60)
        time = f"2025-12-{day:02} 12:{minute:02}:{second:02}"
        rules = "many_deletions" if n >= 11 - hits else ""
        yield event(time, "deleted", who, "pod"), rules


PLANTED = [
    (event("2025-10-01 12:00:00", "logged_in", ANN), ""),
    (event("2025-10-01 12:00:00", "logged_in", BOB), ""),
    (event("2025-10-01 12:00:00", "logged_in", CI), ""),
    (event("2025-10-01 12:00:00", "logged_in", "system gc"), ""),
    plant("role_granted", "created", "custom_role"),
    plant("role_granted", "updated", "custom_roles"),
    plant("role_granted", "Created", "TEAM_MEMBER"),
    plant("role_granted", "updated", "team"),
    plant("role_granted", "created", "workspace_member"),
    plant("", "deleted", "custom_role"),
    plant("member_added", "invited", "organization_invite"),
    plant("member_added", "created", "member"),
    plant("", "logged_in", "member"),
    plant("member_added owner_granted", "updated", "member", name="Owner"),
    plant(
        "member_added owner_granted", "updated", "member", details={"patch": "OWNER"}
    ),
    plant("", "updated", "organization", name="owner"),
    plant("api_key_created", "created", "api_key"),
    plant("api_key_created", "regenerated", "api_keys"),
    plant("", "created", "api-key"),
    plant("", "deleted", "api_key"),
    plant("notifications_changed", "updated", "notification_cfg"),
    plant("notifications_changed", "deleted", "notification_cfg"),
    plant("", "created", "notification_cfg"),
    plant("sso_changed", "created", "oidc_issuers"),
    plant("sso_changed", "updated", "saml"),
    plant("sso_changed", "deleted", "sso_configuration"),
    plant("cluster_or_instance_removed", "deleted", "argocd_cluster"),
    plant("cluster_or_instance_removed", "deleted", "argocd_instance"),
    plant("cluster_or_instance_removed", "deleted", "kargo_agent"),
    plant("cluster_or_instance_removed", "deleted", "kargo_instance"),
    plant("", "updated", "argocd_cluster"),
    plant("ai_agent_change", "synced", "project", f"{ANN} mcp"),
    plant("new_actor", "refreshed", "project", "user eve"),
    plant("", "refreshed", "project", "user eve"),
    # What may be missing.
    plant("", None, "project"),
    plant("", "", "project", details=None),
    plant("", "deleted", "", ""),
    plant("", "updated", "project", "user"),
    plant("", "updated", "project", actor={"ip": "2001:db8::1"}),
    plant("new_actor", "updated", "project", actor={"id": "zoe"}),
    plant("new_actor", "updated", "project", "robot r2"),
    # From 7:59 to 18:00 on a Monday in Berlin, and on a Sunday.
    (event("2025-11-24 06:59:59", "updated", CI), "api_key_outside_hours"),
    (event("2025-11-24 07:00:00", "updated", CI), ""),
    (event("2025-11-24 16:59:59", "updated", CI), ""),
    (event("2025-11-24 17:00:00", "updated", CI), "api_key_outside_hours"),
    (event("2025-11-30 12:00:00", "updated", CI), "api_key_outside_hours"),
    # Ten deletions within ten minutes are too many, automation aside.
    *deletions(1, 60, ANN, hits=2),
    *deletions(2, 67, ANN, hits=0),
    *itertools.islice(deletions(3, 60, ANN, hits=2), 9),
    *itertools.islice(deletions(3, 60, BOB, hits=2), 9),
    *deletions(4, 1, "system gc", hits=0),
    (GOLDEN["event"], "ai_agent_change"),
]
"""Events, each with the names of the rules that find it."""

ITEMS = [item for item, _ in PLANTED]

HITS = {
    name: set(ids(item for item, rules in PLANTED if name in rules.split()))
    for name in RULES
}
"""The ids of the events that each rule finds."""


def with_views(folder):
    """Load the events into DuckDB, and create the views."""
    import duckdb  # noqa: PLC0415

    path = load(folder / "examples", ITEMS)
    views = [DETECTIONS / "events.sql", DETECTIONS / "findings.sql"]
    views += [EXAMPLES / form / "duckdb.sql" for form in FORMS]
    with duckdb.connect(str(path)) as connection:
        for view in views:
            connection.execute(view.read_text("utf-8"))
    return path


def events_in(database, form):
    """Return the events in a form, by their ids."""
    view, column = FORMS[form]
    rows = ask(database, f"SELECT id, {column} FROM akuity.{view}").rows  # noqa: S608
    return {name: json.loads(event) for name, event in rows}


def query(name):
    return (DETECTIONS / "sql" / f"{name}.sql").read_text("utf-8")
