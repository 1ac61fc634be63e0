"""Members of an item that the tap does not know yet."""

import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from tap_akuity.api.audit_log import AuditLog
from tap_akuity.text.masking import MAX_QUOTED

Known: TypeAlias = Mapping[str, "Known"]

MAX_KINDS = 1_000
"""The most kinds of events that are examined."""

MAX_NAMES = 100
"""The most names of members that are kept, each of at most `MAX_QUOTED` characters."""

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class UnknownMembers:
    """Finds members of items that the schema does not know.

    One item of each kind is examined: Akuity sends the same members for all of them.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        """Dotted paths, such as `object.id.name`."""

        self._kinds: set[int] = set()

    def examine(self, log: AuditLog, raw: msgspec.Raw) -> None:
        """Collect the unknown members of an item, if it is the first of its kind."""
        actor, target = log.actor, log.object
        # Only the hash, because a kind may be as long as a page.
        kind = hash((log.action, actor and actor.type, target and target.type))
        if kind not in self._kinds and len(self._kinds) < MAX_KINDS:
            self._kinds.add(kind)
            add_names(self.names, _unknown(raw, KNOWN))


def add_names(names: set[str], more: Iterable[str]) -> None:
    """Add names of members to others, with limits to their number and length."""
    for name in more:
        if len(names) == MAX_NAMES:
            return
        names.add(name[:MAX_QUOTED])


def _unknown(raw: msgspec.Raw, known: Known, path: str = "") -> Iterator[str]:
    if bytes(memoryview(raw)[:1]) != b"{":
        return
    for name, value in _decode(raw).items():
        if name not in known:
            yield path + name
        elif known[name]:
            yield from _unknown(value, known[name], f"{path}{name}.")


def _members(kind: Any) -> dict[str, Any]:  # noqa: ANN401, a type or a union of types
    """Return the names of a structure's members, each with those of its own members."""
    if args := typing.get_args(kind):
        return {name: one for arg in args for name, one in _members(arg).items()}
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return {}
    return {
        field.encode_name: _members(field.type)
        for field in msgspec.structs.fields(kind)
    }


KNOWN = _members(AuditLog)
