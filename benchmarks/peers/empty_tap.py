"""What every tap pays: the Singer SDK imported, and a tap built that has no stream."""

from __future__ import annotations

from singer_sdk import Tap
from singer_sdk import typing as th


class EmptyTap(Tap):
    """A tap without a stream."""

    name = "tap-empty"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[object]:  # type: ignore[override]
        """Name no stream."""
        return []


if __name__ == "__main__":
    EmptyTap(config={})
