"""Who works on what in the sandbox's organization.

Each row of `things.csv` is a kind of object. Its cells name tuples in `WORDS` and
`WORKERS`; a value that names no tuple is used literally.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Worker(NamedTuple):
    """A person, key or program that acts; `None` in `ips` means "not recorded"."""

    type: str
    id: str
    ips: tuple[str | None, ...]


class Thing(NamedTuple):
    """A kind of object, and the actions on it.

    If it belongs to a Kargo project, the project has the name of its namespace.
    """

    workers: tuple[Worker, ...]
    type: str
    kind: str
    group: str
    names: tuple[str, ...]
    actions: tuple[str, ...]
    parents: tuple[str, ...]
    applications: tuple[str, ...]
    hash_digits: int
    namespaces: tuple[str, ...]
    in_project: bool


def _joined(firsts: tuple[str, ...], seconds: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{first}-{second}" for first in firsts for second in seconds)


DOMAIN = "northwind.example"
NAMES = (
    "alice.nguyen, ben.okafor, carla.rossi, Sarah Brown, dmitri.volkov, emre.çelik, "
    "fatima.zahra, george.o'neill, hana.sato, ines.garcía, jonas.müller, kofi.mensah, "
    "li.wei, on-call+sre"
)
PEOPLE = tuple(
    Worker("user", f"{name}@{DOMAIN}", (f"203.0.113.{n}", f"2001:db8:{n:x}::1f", None))
    for n, name in enumerate(NAMES.split(", "), 2)
)
KEY_NAMES = ("terraform", "github-actions", "renovate", f"Sarah Brown@{DOMAIN}")
KEYS = tuple(
    Worker("api_key", name, (f"198.51.100.{n}", None))
    for n, name in enumerate(KEY_NAMES, 2)
)
AUTOMATIONS = tuple(
    Worker("system", name, (None,))
    for name in ("argocd-application-controller", "kargo-controller", "image-updater")
)
WORKERS = {
    "people": PEOPLE,
    "staff": PEOPLE + KEYS,
    "everyone": PEOPLE + KEYS + 4 * AUTOMATIONS,
}

ENVIRONMENTS = ("dev", "test", "staging", "prod")
REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1")
SERVICES = (
    *("billing", "catalog", "checkout", "email", "frontend", "identity", "inventory"),
    *("ledger", "notifications", "orders", "payments", "pricing", "recommendations"),
    *("search", "shipping", "web-app"),
)
TEAMS = ("platform", "payments", "storefront", "data", "mobile", "security")
WORDS: dict[str, tuple[str, ...]] = {
    "": (),
    "applications": _joined(ENVIRONMENTS, SERVICES),
    "clusters": _joined(ENVIRONMENTS, REGIONS),
    "environments": ENVIRONMENTS,
    "instances": ("main", "edge", "sandbox"),
    "person_names": tuple(person.id for person in PEOPLE),
    "services": SERVICES,
    "teams": TEAMS,
    "workspaces": ("default", *TEAMS),
}

ACTION_TYPES = {
    "created": "CREATE",
    "deleted": "DELETE",
    "invited": "CREATE",
    "logged_in": "LOGIN",
    "logged_out": "LOGOUT",
    "promoted": "CREATE",
}
"""All other actions have the type UPDATE."""

PHRASES = {
    "regenerated": "secret regenerated",
    "synced": "synced to the desired revision",
}
"""The phrase of all other actions is their name."""

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


def _things() -> Iterator[Thing]:
    """Read the kinds of objects, each repeated according to its weight."""
    path = Path(__file__).with_name("things.csv")
    with path.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            words = {
                column: WORDS.get(row[column], (row[column],))
                for column in ("names", "parents", "applications", "namespaces")
            }
            thing = Thing(
                workers=WORKERS[row["workers"]],
                type=row["type"],
                kind=row["kind"],
                group=row["group"],
                actions=tuple(row["actions"].split()),
                hash_digits=int(row["hash_digits"] or 0),
                in_project=bool(row["in_project"]),
                **words,
            )
            yield from [thing] * int(row["weight"])


THINGS = tuple(_things())
