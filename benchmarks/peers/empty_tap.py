"""The baseline of every tap: import the Singer SDK, and build a tap without streams."""

from singer_sdk import Stream, Tap
from singer_sdk import typing as th


class EmptyTap(Tap):
    """A tap without streams."""

    name = "tap-empty"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[Stream]:
        """Return no streams."""
        return []


if __name__ == "__main__":
    EmptyTap(config={})
