"""The recipes of `docs/recipes.md`, and what each makes of a row."""

import json
from hashlib import sha256

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


RECIPES = {
    chosen_by_the_api: "Only some events",
    chosen_by_a_map: "Only some events",
    hashed: "A hash instead of the IP address",
    renamed: "Names in snake_case",
    with_columns: "Columns for what people ask for",
    as_text: "Objects as JSON text",
    flattened: "Flat columns",
}
"""What each recipe with settings makes of a row, in the order of the page."""


def settings_of(recipe):
    """Return the settings that the page shows."""
    title = RECIPES[recipe]
    number = [one for one in RECIPES if RECIPES[one] == title].index(recipe)
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
    for one in map(settings_of, recipes):
        maps |= one.pop("stream_maps", {}).get("audit_logs", {})
        settings |= one
    if maps:
        settings["stream_maps"] = {"audit_logs": maps}

    def change(rows):
        for recipe in recipes:
            made = {name: recipe(row) for name, row in rows.items()}
            rows = {name: row for name, row in made.items() if row}
        return rows

    return settings, change
