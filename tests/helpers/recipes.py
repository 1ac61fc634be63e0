"""The recipes of `docs/recipes.md`, and what each makes of a row."""

import json
from hashlib import sha256
from itertools import starmap

import yaml

from sandbox.truth import OBJECTS, find, flattened
from tests.helpers.readme import blocks, section


def chosen_by_the_api(row):
    if row["action"] not in {"created", "deleted"}:
        return None
    return row if find(row, ("actor", "type")) in {"user", "api_key"} else None


def chosen_by_a_map(row):
    return None if find(row, ("object", "type")) == "k8s_resource" else row


def hashed(row):
    actor = row["actor"]
    if not actor:
        return row
    ip = actor.get("ip") and sha256(f"pepper{actor['ip']}".encode()).hexdigest()
    names = ("id", "type", "origin")
    return row | {"actor": {**{name: actor.get(name) for name in names}, "ip": ip}}


def renamed(row):
    row["last_occurred_at"] = row.pop("lastOccurredTimestamp")
    return row


def with_columns(row):
    return row | {
        "actor_id": find(row, ("actor", "id")),
        "object_type": find(row, ("object", "type")),
        "object_name": find(row, ("object", "id", "name")),
    }


def as_text(row):
    texts = {
        f"{one}_json": json.dumps(row.pop(one), ensure_ascii=False) for one in OBJECTS
    }
    return row | texts


CHANGES = {
    "Only some events": [chosen_by_the_api, chosen_by_a_map],
    "A hash instead of the IP address": [hashed],
    "Names in snake_case": [renamed],
    "Columns for what people ask for": [with_columns],
    "Objects as JSON text": [as_text],
    "Flat columns": [flattened],
}
"""For each recipe with settings, what each of its blocks makes of a row or drops."""

RECIPES = [
    (title, n) for title, changes in CHANGES.items() for n in range(len(changes))
]


def settings_of(title, number):
    """Return the settings that a recipe shows."""
    shown = yaml.safe_load(blocks(section(title), "(?:json|yaml)")[number])
    settings = shown.get("config", shown)
    if "stream_map_config" in settings:
        assert settings["stream_map_config"] == {"salt": "$AUDIT_LOG_SALT"}
        settings["stream_map_config"] = {"salt": "pepper"}
    return settings


def combined(*recipes):
    """Return the settings of several recipes, and what makes of rows what they do."""
    settings: dict[str, object] = {}
    maps: dict[str, object] = {}
    for one in starmap(settings_of, recipes):
        maps |= one.pop("stream_maps", {}).get("audit_logs", {})
        settings |= one
    if maps:
        settings["stream_maps"] = {"audit_logs": maps}

    def change(rows):
        for title, number in recipes:
            made = {name: CHANGES[title][number](row) for name, row in rows.items()}
            rows = {name: row for name, row in made.items() if row}
        return rows

    return settings, change
