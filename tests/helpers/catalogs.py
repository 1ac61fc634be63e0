"""Catalogs, and what the tap makes of an event with them."""

import copy
from typing import Any

from tap_akuity.tap import TapAkuity

CONFIG = {"organization_id": "o", "api_key_id": "k", "api_key_secret": "s"}


def tap_of(catalog: Any = None, **settings: Any) -> TapAkuity:
    # The SDK changes the settings that it is given.
    return TapAkuity(config=copy.deepcopy(CONFIG | settings), catalog=catalog)


def catalog_without(*deselected: list[str]) -> dict[str, Any]:
    """Return a catalog that selects all but these breadcrumbs, known or not."""
    catalog: dict[str, Any] = tap_of().catalog_dict
    metadata = catalog["streams"][0]["metadata"]
    known = [entry["breadcrumb"] for entry in metadata]
    more = [one for one in deselected if one not in known]
    metadata += [{"breadcrumb": one, "metadata": {}} for one in more]
    for entry in metadata:
        entry["metadata"]["selected"] = entry["breadcrumb"] not in deselected
    return catalog


def convert(tap, event: bytes) -> list[tuple[str, bytes]]:
    converters = tap.streams["audit_logs"].converters
    made = [(name, convert(event)) for name, convert in converters]
    return [(name, record) for name, record in made if record is not None]
