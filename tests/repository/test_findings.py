"""The detections and the formats of the examples, on DuckDB."""

import json
import re

import pytest
import yaml
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from sandbox.timestamps import from_record
from sandbox.truth import find
from scripts.warehouse import ask
from tests.helpers.detections import (
    DETECTIONS,
    FORMATS,
    GOLDEN,
    ITEMS,
    RULES,
    events_in,
    hits,
    sql_of,
    with_views,
)
from tests.helpers.events import ids
from tests.helpers.readme import NEEDS_DUCKDB


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return with_views(tmp_path_factory.mktemp("findings"))


@NEEDS_DUCKDB
def test_many_deletions(database):
    result = ask(database, sql_of("detections/many_deletions.sql"))
    found = [row[result.columns.index("id")] for row in result.rows]
    assert sorted(found) == hits("many_deletions") != []


def test_the_page_lists_the_detections():
    page = (DETECTIONS / "README.md").read_text("utf-8")
    for name in RULES:
        text = (DETECTIONS / "rules" / f"{name}.yml").read_text("utf-8")
        rule = yaml.safe_load(text)
        row = rf"^\| \[`{name}`\]\(rules/{name}.yml\) .* {rule['level']} \|$"
        assert re.search(row, page, re.MULTILINE), row


@NEEDS_DUCKDB
def test_ocsf_events_are_valid(database):
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.7.0"))
    validator = Draft202012Validator(schema.get_class_schema("entity_management"))
    for event in events_in(database, "ocsf").values():
        validator.validate(event)


@NEEDS_DUCKDB
@pytest.mark.parametrize("form", FORMATS)
def test_a_whole_event(form, database):
    (name,) = ids([GOLDEN["event"]])
    text = json.dumps(events_in(database, form)[name]).replace(name, "<id>")
    assert json.loads(text) == GOLDEN[form]


# What an action is in OCSF and in ECS, and what an actor is in OCSF.
ACTIONS = {
    "created": (1, "Create", ["creation"]),
    "updated": (3, "Update", ["change"]),
    "deleted": (4, "Delete", ["deletion"]),
    "": (0, "Unknown", ["info"]),
}
ACTORS = {"user": (1, "User"), "system": (3, "System"), "api_key": (4, "Service")}
IDENTITY = (
    *("api_key", "api_keys", "custom_role", "custom_roles", "member", "oidc_issuers"),
    *("organization_invite", "team", "workspace_member"),
)


@NEEDS_DUCKDB
def test_what_becomes_what(database):
    ocsf_events, ecs_events = (events_in(database, form) for form in ("ocsf", "ecs"))
    assert ocsf_events.keys() == ecs_events.keys() == set(ids(ITEMS))
    for name, item in zip(ids(ITEMS), ITEMS, strict=True):
        ocsf, ecs, actor = ocsf_events[name], ecs_events[name], item["actor"] or {}
        action, kind, who = item["action"] or "", actor.get("type", ""), actor.get("id")
        number, caption, change = ACTIONS.get(action, (99, action, ["info"]))
        assert (ocsf["activity_id"], ocsf["activity_name"]) == (number, caption)
        assert ocsf["type_uid"] == 300400 + number
        assert ocsf["time"] == from_record(item["timestamp"]) // 1_000_000
        is_identity = find(item, ("object", "type")) in IDENTITY
        assert ecs["event"]["category"] == ["iam" if is_identity else "configuration"]
        assert ecs["event"]["type"] == change

        user = find(ocsf, ("actor", "user")) or {}
        if who:
            known = ACTORS.get(kind, (99, kind) if kind else (0, "Unknown"))
            assert (user["type_id"], user["type"]) == known
        assert user.get("uid") == find(ecs, ("user", "id")) == who
        is_address = kind == "user" and "@" in (who or "")
        assert find(ecs, ("user", "email")) == (who if is_address else None)


@NEEDS_DUCKDB
@pytest.mark.parametrize("form", FORMATS)
def test_nothing_of_an_event_is_lost(form, database):
    events = events_in(database, form)
    for name, item in zip(ids(ITEMS), ITEMS, strict=True):
        content = {part: item[part] for part in ("actor", "object", "details", "count")}
        # OCSF has names of its own for these, which the test above compares.
        renamed = {"", "user", "system", "api_key"}
        assert leaves(content) <= leaves(events[name]) | renamed, item


def leaves(value):
    """Return the texts and numbers in a JSON value."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return set().union(*map(leaves, inner))
    return {value} - {None}
