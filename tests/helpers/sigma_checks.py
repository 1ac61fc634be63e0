"""Validates and converts the Sigma rules; run by the environment that has pySigma.

Prints JSON: what pySigma's own validators find, the SQL for DuckDB and PostgreSQL by
the names of the rules, and the SQL of the published back-end for SQLite.
"""

from __future__ import annotations

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


def main() -> None:
    """Check the rules in the folder that the command line names."""
    folder = Path(sys.argv[1])
    convert = runpy.run_path(str(folder / "convert.py"))
    paths = sorted((folder / "rules").glob("*.yml"))
    rules = SigmaCollection.load_ruleset([folder / "rules"])
    chosen = [kind for name, kind in validators.items() if name not in ONLINE]
    issues = SigmaValidator(chosen).validate_rules(rules)
    mapping = FieldMappingTransformation(convert["FIELDS"])
    sqlite = sqliteBackend(ProcessingPipeline(items=[ProcessingItem(mapping)]))
    sqlite.table = "detection_events"
    detections = {
        path.stem: convert["convert"](path.read_text(encoding="utf-8"))
        for path in paths
    }
    said = {
        "rules": len(rules.rules),
        "validators": len(chosen),
        "issues": [str(issue) for issue in issues],
        "queries": {name: one.text() for name, one in detections.items()},
        "view": convert["view"](detections),
        "sqlite": {
            path.stem: sqlite.convert(
                SigmaCollection.from_yaml(path.read_text(encoding="utf-8"))
            )
            for path in paths
        },
    }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
