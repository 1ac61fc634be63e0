"""Validates and converts the Sigma rules; run by the environment that has pySigma.

Prints JSON: what pySigma's own validators find, the SQL for DuckDB and PostgreSQL by
the names of the rules, and the SQL of the published back-end for SQLite.
"""

import json
import runpy
import sys
from pathlib import Path

from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import FieldMappingTransformation
from sigma.validation import SigmaValidator
from sigma.validators.core import validators

# These two download what MITRE publishes, and no test goes online.
ONLINE = {"attacktag", "d3_fendtag"}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    example = runpy.run_path(str(folder / "convert.py"))
    rules = {path.stem: path.read_text("utf-8") for path in folder.glob("rules/*.yml")}
    detections = {name: example["convert"](rules[name]) for name in sorted(rules)}
    chosen = [kind for name, kind in validators.items() if name not in ONLINE]
    collection = SigmaCollection.load_ruleset([folder / "rules"])
    mapping = FieldMappingTransformation(example["FIELDS"])
    sqlite = sqliteBackend(ProcessingPipeline(items=[ProcessingItem(mapping)]))
    sqlite.table = "detection_events"
    said = {
        "rules": len(collection.rules),
        "validators": len(chosen),
        "issues": [
            str(one) for one in SigmaValidator(chosen).validate_rules(collection)
        ],
        "queries": {name: one.text() for name, one in detections.items()},
        "view": example["view"](detections),
        "sqlite": {
            name: sqlite.convert(SigmaCollection.from_yaml(text))
            for name, text in rules.items()
        },
    }
    sys.stdout.write(json.dumps(said))
