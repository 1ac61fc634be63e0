"""Converts Sigma rules to SQL that runs on DuckDB and on PostgreSQL.

    python convert.py rules sql

Reads each rule in the first folder, writes its query to a file of the same name in the
second, and `findings.sql`, a view of the findings of all rules, next to that folder.
Requires the package pySigma. Rules name the properties of an event as Akuity does, for
example `object.type`; `FIELDS` maps them to columns of the view.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionNOT, ConditionOR
from sigma.conversion.base import TextQueryBackend
from sigma.correlations import SigmaCorrelationConditionOperator as Operator
from sigma.correlations import SigmaCorrelationRule
from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline
from sigma.processing.transformations import FieldMappingTransformation
from sigma.types import SpecialChars

if TYPE_CHECKING:
    from sigma.conditions import ConditionFieldEqualsValueExpression
    from sigma.conversion.state import ConversionState
    from sigma.rule import SigmaRule
    from sigma.types import SigmaString

VIEW = "akuity.detection_events"

FIELDS = {
    "actor.type": "actor_type",
    "actor.id": "actor_id",
    "actor.ip": "actor_ip",
    "actor.origin": "actor_origin",
    "object.type": "object_type",
    "object.id.name": "object_name",
    "object.parentId.name": "object_parent",
    "details.message": "message",
    "details.patch": "patch",
}
"""The columns of the view, by the names that the rules use; others are the same."""

_BASE = f"SELECT * FROM {VIEW} WHERE {{query}}"  # noqa: S608 - the rules are ours
_NEWEST_FIRST = "ORDER BY timestamp DESC, id"
_SHOWN = (
    *("id", "timestamp", "action", "actor_type", "actor_id", "actor_ip"),
    *("object_type", "object_name"),
)


class AuditLogSQL(TextQueryBackend):
    """SQL that means the same to DuckDB and PostgreSQL.

    Texts are compared without regard to case, as in Sigma. Null matches nothing, and so
    passes a filter. A correlation counts the events in the time span
    before each event, and finds those that reach the threshold.
    """

    name = "DuckDB and PostgreSQL"
    formats: ClassVar[dict[str, str]] = {"default": "SQL"}
    requires_pipeline = False
    precedence = (ConditionNOT, ConditionAND, ConditionOR)
    parenthesize = True
    group_expression = "({expr})"
    and_token = "AND"  # noqa: S105 - no password
    or_token = "OR"  # noqa: S105 - no password
    not_token = "NOT"  # noqa: S105 - no password
    eq_token = " = "  # noqa: S105 - no password
    bool_values: ClassVar[dict[bool, str]] = {True: "TRUE", False: "FALSE"}
    field_null_expression = "{field} IS NULL"
    field_exists_expression = "{field} IS NOT NULL"
    field_not_exists_expression = "{field} IS NULL"
    convert_or_as_in = True
    in_expressions_allow_wildcards = False
    field_in_list_expression = "lower({field}) {op} ({list})"
    or_in_operator = "IN"
    list_separator = ", "

    correlation_methods: ClassVar[dict[str, str]] = {"default": "A sliding window"}
    correlation_search_single_rule_expression = "{query}"
    correlation_condition_mapping: ClassVar[dict[Operator, str]] = {
        Operator.GT: ">",
        Operator.GTE: ">=",
    }
    timespan_seconds = True
    groupby_expression: ClassVar[dict[str, str]] = {"default": "{fields}"}
    groupby_field_expression: ClassVar[dict[str, str]] = {"default": "{field}"}
    groupby_field_expression_joiner: ClassVar[dict[str, str]] = {"default": ", "}
    groupby_expression_nofield: ClassVar[dict[str, str]] = {"default": "TRUE"}
    event_count_aggregation_expression: ClassVar[dict[str, str]] = {"default": ""}
    event_count_condition_expression: ClassVar[dict[str, str]] = {
        "default": "event_count {op} {count}"
    }
    event_count_correlation_query: ClassVar[dict[str, str]] = {
        "default": (
            "SELECT * FROM (\n"  # noqa: S608 - likewise
            "    SELECT\n"
            "        *,\n"
            "        count(*) OVER (\n"
            "            PARTITION BY {groupby}\n"
            "            ORDER BY timestamp\n"
            "            RANGE BETWEEN INTERVAL '{timespan} seconds' PRECEDING\n"
            "            AND CURRENT ROW\n"
            "        ) AS event_count\n"
            f"    FROM {VIEW}\n"
            "    WHERE {search}\n"
            ") AS counted\n"
            "WHERE {condition}"
        )
    }

    def convert_condition_field_eq_val_str(
        self, cond: ConditionFieldEqualsValueExpression, state: ConversionState
    ) -> str:
        """Compare text, which may have wildcards."""
        value: SigmaString = cond.value
        if value.contains_special():
            return f"{cond.field} ILIKE {_pattern(value)} ESCAPE '!'"
        return f"lower({cond.field}) = {self.convert_value_str(value, state)}"

    def convert_value_str(self, s: SigmaString, *_: object, **__: object) -> str:
        """Return text in lower case, as a literal."""
        return _literal(str(s).lower())

    def convert_condition_not(self, cond: ConditionNOT, state: ConversionState) -> str:
        """Treat null as not matched."""
        return f"NOT coalesce({self.convert_condition(cond.args[0], state)}, FALSE)"

    def finalize_query_default(
        self, rule: SigmaRule, query: str, index: int, state: ConversionState
    ) -> str:
        """Turn a condition into a query; a correlation is one already."""
        del index, state
        if not isinstance(rule, SigmaCorrelationRule):
            query = _BASE.format(query=query)
        return query


class Detection(NamedTuple):
    """A rule and its query."""

    title: str
    description: str
    false_positives: list[str]
    level: str
    query: str

    def text(self) -> str:
        """Return the query, below comments that say what it finds."""
        comments = [f"{self.title}.", "", *self.description.strip().splitlines()]
        comments += ["", "False positives:", *(f"- {x}" for x in self.false_positives)]
        comments += [f"Level: {self.level}. Generated by convert.py."]
        return "".join(f"{f'-- {line}'.rstrip()}\n" for line in comments) + (
            f"{self.query}\n{_NEWEST_FIRST};\n"
        )


def convert(rules: str) -> Detection:
    """Convert a YAML file with one rule, or with a correlation of rules.

    Raises:
        sigma.exceptions.SigmaError: A rule is not valid, or has no counterpart in SQL.
        ValueError: The result is not exactly one query.
    """
    mapping = FieldMappingTransformation(FIELDS)
    pipeline = ProcessingPipeline(items=[ProcessingItem(mapping)])
    collection = SigmaCollection.from_yaml(rules)
    (query,) = AuditLogSQL(pipeline).convert(collection)
    *_, rule = collection.rules
    level = rule.level.name.lower() if rule.level else "unknown"
    description = rule.description or ""
    return Detection(rule.title, description, rule.falsepositives, level, query)


def view(detections: dict[str, Detection]) -> str:
    """Return a view of all findings, with the name of the rule in each row."""
    parts = [
        f"SELECT\n    {_literal(name)} AS rule,\n    {_literal(one.level)} AS level,\n"
        f"    {_literal(one.title)} AS title,\n    {', '.join(_SHOWN)}\n"
        f"FROM (\n{one.query}\n) AS found\n"
        for name, one in detections.items()
    ]
    return (
        "-- The findings of all rules. Generated by convert.py.\n"
        f"CREATE OR REPLACE VIEW akuity.findings AS\n{'UNION ALL '.join(parts)};\n"
    )


def _pattern(value: SigmaString) -> str:
    wildcards = {SpecialChars.WILDCARD_MULTI: "%", SpecialChars.WILDCARD_SINGLE: "_"}
    parts = (
        re.sub(r"([!%_])", r"!\1", part) if isinstance(part, str) else wildcards[part]
        for part in value.s
    )
    return _literal("".join(parts))


def _literal(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def main() -> None:
    """Convert the rules that the command line names."""
    parser = argparse.ArgumentParser(description="Converts Sigma rules to SQL.")
    parser.add_argument("rules", type=Path, help="the folder with rules")
    parser.add_argument("queries", type=Path, help="the folder to write into")
    options = parser.parse_args()
    detections = {
        path.stem: convert(path.read_text(encoding="utf-8"))
        for path in sorted(options.rules.glob("*.yml"))
    }
    for name, one in detections.items():
        path = options.queries / f"{name}.sql"
        path.write_text(one.text(), encoding="utf-8")
    path = options.queries.parent / "findings.sql"
    path.write_text(view(detections), encoding="utf-8")


if __name__ == "__main__":
    main()
