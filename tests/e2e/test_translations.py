"""What targets for servers that cannot run here make of the schema that the tap sends.

Their data is not tested, only the columns that they would create.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from harness import HarnessError
from tests.helpers import environments
from tests.helpers.commands import TAP
from tests.helpers.translations import TRANSLATIONS, columns

pytestmark = pytest.mark.timeout(360)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    done = subprocess.run(
        [TAP, "--discover"], capture_output=True, check=True, timeout=60
    )
    (stream,) = json.loads(done.stdout)["streams"]
    found: dict[str, Any] = stream["schema"]
    return found


@pytest.mark.parametrize("name", TRANSLATIONS)
def test_the_columns(name: str, schema: dict[str, Any], summary: list[str]) -> None:
    one = TRANSLATIONS[name]
    place = f"translation-{name.lower().replace(' ', '-')}"
    try:
        commands = environments.build(place, one.requirements)
    except HarnessError as error:
        pytest.fail(str(error), pytrace=False)
    expected: dict[str, Any] = {
        "id": one.identifier,
        "organization_id": one.text,
        "timestamp": one.time,
        "action": one.text,
        "count": one.integer,
        "lastOccurredTimestamp": one.time,
    }
    for member in ("actor", "object", "details"):
        expected[member] = one.objects or fields(schema["properties"][member], one.text)
    assert columns(commands, one.code, schema) == expected
    summary.append(f"{name}: {len(expected)} columns as expected, no data")


def fields(schema: dict[str, Any], text: str) -> Any:
    """Give a type for each member, as a target that keeps objects does."""
    members = schema.get("properties")
    return (
        {name: fields(one, text) for name, one in members.items()} if members else text
    )
