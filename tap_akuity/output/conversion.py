"""One event to the JSON of each of its records.

What the catalog selects, the stream maps and the flattening are compiled once for a
stream, and everything that is written goes through the one function that comes of it.
With nothing to do, a record is the very bytes that it was.

Numbers keep every digit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from singer_sdk.contrib.msgspec import encoder
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform

from tap_akuity.output import maps
from tap_akuity.output.flattening import flattening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from singer_sdk.mapper import StreamMap

    from tap_akuity.output.selection import Change

    Convert: TypeAlias = Callable[[bytes], list[tuple[str, bytes]]]
    """Makes of an event, as JSON, its records: the stream of each, and it as JSON."""

    Step: TypeAlias = Callable[[dict[str, Any]], "dict[str, Any] | None"]

decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""Unpacks a record, with numbers that are no integers as `Decimal`."""


def converter(
    select: Change | None,
    stream_maps: Sequence[StreamMap],
    config: Mapping[str, Any],
    keys: Sequence[str],
) -> Convert:
    """Compile what becomes of an event.

    Args:
        select: What the catalog leaves of it; None for all.
        stream_maps: Those of the stream.
        config: Of the tap, for messages.
        keys: The properties that no record can do without.

    Returns:
        The function. It raises `maps.StreamMapError` if a stream map fails.

    Raises:
        maps.StreamMapError: If a stream would lack one of the keys.
    """
    outlets = []
    for stream_map in stream_maps:
        if not isinstance(stream_map, RemoveRecordTransform):
            maps.check_keys(stream_map, keys)
            outlets.append((stream_map.stream_alias, _steps(stream_map, config, keys)))
    if not select and not any(steps for _, steps in outlets):
        names = [name for name, _ in outlets]
        return lambda json: [(name, json) for name in names]

    def convert(json: bytes) -> list[tuple[str, bytes]]:
        event = decode(json)
        if select:
            event = select(event)
        records = []
        for name, steps in outlets:
            record = event
            for step in steps:
                record = step(record)
                if record is None:
                    break
            else:
                records.append((name, encoder.encode(record)))
        return records

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
