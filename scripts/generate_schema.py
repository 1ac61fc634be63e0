"""Generate the JSON Schema of `audit_logs` from the sample record.

    python -m scripts.generate_schema

Types and nesting come from the record, and for newer members from Akuity's published
definitions. The rest is here: what is a time, what may be null, and what each means.
"""

import json
from typing import Any

from genson import SchemaBuilder

from scripts import ROOT

SAMPLE = ROOT / "tests" / "fixtures" / "audit_log.json"
SCHEMA = ROOT / "tap_akuity" / "schemas" / "audit_logs.json"

# Members in the published definitions that the sample record lacks.
PUBLISHED = {
    "actor": {"origin": "mcp"},
    "object": {"id": {"namespace": ""}, "parentId": {"projectName": ""}},
}
ADDED = {
    "id": {"type": "string", "maxLength": 64},
    "organization_id": {"type": "string"},
}
# The length of RFC 3339 with nine fraction digits and `Z`, the tap's longest format.
DATE_TIME = {"format": "date-time", "maxLength": 30}
REQUIRED = {"id", "organization_id", "timestamp"}

DESCRIPTIONS = {
    "id": (
        "Stable id that the tap computes: a SHA-256 over the organization, the "
        "timestamp, the action and the members of actor, object and details"
    ),
    "organization_id": "Akuity organization that the audit log belongs to",
    "timestamp": "When it happened, in UTC with six fraction digits, or nine",
    "action": "What was done, such as created, updated or deleted",
    "actor": "Who did it",
    "actor.origin": (
        "Interface that the action came in through: mcp means an AI agent; absent for "
        "the UI, the API and the CLI"
    ),
    "actor.type": "Kind of actor, such as user or api_key",
    "actor.id": "Identity of the actor, such as an e-mail address",
    "actor.ip": "IP address of the actor; absent when Akuity does not know it",
    "object": "What it was done to",
    "object.type": "Kind of object, such as argocd_application or custom_role",
    "object.id": "Identity of the object",
    "object.id.name": "Name of the object",
    "object.id.kind": "Kubernetes kind of the object",
    "object.id.group": "Kubernetes API group of the object",
    "object.id.namespace": "Kubernetes namespace of the object",
    "object.parentId": "What the object belongs to",
    "object.parentId.name": "Name of the parent",
    "object.parentId.parentName": "Name of the parent's parent",
    "object.parentId.applicationName": "Argo CD application of the object",
    "object.parentId.projectName": "Kargo project of the object",
    "details": "How it was done",
    "details.message": "Description for people",
    "details.patch": "The change as text, often JSON; can be many KB",
    "details.actionType": "Kind of action, such as CREATE or DELETE",
    "count": "How often the same event was seen; grows",
    "lastOccurredTimestamp": "When the same event was seen last, in UTC; grows",
}


def generate(sample: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of events like a sample, as the API sends it."""
    builder = SchemaBuilder(schema_uri="https://json-schema.org/draft-07/schema#")
    builder.add_object(sample)
    builder.add_object(PUBLISHED)
    schema = builder.to_schema()
    schema["properties"] = {**ADDED, **schema["properties"]}
    return _refined(schema, "")


def _refined(schema: dict[str, Any], path: str) -> dict[str, Any]:
    refined: dict[str, Any] = {
        key: schema[key] for key in ("$schema", "type", "maxLength") if key in schema
    }
    if path:
        refined["description"] = DESCRIPTIONS[path]
        if path not in REQUIRED:
            refined["type"] = [schema["type"], "null"]
    if path in {"timestamp", "lastOccurredTimestamp"}:
        refined |= DATE_TIME
    if "properties" in schema:
        properties = schema["properties"]
        ordered = sorted(properties, key=lambda name: (name not in REQUIRED, name))
        refined["properties"] = {
            name: _refined(properties[name], f"{path}.{name}".lstrip("."))
            for name in ordered
        }
        if not path:
            refined["required"] = sorted(REQUIRED)
        # The API adds members over time, which must not be lost.
        refined["additionalProperties"] = True
    return refined


def main() -> None:
    """Write the schema file."""
    schema = generate(json.loads(SAMPLE.read_text(encoding="utf-8")))
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
