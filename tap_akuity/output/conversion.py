"""Converts an event to the JSON of each of its records.

Selection, stream maps and flattening are compiled once into one function for each
output stream. If there is nothing to convert, a record keeps its bytes unchanged.

Numbers keep every digit.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap

from tap_akuity.output import maps
from tap_akuity.output.flattening import flattening
from tap_akuity.output.selection import Change
from tap_akuity.records.event import RecordError

Convert: TypeAlias = Callable[[bytes], bytes | None]
"""Converts an event to a record, both as JSON; None if it is filtered out."""

Step: TypeAlias = Callable[[dict[str, Any]], "dict[str, Any] | None"]


def decode(json: bytes) -> dict[str, Any]:
    """Decode a record, with numbers that are not integers as `Decimal`.

    A number too large for a `Decimal` stays undecoded.

    Raises:
        RecordError: If Python cannot represent a value in it, such as half of a
            surrogate pair.
    """
    try:
        record: dict[str, Any] = _decode(json)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RecordError(
            f"An event cannot be read, so the sync stops before it: {error}."
        ) from error
    return record


def as_decimal(number: str) -> Decimal | msgspec.Raw:
    """Convert a number exactly, or keep it as it is if that is not possible."""
    try:
        return Decimal(number)
    except InvalidOperation:
        return msgspec.Raw(number.encode())


_decode = msgspec.json.Decoder(float_hook=as_decimal).decode


def converters(
    select: Change | None,
    stream_maps: Sequence[StreamMap],
    config: Mapping[str, Any],
    keys: Sequence[str],
) -> list[tuple[str, Convert]]:
    """Compile the conversion of events.

    Args:
        select: Removes what the catalog deselects; None if it selects everything.
        stream_maps: The maps of the stream.
        config: The configuration of the tap, for messages.
        keys: The properties that every record needs.

    Returns:
        The name of each output stream, and the function that creates its records.

    Raises:
        maps.StreamMapError: If a stream lacks one of the keys, or no stream is left.
    """
    found = []
    for stream_map in stream_maps:
        if not isinstance(stream_map, RemoveRecordTransform):
            maps.check_keys(stream_map, keys)
            steps = [select] if select else []
            steps += _steps(stream_map, config, keys)
            found.append((stream_map.stream_alias, _converter(steps)))
    if not found:
        raise maps.StreamMapError(maps.NOTHING_LEFT)
    return found


def _converter(steps: Sequence[Step]) -> Convert:
    if not steps:
        return lambda json: json

    def convert(json: bytes) -> bytes | None:
        record: dict[str, Any] | None = decode(json)
        for step in steps:
            if record is None:
                return None
            record = step(record)
        return None if record is None else encoder.encode(record)

    return convert


def _steps(
    stream_map: StreamMap, config: Mapping[str, Any], keys: Sequence[str]
) -> list[Step]:
    steps: list[Step] = []
    if not isinstance(stream_map, SameRecordTransform):
        steps.append(maps.mapping(stream_map, config, keys))
    if stream_map.flattening_enabled:
        steps.append(flattening(stream_map))
    return steps
