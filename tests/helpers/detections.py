"""The detections and the normal forms of the examples, and what they are tried on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import ROOT
from scripts.examples import EXAMPLES, HISTORY, ask, load
from tests.helpers.findings import planted
from tests.helpers.questions import with_gaps

if TYPE_CHECKING:
    from pathlib import Path


DETECTIONS = EXAMPLES / "detections"


RULES = sorted(path.stem for path in (DETECTIONS / "rules").glob("*.yml"))


GOLDEN = json.loads(
    (ROOT / "tests" / "fixtures" / "normal_forms.json").read_text("utf-8")
)
"""Events of the API with what they should become; their ids read `<id>`."""


ITEMS = [
    *with_gaps(HISTORY),
    *(item for item, _ in planted()),
    *(one["item"] for one in GOLDEN),
]


FORMS = {"ocsf": ("ocsf_events", "event"), "ecs": ("ecs_events", "document")}
"""The view and its column of JSON, by the folder."""


Events = dict[str, dict[str, Any]]


def with_views(folder: Path) -> Path:
    import duckdb  # noqa: PLC0415

    path = load(folder / "examples", ITEMS)
    with duckdb.connect(str(path)) as connection:
        connection.execute((DETECTIONS / "events.sql").read_text(encoding="utf-8"))
        for form in FORMS:
            view = (EXAMPLES / form / "duckdb.sql").read_text(encoding="utf-8")
            connection.execute(view)
    return path


def events_in(database: Path, form: str) -> Events:
    view, column = FORMS[form]
    rows = ask(database, f"SELECT id, {column} FROM akuity.{view}").rows  # noqa: S608
    return {name: json.loads(event) for name, event in rows}


def query(name: str) -> str:
    return (DETECTIONS / "sql" / f"{name}.sql").read_text(encoding="utf-8")
