"""Who works on what in the sandbox's organization.

Each row of `things.csv` is a kind of object, with the actions on it. Its cells name
lists of `vocabulary.toml`, in `WORDS`, and of `WORKERS`; a value that names no list is
used literally. What is `in_project` belongs to the Kargo project of its namespace.
"""

import csv
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Thing = dict[str, Any]
FOLDER = Path(__file__).parent
LISTS = ("names", "parents", "applications", "namespaces")


class Worker(NamedTuple):
    """A person, key or program that acts; `None` in `ips` means "not recorded"."""

    type: str
    id: str
    ips: tuple[str | None, ...]


WORDS: dict[str, Any] = tomllib.loads((FOLDER / "vocabulary.toml").read_text("utf-8"))
ENVIRONMENTS = WORDS["environments"]
PEOPLE = [
    Worker("user", name, (f"203.0.113.{n}", f"2001:db8:{n:x}::1f", None))
    for n, name in enumerate(WORDS["people"], 2)
]
KEYS = [
    Worker("api_key", name, (f"198.51.100.{n}", None))
    for n, name in enumerate(WORDS["keys"], 2)
]
AUTOMATIONS = [Worker("system", name, (None,)) for name in WORDS["automations"]]
WORKERS = {
    "people": PEOPLE,
    "staff": PEOPLE + KEYS,
    "everyone": PEOPLE + KEYS + 4 * AUTOMATIONS,
}
WORDS |= {
    "": [],
    "applications": [f"{e}-{one}" for e in ENVIRONMENTS for one in WORDS["services"]],
    "clusters": [f"{e}-{one}" for e in ENVIRONMENTS for one in WORDS["regions"]],
    "person_names": [person.id for person in PEOPLE],
    "workspaces": ["default", *WORDS["teams"]],
}


def _things() -> Iterator[Thing]:
    """Read the kinds of objects, each repeated according to its weight."""
    with (FOLDER / "things.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            words = {name: WORDS.get(row[name], [row[name]]) for name in LISTS}
            workers, actions = WORKERS[row["workers"]], row["actions"].split()
            thing = {**row, **words, "workers": workers, "actions": actions}
            yield from [thing] * int(row["weight"])


THINGS = tuple(_things())
