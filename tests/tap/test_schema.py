from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from sandbox.data import Dataset
from scripts.generate_schema import SAMPLE, SCHEMA, generate
from tap_akuity.records import timestamps
from tap_akuity.records.event import parse_items
from tap_akuity.records.members import UnknownMembers
from tap_akuity.records.timestamps import PRECISIONS


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def test_the_file_is_what_the_command_generates(schema: dict[str, Any]) -> None:
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    assert generate(sample) == schema, "run: python -m scripts.generate_schema"


def test_records_are_valid(schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(schema)
    validator.check_schema(schema)
    items = msgspec.json.encode([*Dataset(records=500)])
    for precision in PRECISIONS:
        events = parse_items(
            msgspec.Raw(items),
            "organization",
            most=500,
            unknown=UnknownMembers(),
            precision=precision,
        )
        assert len(events) == 500
        for event in events:
            validator.validate(json.loads(event.json))


def test_lengths_that_are_certain_are_in_it(schema: dict[str, Any]) -> None:
    lengths = {
        name: property_["maxLength"]
        for name, property_ in schema["properties"].items()
        if "maxLength" in property_
    }
    text = timestamps.to_text(0)
    assert lengths == {
        "id": 64,
        "timestamp": len(text),
        "lastOccurredTimestamp": len(text),
    }


def objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [objects(child) for child in schema.get("properties", {}).values()]
    own = [schema] if "properties" in schema else []
    return own + [found for some in inner for found in some]


def test_every_object_allows_what_is_added(schema: dict[str, Any]) -> None:
    found = objects(schema)
    assert len(found) == 6
    assert all(one["additionalProperties"] is True for one in found)


def test_only_what_is_always_there_is_required(schema: dict[str, Any]) -> None:
    nullable = {n for n, p in schema["properties"].items() if "null" in p["type"]}
    required = schema["properties"].keys() - nullable
    assert required == set(schema["required"]) == {"id", "organization_id", "timestamp"}
    assert schema["properties"]["timestamp"]["format"] == "date-time"
    assert schema["properties"]["lastOccurredTimestamp"]["format"] == "date-time"
