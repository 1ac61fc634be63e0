"""Removes from a record what the catalog deselects. No side effects.

The catalog is walked once, not for each record. It is compiled into functions for the
members that change; all others are left untouched.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeAlias

Breadcrumb: TypeAlias = tuple[str, ...]
Schema: TypeAlias = Mapping[str, Any]
Change: TypeAlias = Callable[[Any], Any]
"""Returns the selected part of a value; an object is changed in place."""

Unknown: TypeAlias = Callable[[str], None]


def selecting(
    schema: Schema, mask: Mapping[Breadcrumb, bool], unknown: Unknown
) -> Change | None:
    """Compile the selection of a catalog; None if records stay unchanged.

    `unknown` is called with the path of each removed member that the schema neither
    names nor allows.
    """
    return _Compiler(mask, unknown).of_object(schema, ())


class _Compiler:
    def __init__(self, mask: Mapping[Breadcrumb, bool], unknown: Unknown) -> None:
        self._mask = mask
        self._unknown = unknown

    def of_object(self, schema: Schema | None, breadcrumb: Breadcrumb) -> Change | None:
        """Compile an object; without a schema, remove only what the mask deselects."""
        properties: Schema = {} if schema is None else schema["properties"]
        closed = schema is not None and not schema.get("additionalProperties")
        selected = {
            place[-1]: chosen
            for place, chosen in self._mask.items()
            if place[:-1] == (*breadcrumb, "properties")
        }
        deselected = [name for name, chosen in selected.items() if not chosen]
        changes = {}
        for name in {*properties, *selected}.difference(deselected):
            place = (*breadcrumb, "properties", name)
            if change := self.of_value(properties.get(name), place):
                changes[name] = change
        if not (deselected or closed or changes):
            return None
        path = breadcrumb[1::2]
        known = {*properties, *deselected}

        def narrow(record: dict[str, Any]) -> dict[str, Any]:
            if closed and not record.keys() <= known:
                for name in record.keys() - known:
                    self._unknown(".".join((*path, name)))
                    del record[name]
            for name in deselected:
                record.pop(name, None)
            for name, change in changes.items():
                if name in record:
                    record[name] = change(record[name])
            return record

        return narrow

    def of_value(self, schema: Schema | None, breadcrumb: Breadcrumb) -> Change | None:
        """Compile a value of any type."""
        schema = schema or {}
        types = _types(schema)
        named = "object" in types and "properties" in schema
        members = self.of_object(schema if named else None, breadcrumb)
        items = schema.get("items") if "array" in types else None
        # No mask reaches into an array.
        each = items and _Compiler({}, self._unknown).of_value(items, breadcrumb)
        boolean = types in ({"boolean"}, {"boolean", "null"})
        if not (members or each or boolean):
            return None

        def change(value: Any) -> Any:  # noqa: ANN401 - JSON
            if members and isinstance(value, dict):
                value = members(value)
            elif each and isinstance(value, list):
                value = [each(one) for one in value]
            if boolean and not isinstance(value, Decimal | None):
                return value != 0
            return value

        return change


def _types(schema: Schema) -> set[str]:
    kind = schema.get("type", ())
    return {kind} if isinstance(kind, str) else set(kind)
