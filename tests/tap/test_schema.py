import json

import jsonschema
import pytest

from sandbox.data import Dataset
from scripts import ROOT
from tap_akuity.text.timestamps import PRECISIONS
from tests.helpers.events import events_of

FILE = json.loads((ROOT / "tap_akuity/schemas/audit_logs.json").read_bytes())


def test_the_sample_and_nothing_without_a_description_is_in_the_schema(sample):
    described = {}

    def collect(schema, prefix=""):
        for name, one in schema.get("properties", {}).items():
            described[prefix + name] = one["description"]
            collect(one, f"{prefix}{name}.")

    collect(FILE)

    def members(value, prefix=""):
        for name, one in value.items():
            yield prefix + name
            if isinstance(one, dict):
                yield from members(one, f"{prefix}{name}.")

    assert {*members(sample)} <= described.keys()
    assert all(described.values())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_records_match_their_schema(precision):
    validator = jsonschema.Draft7Validator(FILE)
    validator.check_schema(FILE)
    items = json.dumps([*Dataset(records=100)]).encode()
    for event in events_of(items, most=100, precision=precision):
        validator.validate(json.loads(event.json))


def test_only_what_is_certain_is_required():
    properties = FILE["properties"].items()
    lengths = {name: one["maxLength"] for name, one in properties if "maxLength" in one}
    assert lengths == {"id": 64, "timestamp": 30, "lastOccurredTimestamp": 30}
    required = {name for name, one in properties if "null" not in one["type"]}
    assert required == {*FILE["required"]} == {"id", "organization_id", "timestamp"}
    # What Akuity may add is allowed everywhere.
    text = json.dumps(FILE)
    assert text.count('"additionalProperties": true') == text.count('"properties"') == 6
