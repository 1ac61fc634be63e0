"""Flattens a record's nested objects into columns.

The names of the columns, and how deep objects are flattened, are the SDK's affair: it
is asked once for each member, and the answer is kept. Unlike the SDK's, a flattened
record has exactly the columns of its schema, and members that the schema does not know:
where an object is null, the SDK gives a null under the object's own name, which some
targets refuse, and no value for its columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.singerlib.json import serialize_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from singer_sdk.mapper import StreamMap

MAX_KEPT_NAMES = 10_000
"""For how many members the SDK's results are cached.

Akuity may add an object whose members have ever new names.
"""


def flattening(stream_map: StreamMap) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Compile the flattening of a stream's records.

    Args:
        stream_map: Of the stream, with flattening enabled.

    Returns:
        What makes a flattened record of a record: null where it has nothing for a
        column that may be null, and no null under a name that is not a column.
    """
    columns: dict[str, Any] = stream_map.transformed_schema["properties"]
    empty = {
        name: None for name, one in columns.items() if "null" in one.get("type", ())
    }
    root = _Members(stream_map, ())

    def flatten(record: dict[str, Any]) -> dict[str, Any]:
        flat: dict[str, Any] = empty.copy()
        _fill(flat, record, root)
        return flat

    return flatten


class _Members(dict[str, "tuple[str, bool, _Members | None]"]):
    """How the members of an object are flattened.

    Of each, the name of its column, whether the schema has that, and, unless an object
    is written as text there, what becomes of its own members.
    """

    def __init__(
        self,
        stream_map: StreamMap,
        path: tuple[str, ...],
        kept: list[int] | None = None,
    ) -> None:
        super().__init__()
        self._stream_map = stream_map
        self._path = path
        self._kept = [0] if kept is None else kept

    def __missing__(self, name: str) -> tuple[str, bool, _Members | None]:
        path = (*self._path, name)
        (column,) = self._stream_map.flatten_record(_nested(path, None))
        # An object that is flattened leaves nothing of itself.
        whole = self._stream_map.flatten_record(_nested(path, {}))
        members = None if whole else _Members(self._stream_map, path, self._kept)
        known = column in self._stream_map.transformed_schema["properties"]
        found = (column, known, members)
        if self._kept[0] < MAX_KEPT_NAMES:
            self._kept[0] += 1
            self[name] = found
        return found


def _nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    for name in reversed(path):
        value = {name: value}
    return dict(value)


def _fill(flat: dict[str, Any], value: dict[str, Any], members: _Members) -> None:
    for name, one in value.items():
        column, known, inner = members[name]
        if isinstance(one, str):
            flat[column] = one
        elif isinstance(one, dict) and inner is not None:
            _fill(flat, one, inner)
        elif isinstance(one, dict | list):
            flat[column] = serialize_json(one)
        elif one is not None or known:
            flat[column] = one
        else:
            flat.pop(column, None)
