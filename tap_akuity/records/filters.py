"""Which events match the filter settings, and which values match no event."""

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address

import msgspec

from tap_akuity.api.audit_log import Actor
from tap_akuity.records.event import Event
from tap_akuity.text.masking import one_line


class Unmatched:
    """The values of each filter setting that none of the events so far has."""

    def __init__(self, filters: Mapping[str, Collection[str]]) -> None:
        self._left = {
            setting: {_comparable(value): value for value in values}
            for setting, values in filters.items()
        }

    def observe(self, events: Iterable[Event]) -> None:
        """Take out the values that these events have."""
        for event in events:
            if not any(self._left.values()):
                return
            found = _decode(event.json)
            actor = found.actor or _NO_ACTOR
            for setting, value in (
                ("actions", found.action),
                ("actor_types", actor.type),
                ("actor_ids", actor.id),
                ("actor_ips", actor.ip),
                ("origins", actor.origin),
            ):
                self._left.get(setting, {}).pop(_comparable(value or ""), None)

    @property
    def values(self) -> dict[str, list[str]]:
        """The remaining values of each setting that has any."""
        return {
            setting: list(left.values()) for setting, left in self._left.items() if left
        }


class ActorFilter:
    """The wanted origins and addresses, all if empty: old servers do not filter."""

    def __init__(self, origins: Collection[str], addresses: Collection[str]) -> None:
        self._origins = set(origins)
        self._addresses = set(map(canonical_address, addresses))

    def __bool__(self) -> bool:
        return bool(self._origins or self._addresses)

    def matches(self, event: Event) -> bool:
        """Return whether an event is wanted."""
        if not self:
            return True
        actor = _decode(event.json).actor or _NO_ACTOR
        return (not self._origins or (actor.origin or "") in self._origins) and (
            not self._addresses or canonical_address(actor.ip or "") in self._addresses
        )


def canonical_address(text: str) -> str:
    """Normalize an address; IPv6 has several notations for the same one."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def listed(filters: Mapping[str, Collection[str]]) -> str:
    """Format filters for a message, such as `` `actions`: created, updated ``."""
    return "; ".join(
        f"`{setting}`: {one_line(', '.join(values))}"
        for setting, values in filters.items()
    )


class _Filtered(msgspec.Struct):
    action: str | None = None
    actor: Actor | None = None


_NO_ACTOR = Actor()
_decode = msgspec.json.Decoder(_Filtered).decode


def _comparable(value: str) -> str:
    """Normalize a value, so that it matches wherever the server may match it."""
    return canonical_address(value).casefold()
