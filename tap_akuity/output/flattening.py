"""The columns of a flattened record; pure.

The SDK flattens an object to the names of its members, but one that is null to a null
under its own name, which the schema does not have: some targets refuse that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_columns(
    record: Mapping[str, Any], properties: Mapping[str, Any]
) -> dict[str, Any]:
    """Give a flattened record every column that its schema names.

    Args:
        record: As the SDK flattened it.
        properties: Those of the flattened schema.

    Returns:
        The record, with null where it had nothing for a property that may be null,
        and without nulls that are under no name of the schema.
    """
    columns = {
        name: None for name, one in properties.items() if "null" in one.get("type", ())
    }
    found = {
        name: value
        for name, value in record.items()
        if value is not None or name in properties
    }
    return columns | found
