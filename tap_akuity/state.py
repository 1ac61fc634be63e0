"""The state of a run: normalized from every known form, or rejected.

Ignoring a state silently would cause a gap or an unwanted backfill.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tap_akuity.reading.recount import validated
from tap_akuity.text import timestamps
from tap_akuity.text.masking import one_line
from tap_akuity.text.timestamps import TimestampError

NOT_BEFORE = "not_before"
"""Where a replication without a start date began.

The lookback stops there, or the second run would fetch events from before the first.
"""

READ_UNTIL = "read_until"
"""Up to where the log has been read: later than the bookmark if it was quiet."""

SOURCE = "source"
"""The digest of what is read, see `source`."""

CHECKED_ON = "checked_on"
"""The UTC day of the last daily checks."""

RECOUNT = "recount"
"""The counts of the last days, see `tap_akuity.reading.recount`."""


class StateError(Exception):
    """The state cannot be used; the text says why and what to do."""


def source(organization_id: str, filters: Mapping[str, Sequence[str]]) -> str:
    """Return a digest of the organization and the filters.

    A bookmark says nothing about the events of others.
    """
    values = {name: sorted(set(values)) for name, values in filters.items()}
    text = json.dumps([organization_id, values], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def normalize(
    state: Any,  # noqa: ANN401
    *,
    stream: str,
    replication_key: str,
    now: int,
) -> dict[str, Any]:
    """Return a state in its canonical form, with times as from `timestamps.to_text`.

    Bookmarks may be in Go's format, RFC 3339 with `Z` or an offset, or a date alone,
    and may have been written by hand.

    Raises:
        StateError: If the state has another shape, a bookmark is not a valid time or is
            more than a day in the future, or the counts of days are malformed.
    """
    bookmarks = _members(state, "state").get("bookmarks", {})
    _members(bookmarks, "`bookmarks` of the state")
    for name, value in bookmarks.items():
        _members(value, f"bookmark of `{one_line(name)}` in the state")
    if stream not in bookmarks:
        return dict(state)
    bookmark = dict(bookmarks[stream])
    if bookmark.get("replication_key", replication_key) != replication_key:
        raise StateError(
            f"The state's bookmark of `{stream}` is not one of `{replication_key}`: "
            "correct the state, or remove it to start over."
        )
    for name in ("replication_key_value", NOT_BEFORE, READ_UNTIL):
        if name not in bookmark:
            continue
        try:
            instant = timestamps.parse(bookmark[name].strip(), assume_utc=True)
        except (AttributeError, TimestampError) as error:
            raise StateError(
                f"`{name}` of `{stream}` in the state is not a valid date or time: "
                "write it as 2026-01-01T08:30:00Z, or remove the state to start over."
            ) from error
        if instant > now + timestamps.DAY:
            raise StateError(
                f"`{name}` of `{stream}` in the state is more than a day in the "
                "future, so that nothing would be fetched: correct it, or remove the "
                "state to start over."
            )
        bookmark[name] = timestamps.to_text(instant)
    try:
        validated(bookmark.get(RECOUNT, {}))
    except ValueError as error:
        raise StateError(
            f"`{RECOUNT}` of `{stream}` in the state is malformed: remove it, and the "
            f"last days are counted anew ({one_line(str(error))})."
        ) from error
    if "replication_key_value" in bookmark:
        bookmark["replication_key"] = replication_key
    return {**state, "bookmarks": {**bookmarks, stream: bookmark}}


def _members(value: Any, what: str) -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(value, dict):
        raise StateError(
            f"The {what} is not a JSON object: pass the value of a STATE message that "
            "the tap wrote, or remove the state to start over."
        )
    return value
