"""Who works on what in the sandbox's organization."""

from __future__ import annotations

from typing import NamedTuple


class Worker(NamedTuple):
    """Someone, or something, that acts; `ips` holds `None` for "not recorded"."""

    type: str
    id: str
    ips: tuple[str | None, ...]


class Deed(NamedTuple):
    """What can be done to a thing."""

    action: str
    action_type: str
    phrase: str


class Thing(NamedTuple):
    """A kind of object; `weight` says how often `workers` work on it.

    The project of Kargo that it is in, if it is, has the name of its namespace.
    """

    weight: int
    workers: tuple[Worker, ...]
    type: str
    kind: str
    group: str
    names: tuple[str, ...]
    deeds: tuple[Deed, ...]
    parents: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    hash_digits: int = 0
    namespaces: tuple[str, ...] = ()
    in_project: bool = False


def _people(*names: str) -> tuple[Worker, ...]:
    return tuple(
        Worker("user", name, (f"203.0.113.{n}", f"2001:db8:{n:x}::1f", None))
        for n, name in enumerate(names, 2)
    )


def _keys(*names: str) -> tuple[Worker, ...]:
    return tuple(
        Worker("api_key", name, (f"198.51.100.{n}", None))
        for n, name in enumerate(names, 2)
    )


def _joined(firsts: tuple[str, ...], seconds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{first}-{second}" for first in firsts for second in seconds)


PEOPLE = _people(
    "alice.nguyen@northwind.example",
    "ben.okafor@northwind.example",
    "carla.rossi@northwind.example",
    "Sarah Brown@northwind.example",
    "dmitri.volkov@northwind.example",
    "emre.çelik@northwind.example",
    "fatima.zahra@northwind.example",
    "george.o'neill@northwind.example",
    "hana.sato@northwind.example",
    "ines.garcía@northwind.example",
    "jonas.müller@northwind.example",
    "kofi.mensah@northwind.example",
    "li.wei@northwind.example",
    "on-call+sre@northwind.example",
)
KEYS = _keys("terraform", "github-actions", "renovate", "Sarah Brown@northwind.example")
AUTOMATIONS = (
    Worker("system", "argocd-application-controller", (None,)),
    Worker("system", "kargo-controller", (None,)),
    Worker("system", "image-updater", (None,)),
)
STAFF = PEOPLE + KEYS
EVERYONE = STAFF + 4 * AUTOMATIONS

ENVIRONMENTS = ("dev", "test", "staging", "prod")
REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1")
SERVICES = (
    "billing",
    "catalog",
    "checkout",
    "email",
    "frontend",
    "identity",
    "inventory",
    "ledger",
    "notifications",
    "orders",
    "payments",
    "pricing",
    "recommendations",
    "search",
    "shipping",
    "web-app",
)
TEAMS = ("platform", "payments", "storefront", "data", "mobile", "security")
APPLICATIONS = _joined(ENVIRONMENTS, SERVICES)
CLUSTERS = _joined(ENVIRONMENTS, REGIONS)
INSTANCES = ("main", "edge", "sandbox")
WORKSPACES = ("default", *TEAMS)
PERSON_NAMES = tuple(person.id for person in PEOPLE)

CREATED = Deed("created", "CREATE", "created")
UPDATED = Deed("updated", "UPDATE", "updated")
DELETED = Deed("deleted", "DELETE", "deleted")
SYNCED = Deed("synced", "UPDATE", "synced to the desired revision")
ROLLED_BACK = Deed("rolled_back", "UPDATE", "rolled back")
REFRESHED = Deed("refreshed", "UPDATE", "refreshed")
PROMOTED = Deed("promoted", "CREATE", "promoted")
APPROVED = Deed("approved", "UPDATE", "approved")
CONNECTED = Deed("connected", "UPDATE", "connected")
DISCONNECTED = Deed("disconnected", "UPDATE", "disconnected")
UPGRADED = Deed("upgraded", "UPDATE", "upgraded")
INVITED = Deed("invited", "CREATE", "invited")
LOGGED_IN = Deed("logged_in", "LOGIN", "logged in")
LOGGED_OUT = Deed("logged_out", "LOGOUT", "logged out")
ROTATED = Deed("regenerated", "UPDATE", "secret regenerated")

CHANGES = (CREATED, UPDATED, UPDATED, UPDATED, DELETED)

THINGS = (
    Thing(
        30,
        EVERYONE,
        "argocd_application",
        "Application",
        "argoproj.io",
        APPLICATIONS,
        (SYNCED, SYNCED, SYNCED, REFRESHED, UPDATED, UPDATED, ROLLED_BACK, CREATED),
        INSTANCES,
        namespaces=("argocd",),
    ),
    Thing(
        16,
        EVERYONE,
        "k8s_resource",
        "Pod",
        "",
        SERVICES,
        (CREATED, DELETED, DELETED, UPDATED),
        CLUSTERS,
        APPLICATIONS,
        10,
        TEAMS,
    ),
    Thing(
        8,
        EVERYONE,
        "k8s_resource",
        "Deployment",
        "apps",
        SERVICES,
        (UPDATED,),
        CLUSTERS,
        APPLICATIONS,
        namespaces=TEAMS,
    ),
    Thing(
        12,
        EVERYONE,
        "kargo_promotion",
        "Promotion",
        "kargo.akuity.io",
        ENVIRONMENTS,
        (PROMOTED, PROMOTED, DELETED),
        SERVICES,
        hash_digits=26,
        namespaces=TEAMS,
        in_project=True,
    ),
    Thing(
        6,
        EVERYONE,
        "kargo_freight",
        "Freight",
        "kargo.akuity.io",
        ("freight",),
        (CREATED, APPROVED),
        SERVICES,
        hash_digits=40,
        namespaces=TEAMS,
    ),
    Thing(
        3,
        STAFF,
        "kargo_stage",
        "Stage",
        "kargo.akuity.io",
        ENVIRONMENTS,
        CHANGES,
        SERVICES,
        namespaces=TEAMS,
    ),
    Thing(
        5,
        STAFF,
        "argocd_cluster",
        "Cluster",
        "argoproj.io",
        CLUSTERS,
        (CONNECTED, DISCONNECTED, UPGRADED, UPDATED, CREATED, DELETED),
        INSTANCES,
    ),
    Thing(2, STAFF, "argocd_instance", "ArgoCD", "", INSTANCES, (UPDATED, UPGRADED)),
    Thing(
        2,
        STAFF,
        "argocd_project",
        "AppProject",
        "argoproj.io",
        TEAMS,
        CHANGES,
        INSTANCES,
    ),
    Thing(1, STAFF, "kargo_instance", "Kargo", "", INSTANCES, (UPDATED, UPGRADED)),
    Thing(2, STAFF, "kargo_agent", "Agent", "", CLUSTERS, CHANGES, INSTANCES),
    Thing(
        10,
        PEOPLE,
        "member",
        "Member",
        "",
        PERSON_NAMES,
        (LOGGED_IN, LOGGED_IN, LOGGED_OUT),
    ),
    Thing(
        1, PEOPLE, "organization_invite", "Invite", "", PERSON_NAMES, (INVITED, DELETED)
    ),
    Thing(
        2, PEOPLE, "workspace_member", "Member", "", PERSON_NAMES, CHANGES, WORKSPACES
    ),
    Thing(1, PEOPLE, "workspace", "Workspace", "", WORKSPACES, CHANGES),
    Thing(2, PEOPLE, "custom_role", "CustomRole", "", TEAMS, CHANGES),
    Thing(
        2,
        PEOPLE,
        "api_key",
        "ApiKey",
        "",
        TEAMS,
        (CREATED, ROTATED, DELETED),
        (),
        (),
        8,
    ),
    Thing(1, PEOPLE, "notification_cfg", "NotificationConfig", "", TEAMS, CHANGES),
    Thing(1, STAFF, "addon_repo", "AddonRepo", "", TEAMS, CHANGES, INSTANCES),
)

REMARKS = (
    "requested in OPS-4711",
    'note: "do not touch before Monday"',
    "first line\nsecond line",
    "größere Änderung, siehe Änderungsantrag",
    "rollout 🚀 finished 👩‍💻",
    "تمت المراجعة",
    "נבדק ואושר",
    "緊急対応",
    "path C:\\deploy\\values.yaml",
    "tab\there",
)
