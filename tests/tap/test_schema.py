from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from sandbox.data import Dataset
from scripts.generate_schema import SAMPLE, SCHEMA, generate


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


def test_the_file_is_what_the_command_generates(schema: dict[str, Any]) -> None:
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    assert generate(sample) == schema, "run: python -m scripts.generate_schema"


def test_records_are_valid(schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft7Validator(schema)
    validator.check_schema(schema)
    for item in Dataset(records=500):
        validator.validate({**item, "id": "id", "organization_id": "organization"})


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
