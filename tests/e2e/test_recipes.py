"""What docs/recipes.md shows, run into a real target."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from harness import ROOT
from sandbox.server import Sandbox
from tests.helpers import history
from tests.helpers.environments import commands_of
from tests.helpers.pipelines import run
from tests.helpers.running import config_for
from tests.helpers.targets import Jsonl
from tests.helpers.truth import OBJECTS, Row, differences, find, flattened, truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(360)

_RECIPE = re.compile(r"^### (.+?)\n.*?^```json\n(.*?)^```", re.DOTALL | re.MULTILINE)

_PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
_COLUMNS = _PAGE.partition("## Columns\n")[2].partition("\n## ")[0]

RECIPES: dict[str, dict[str, Any]] = {
    title: json.loads(text) for title, text in _RECIPE.findall(_COLUMNS)
}


def renamed(row: Row) -> Row:
    last = row.pop("lastOccurredTimestamp")
    return row | {"last_occurred_at": last}


def beside(row: Row) -> Row:
    return row | {
        "actor_id": find(row, ("actor", "id")),
        "object_type": find(row, ("object", "type")),
        "object_name": find(row, ("object", "id", "name")),
    }


def as_text(row: Row) -> Row:
    texts = {
        f"{name}_json": json.dumps(row.pop(name), ensure_ascii=False)
        for name in OBJECTS
    }
    return row | texts


EXPECTED: dict[str, Callable[[Row], Row]] = {
    "Names in snake_case": renamed,
    "Columns for what people ask for": beside,
    "Objects as JSON text": as_text,
    "Flat columns": flattened,
}


class Renamed(Jsonl):
    """JSON lines, with the name that the first recipe gives."""

    times = ("timestamp", "lastOccurredTimestamp", "last_occurred_at")


def test_each_recipe_is_tried() -> None:
    assert RECIPES.keys() == EXPECTED.keys()


@pytest.mark.parametrize("title", EXPECTED)
def test_a_recipe(title: str, tmp_path: Path) -> None:
    kind = Renamed if EXPECTED[title] is renamed else Jsonl
    warehouse = kind(tmp_path)
    with Sandbox(history.before()) as sandbox:
        config = config_for(sandbox, **RECIPES[title])
        done = run(commands_of(kind), warehouse, tmp_path, config)
        assert (done.tap_code, done.target_code) == (0, 0), done.errors
        expected = {name: EXPECTED[title](row) for name, row in truth(sandbox).items()}
    assert differences(expected, warehouse.rows()) == []
