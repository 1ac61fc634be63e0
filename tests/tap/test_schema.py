import json

import jsonschema
import pytest

from sandbox.data import Dataset
from scripts.generate_schema import SAMPLE, SCHEMA, generate
from tap_akuity.text.timestamps import PRECISIONS
from tests.helpers.events import events_of

FILE = json.loads(SCHEMA.read_text(encoding="utf-8"))


def test_the_file_is_what_the_command_generates():
    sample = json.loads(SAMPLE.read_text(encoding="utf-8"))
    assert generate(sample) == FILE, "run: python -m scripts.generate_schema"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_records_are_valid(precision):
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
