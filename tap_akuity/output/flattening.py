"""Flattens a record's nested objects into columns.

The SDK determines the names of the columns and the depth; its result for each member is
cached. Unlike the SDK's, a flattened record has all columns of its schema, plus members
that the schema does not know: for a null object, the SDK writes a null under the
object's own name, which some targets reject, and no value for its columns.
"""

from collections.abc import Callable
from typing import Any

from singer_sdk.mapper import StreamMap
from singer_sdk.singerlib.json import serialize_json

MAX_KEPT_NAMES = 10_000
"""The most members to cache the SDK's results for.

Akuity may add an object with an unlimited number of member names.
"""


def flattening(stream_map: StreamMap) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Compile the flattening of a stream's records.

    Nullable columns without a value are null; a null under a name that is not a column
    is dropped.
    """
    columns: dict[str, Any] = stream_map.transformed_schema["properties"]
    empty = {name: None for name, one in columns.items() if "null" in one["type"]}
    root = _Members(stream_map, ())

    def flatten(record: dict[str, Any]) -> dict[str, Any]:
        flat: dict[str, Any] = empty.copy()
        _fill(flat, record, root)
        return flat

    return flatten


class _Members(dict[str, "tuple[str, bool, _Members | None]"]):
    """How the members of an object are flattened.

    For each: the name of its column, whether the schema has that column, and how its
    own members are flattened, or None if an object is written as text.
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

    def __missing__(self, name: str) -> "tuple[str, bool, _Members | None]":
        path = (*self._path, name)
        (column,) = self._stream_map.flatten_record(_nested(path, None))
        # A flattened object has no column of its own.
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
